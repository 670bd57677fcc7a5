"""Where a command may write its answer. The place is tried before the work, written beside, and renamed at the end.

An output never replaces a part of a ledger, a key, an input of the same command, or anything but a regular file.
"""

import os
import re
import stat
import uuid
from pathlib import Path

from psion_ledger.errors import UsageError

_KEY = re.compile(rb"-----BEGIN [A-Z ]*(PRIVATE|PUBLIC) KEY-----")
_KEY_BYTES_MAX = 1 << 16


class Placed:
    """A checked place for an output, and the name of the scratch file beside it that becomes it."""

    def __init__(self, path: Path, scratch: Path) -> None:
        self.path = path
        self.scratch = scratch

    @classmethod
    def at(cls, path: Path | None, *inputs: Path | None) -> "Placed | None":
        """Check a place, and that it can be written; None for stdout. Raises UsageError."""
        if path is None:
            return None
        _refuse_ledger(path)
        _refuse_file(path, [given for given in inputs if given is not None])
        scratch = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}")
        try:
            os.close(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666))
            scratch.unlink()
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
        return cls(path, scratch)

    def put(self, content: bytes) -> None:
        """Write the whole output under its name. Raises UsageError, and leaves what was there as it was."""
        try:
            with open(self.scratch, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(self.scratch, self.path)
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be written: {error.strerror}") from error
        finally:
            self.scratch.unlink(missing_ok=True)


def write_out(content: str, placed: Placed | None) -> None:
    """Print an answer, or put it in its place."""
    if placed is None:
        print(content)
    else:
        placed.put(f"{content}\n".encode())


def _refuse_ledger(path: Path) -> None:
    """Nothing is written into a run's folder, or beside the runs of a ledger, where each name is a run's."""
    try:
        folder = path.parent.resolve(strict=True)
    except OSError as error:
        raise UsageError(f"{path}: its folder cannot be used: {error.strerror}") from error
    for above in (folder, *folder.parents):
        if os.path.lexists(above / "CLAIM"):
            raise UsageError(f"{path}: lies in the record of run {above.name}, which nothing but its log changes")
    if any(os.path.lexists(run / "CLAIM") for run in folder.iterdir()):
        raise UsageError(f"{path}: lies in a ledger, whose names are runs; choose another folder")


def _refuse_file(path: Path, inputs: list[Path]) -> None:
    try:
        there = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    if not stat.S_ISREG(there.st_mode):
        raise UsageError(f"{path}: is a {_kind(there.st_mode)}; an output is a new file, or replaces a regular one")
    for given in inputs:
        if given.exists() and os.path.samestat(given.stat(), there):
            raise UsageError(f"{path}: is an input of this command as well; choose another name")
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if _KEY.search(file.read(_KEY_BYTES_MAX)):
            raise UsageError(f"{path}: holds a key, and is not replaced; choose another name")


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISLNK, "symbolic link"), (stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "named pipe"))
    return next((name for test, name in kinds if test(mode)), "device or socket")
