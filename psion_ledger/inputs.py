"""Files that a user names: a receipt, a proof, a key, the settings. Only regular ones, through links if need be, are
read, and none is waited for."""

import os
import stat
from pathlib import Path

from psion_ledger.errors import UsageError

INPUT_BYTES_MAX = 256 << 20


def read_input(path: Path, bytes_max: int = INPUT_BYTES_MAX) -> tuple[bytes, int]:
    """The bytes of a file and its permission bits, from one opening. Raises UsageError for what is no such file."""
    try:
        # Opening a FIFO would wait for its other end.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise UsageError(f"{path}: not a regular file")
        with os.fdopen(fd, "rb") as file:
            # Room for all that is asked for is made at once: of what may be large, no more than there is.
            bytes_max = min(bytes_max, max(status.st_size, INPUT_BYTES_MAX))
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > bytes_max:
        raise UsageError(f"{path}: larger than {bytes_max:,} bytes, which no such file is")
    return data, stat.S_IMODE(status.st_mode)
