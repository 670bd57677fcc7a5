"""The few file operations that the log is made of. Regular files only, no link is followed, nobody else may read.

The order that makes a file durable: write, sync the file, publish by `link` (create-if-absent), sync the folder.
"""

import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psion_ledger.errors import Inaccessible, LimitHit, Unreadable, WriterFailed

MANIFEST_BYTES_MAX = 16 << 20
SEGMENT_BYTES_MAX = 1 << 30
# A writer goes on to another journal at 64 MiB, and no frame is larger than that.
JOURNAL_BYTES_MAX = 129 << 20
_DISK_FULL = "free the disk and try again"
_NOT_ALLOWED = "it may not be written here; give a ledger that may be, or work on a copy"
_REMEDIES = {
    errno.ENOSPC: _DISK_FULL, errno.EDQUOT: _DISK_FULL, errno.EROFS: _NOT_ALLOWED, errno.EACCES: _NOT_ALLOWED,
    errno.EPERM: _NOT_ALLOWED,
}  # fmt: skip
_PART_BYTES = 1 << 16
# Opening a link, a socket, a device without a driver, and what lies below a file.
_NO_FILE = (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENOTDIR)
# What msgspec raises for bytes that do not decode: text that is not UTF-8 has an error of its own.
UNDECODABLE = (ValueError, RecursionError)


def make_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    fd = open_regular(path)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def measure(
    folder: Path, relative: str, bytes_expected: int | None = None, bytes_max: int = SEGMENT_BYTES_MAX
) -> tuple[int | None, str | None]:
    """Size and sha256 (hex) of a regular file below `folder`; nulls when there is none. Never leaves the folder.

    A file of another size than expected is not read: the size stands in the digest's place. Raises LimitHit for one
    that is larger than any should be.
    """
    parts = Path(relative).parts
    if not parts or ".." in parts or Path(relative).is_absolute():
        return None, None
    if any((folder / Path(*parts[:depth])).is_symlink() for depth in range(1, len(parts))):
        return None, None
    path = folder / relative
    try:
        # One opening: what is looked at is what is hashed, whatever stands under the name a moment later.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, *_NO_FILE):
            return None, None
        raise inaccessible(path, error) from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        return None, None
    with os.fdopen(fd, "rb", buffering=0) as file:
        if bytes_expected is not None and status.st_size != bytes_expected:
            return status.st_size, f"a file of {status.st_size} bytes"
        if status.st_size > bytes_max:
            raise LimitHit(f"{path}: larger than {bytes_max:,} bytes")
        try:
            return status.st_size, hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise inaccessible(path, error) from error


def sync_above(run: Path) -> None:
    """Make a run's own name durable, and those of the folders above it: whoever made them may have died before."""
    device = run.stat().st_dev
    for folder in (run.absolute(), *run.absolute().parents):
        if folder.stat().st_dev != device or not os.access(folder, os.R_OK):
            break
        sync_folder(folder)


@contextmanager
def reported(run: Path) -> Iterator[None]:
    """What the disk refuses, outside of a writer, as WriterFailed: one line that says what to do."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else run
        raise WriterFailed(
            f"{where}: {error.strerror or error}; nothing that was durable is lost: {remedy(error)}"
        ) from error


def remedy(error: BaseException) -> str:
    """What to do about an error of the disk."""
    number = error.errno if isinstance(error, OSError) else None
    return _REMEDIES.get(number or 0, "see what keeps it from being written, and try again")


def inaccessible(path: Path | str, error: OSError) -> Unreadable:
    """What to raise when a path cannot be opened: Inaccessible, unless it is no file that could be."""
    kind = Unreadable if error.errno in _NO_FILE else Inaccessible
    return kind(f"{path}: cannot be read: {error.strerror}")


def is_closed(folder: Path) -> bool:
    """Whether it is a folder that does not let us list it, and reach what is in it."""
    return folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK, effective_ids=True)


def open_regular(path: Path | str) -> int:
    """A read-only descriptor of a regular file. A FIFO or a link is refused before it can block or mislead.

    Raises FileNotFoundError as it is; other trouble as Unreadable.
    """
    return _opened(path)[0]


def _opened(path: Path | str) -> tuple[int, os.stat_result]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise inaccessible(path, error) from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise Unreadable(f"{path}: not a regular file")
    return fd, status


def read_regular(path: Path | str, bytes_max: int = MANIFEST_BYTES_MAX, begins: bytes = b"") -> bytes:
    """The whole file; of one that does not begin as it should, its beginning alone. Raises FileNotFoundError as it is;
    other trouble as Unreadable, an absurd size as LimitHit."""
    fd, status = _opened(path)
    try:
        if begins and (beginning := os.pread(fd, len(begins), 0)) != begins:
            return beginning
        bytes_there = status.st_size
        if bytes_there > bytes_max:
            raise LimitHit(f"{path}: larger than {bytes_max:,} bytes")
        # A file may grow meanwhile. Room for `bytes_max` at once would take longer than to read a small file.
        parts, bytes_asked = list[bytes](), bytes_there + 1
        while bytes_asked and (part := os.read(fd, bytes_asked)):
            parts.append(part)
            bytes_asked = min(bytes_max + 1 - sum(map(len, parts)), max(_PART_BYTES, bytes_asked - len(part)))
        return parts[0] if len(parts) == 1 else b"".join(parts)
    finally:
        os.close(fd)


def read_beginning(path: Path, bytes_max: int) -> bytes:
    """The first bytes of a file. Raises as `read_regular`, but for its size."""
    fd = open_regular(path)
    try:
        return os.pread(fd, bytes_max, 0)
    finally:
        os.close(fd)


def first_seq(journal: Path) -> int:
    """The first seq of a journal, by its name."""
    return int(journal.stem) if journal.stem.isdecimal() else 0


def write_durable(path: Path, data: bytes | memoryview) -> None:
    """Create `path` (it must not exist) with these bytes, synced; what could not be written whole is not left there."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def scratch_path(run: Path) -> Path:
    """A name in the run's tmp folder that no other process picks."""
    make_folder(run / "tmp")
    return run / "tmp" / uuid.uuid4().hex


def publish(scratch: Path, final: Path) -> bool:
    """Give a synced file its name, durably; False when the name is taken. The scratch name goes away in either case.

    The folder is synced even then: who finds the name taken may rest on it, and the one who took it may not have
    come to its own sync yet.
    """
    try:
        os.link(scratch, final, follow_symlinks=False)
        taken = False
    except FileExistsError:
        taken = True
    finally:
        scratch.unlink()
    sync_folder(final.parent)
    return not taken
