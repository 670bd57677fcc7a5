"""A file of token data, opened once and hashed in that opening: what is read later are the bytes that were hashed."""

import hashlib
import mmap
import os
from pathlib import Path

from psion_ledger.errors import Inaccessible, Unreadable
from psion_ledger.log import files

# Of a file that is read alone. What fits is kept in memory; the rest is mapped, and who can write to it meanwhile can
# change what is read.
HELD_BYTES_MAX = 64 << 20


class Room:
    """So many bytes of memory, for all files that are opened with it."""

    def __init__(self, bytes_max: int) -> None:
        self._left = bytes_max

    def takes(self, size: int) -> bool:
        if size > self._left:
            return False
        self._left -= size
        return True


class Held:
    """`data` is the whole file, `bytes` its size, `sha256` hex. Close it."""

    def __init__(self, path: Path, room: Room) -> None:
        """Raises FileNotFoundError as it is; Unreadable for what is no regular file, or cannot be read."""
        self.path = path
        fd = files.open_regular(path)
        try:
            with os.fdopen(fd, "rb") as file:
                size = os.fstat(fd).st_size
                self.data: bytes | mmap.mmap
                if room.takes(size):
                    self.data = file.read()
                else:
                    self.data = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
                self.sha256 = hashlib.sha256(self.data).hexdigest()
        except OSError as error:
            raise Inaccessible(f"{path}: cannot be read: {error.strerror}") from error
        self.bytes = len(self.data)

    def broken(self, why: str) -> Unreadable:
        """What to raise for contents that are not those of its format."""
        return Unreadable(f"{self.path}: {why}")

    def close(self) -> None:
        """The map stays as long as an array looks into it."""
        self.data = b""
