"""Files are opened once, without waiting, and only when they are regular: no FIFO blocks, no link misleads.

What a ledger names lies below the run's own folder, on a way without links: anything else is neither read nor
hashed, whoever forged the name. What the user names may be a link, as data folders have them.
"""

import errno
import hashlib
import os
import stat
from io import BufferedReader
from pathlib import Path

from trainer.config import BadInput, Damaged

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_NAME_CHARACTERS_SHOWN = 200


def open_recorded(folder: Path, recorded: str) -> BufferedReader:
    """A file below `folder` by the path that the ledger has for it. Raises Damaged."""
    *folders, name = recorded.split("/")
    path = folder / recorded
    if any(part in ("", ".", "..") for part in (*folders, name)) or "\0" in recorded:
        raise Damaged(
            f"the ledger names the file {recorded[:_NAME_CHARACTERS_SHOWN]!r}, which is no plain path below {folder}; "
            "nothing was read: somebody wrote it who is not this trainer"
        )
    try:
        at = os.open(folder, _READ | os.O_DIRECTORY)
        try:
            for part in folders:
                inner = os.open(part, _READ | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = inner
            file = os.open(name, _READ | os.O_NOFOLLOW, dir_fd=at)
        finally:
            os.close(at)
    except OSError as error:
        # A link has ELOOP, or ENOTDIR in the place of a folder; a socket has ENXIO.
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise Damaged(f"{path} leads through a link or is no regular file; put the file itself there") from None
        raise Damaged(f"{path}: {error.strerror}; name the run's artifacts with --artifacts DIR") from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise Damaged(f"{path} is no regular file; restore it")
    return os.fdopen(file, "rb")


def read_recorded(folder: Path, recorded: str, bytes_expected: int, sha256: bytes) -> bytes:
    """The bytes of such a file, which are those that the ledger promises. Raises Damaged."""
    with open_recorded(folder, recorded) as file:
        if (size := os.fstat(file.fileno()).st_size) != bytes_expected:
            raise Damaged(f"{folder / recorded} has {size:,} bytes, and the ledger says {bytes_expected:,}; restore it")
        data = file.read()
    if (found := hashlib.sha256(data).digest()) != sha256:
        raise Damaged(f"{folder / recorded} has sha256 {found.hex()}, and the ledger says {sha256.hex()}; restore it")
    return data


def open_text(path: Path) -> BufferedReader:
    """A file of text that the user gave, through links if need be. Raises BadInput."""
    try:
        file = os.open(path, _READ)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}; mend that, or move it out of the folder") from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise BadInput(f"{path} is no regular file; move it out of the folder")
    return os.fdopen(file, "rb")


def write_durably(path: Path, data: bytes) -> None:
    """A new file in the place of whatever has the name, a link included: what it leads to is not written."""
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
