"""Where a command may write its answer. The place is tried before the work, written beside, and renamed at the end.

An output never replaces a part of a ledger, a key, what the same command reads, or anything but a regular file.
"""

import os
import re
import stat
import uuid
from pathlib import Path

from psion_ledger.errors import UsageError
from psion_ledger.escape import json_safe

# PEM, OpenPGP, and the signer keys of signed notes.
_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*(PRIVATE|PUBLIC) KEY|PRIVATE\+KEY\+")
_KEY_BYTES_MAX = 1 << 16
# A name has at most 255 bytes, and a character up to 4.
_NAME_CHARACTERS_MAX = 40


class Placed:
    """A checked place for an output, and the name of the scratch file beside it that becomes it."""

    def __init__(self, path: Path, scratch: Path, inputs: list[Path]) -> None:
        self.path = path
        self.scratch = scratch
        self._inputs = inputs

    @classmethod
    def at(cls, path: Path | None, *inputs: Path | None) -> "Placed | None":
        """Check a place, and that it can be written; None for stdout. `inputs` are the files and folders that the
        command reads. Raises UsageError."""
        if path is None:
            return None
        given = [one for one in inputs if one is not None]
        _refuse_ledger(path)
        _refuse_file(path, given)
        scratch = path.with_name(f".{path.name[:_NAME_CHARACTERS_MAX]}.{uuid.uuid4().hex}")
        try:
            os.close(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666))
            scratch.unlink()
        except OSError as error:
            raise _unwritable(path, error) from error
        return cls(path, scratch, given)

    def put(self, content: bytes) -> None:
        """Write the whole output under its name. Raises UsageError, and leaves what was there as it was."""
        try:
            with open(self.scratch, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # The work took its time, and something else may stand there by now.
            _refuse_file(self.path, self._inputs)
            os.replace(self.scratch, self.path)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        finally:
            self.scratch.unlink(missing_ok=True)


def write_out(content: str, placed: Placed | None) -> None:
    """Print an answer, JSON or an escaped text, or put it in its place."""
    safe = json_safe(content)
    if placed is None:
        print(safe)
    else:
        placed.put(f"{safe}\n".encode())


def _refuse_ledger(path: Path) -> None:
    """Nothing is written into a run's folder, or beside the runs of a ledger, where each name is a run's."""
    try:
        folder = path.parent.resolve(strict=True)
        beside = list(folder.iterdir())
    except (OSError, RuntimeError) as error:  # A loop of links is a RuntimeError.
        raise UsageError(f"{path}: its folder cannot be used: {getattr(error, 'strerror', error)}") from error
    for above in (folder, *folder.parents):
        if os.path.lexists(above / "CLAIM"):
            raise UsageError(f"{path}: lies in the record of run {above.name}, which nothing but its log changes")
    if any(os.path.lexists(run / "CLAIM") for run in beside):
        raise UsageError(f"{path}: lies in a ledger, whose names are runs; choose another folder")


def _refuse_file(path: Path, inputs: list[Path]) -> None:
    try:
        there = path.lstat()
        if not stat.S_ISREG(there.st_mode):
            raise UsageError(f"{path}: is a {_kind(there.st_mode)}; an output is a new file, or replaces a regular one")
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            is_key = _KEY.search(file.read(_KEY_BYTES_MAX))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path}: what is there cannot be read, and is not replaced: {error.strerror}") from error
    if is_key:
        raise UsageError(f"{path}: holds a key, and is not replaced; choose another name")
    above = [there, *(folder.stat() for folder in path.resolve().parents)]
    for given in inputs:
        if os.path.exists(given) and any(os.path.samestat(given.stat(), one) for one in above):
            raise UsageError(f"{path}: is read by this very command, and is not replaced; choose another name")


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISLNK, "symbolic link"), (stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "named pipe"))
    return next((name for test, name in kinds if test(mode)), "device or socket")


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path}: cannot be written: {error.strerror}")
