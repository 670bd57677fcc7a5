"""A journal file that a writer holds: open, locked, and begun with its header. It is let go once, by whoever is first.

The lock is given back before the descriptor is closed: a copy of the descriptor in a process that was forked would
keep it otherwise.
"""

import errno
import fcntl
import io
import os
from pathlib import Path

from psion_ledger.errors import WriterBusy
from psion_ledger.log import files, frame


class Held:
    """`fd` is for writing and syncing alone, and only while nobody has let go."""

    def __init__(self, file: io.FileIO, first_seq: int) -> None:
        self._file = file
        self.fd = file.fileno()
        self.first_seq = first_seq

    @property
    def is_open(self) -> bool:
        return not self._file.closed

    def is_at(self, path: Path) -> bool:
        """Whether the file has this name."""
        try:
            return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def let_go(self) -> None:
        """Unlock and close. A second call does nothing, whatever has the descriptor's number by then."""
        if not self._file.closed:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._file.close()

    def drop(self) -> None:
        """Close the copy of a forked child. The lock is its parent's, and stays."""
        self._file.close()


def place(run: Path, stream: str, first_seq: int) -> Path:
    return run / "journal" / stream / f"{first_seq:012}.wal"


def prepare(run: Path, header: frame.Header, opening: bytes = b"") -> tuple[Held, Path, int]:
    """A new journal file, synced and locked before it has its name: whoever sees it there unlocked knows that its
    writer is gone. The first one of a stream has its `opening` frame by then, so that whoever is refused is told by
    whom.

    The file, the scratch name that it has so far, and its length in bytes. Raises OSError.
    """
    data = frame.encode_header(header) + opening
    scratch = files.scratch_path(run)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    # A file object closes its descriptor whatever is raised from here on.
    file = io.FileIO(scratch, "ab", opener=lambda path, _: os.open(path, flags, 0o600))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.write(file.fileno(), data) != len(data):
            raise OSError(errno.ENOSPC, "the write came up short; is the disk full?")
        os.fsync(file.fileno())
        return Held(file, header.first_seq), scratch, len(data)
    except BaseException:
        file.close()
        scratch.unlink(missing_ok=True)
        raise


def begin(run: Path, header: frame.Header, opening: bytes) -> tuple[Held, int]:
    """The first journal of a stream, and its length in bytes. Raises OSError, and WriterBusy when the name is taken."""
    held, scratch, bytes_total = prepare(run, header, opening)
    try:
        if not files.publish(scratch, place(run, header.stream, header.first_seq)):
            raise WriterBusy(f"stream {header.stream}: another process writes it")
    except BaseException:
        held.let_go()
        raise
    return held, bytes_total
