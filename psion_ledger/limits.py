"""How much memory a record may take, and the thread that ends a process which takes more.

A small file can decode to gigabytes. DuckDB keeps to a limit by itself; pyarrow and Python do not, so that the command
line is watched from within. What a run has not sealed yet is read into objects, which are larger than their bytes:
the limit grows with the journals, by what they really take on disk.
"""

import contextlib
import os
import sys
import threading
import time
from pathlib import Path

from psion_ledger.errors import UsageError

MEMORY_BYTES_MAX = 1 << 30
_BYTES_A_JOURNAL_BYTE = 16
_LOOK_EVERY_S = 0.01
_allowed_bytes = MEMORY_BYTES_MAX


def memory_bytes_max(run: Path) -> int:
    """What reading this run may take: 1 GiB and more for its journals, or what PSION_LEDGER_MEMORY_BYTES says."""
    said = os.environ.get("PSION_LEDGER_MEMORY_BYTES")
    if said is not None:
        if not said.isdecimal() or int(said) < 256 << 20:
            raise UsageError(f"PSION_LEDGER_MEMORY_BYTES={said}: give a number of bytes, at least {256 << 20}")
        return int(said)
    journals: dict[tuple[int, int], int] = {}
    with contextlib.suppress(PermissionError):  # Whoever opens the run says so.
        for path in (run / "journal").glob("*/*.wal"):
            with contextlib.suppress(FileNotFoundError):  # Sealed meanwhile.
                status = path.lstat()
                # Many names of one file take its room once.
                journals[status.st_dev, status.st_ino] = 512 * status.st_blocks
    return MEMORY_BYTES_MAX + _BYTES_A_JOURNAL_BYTE * sum(journals.values())


def allow(run: Path) -> int:
    """Let this process take what reading the run may; the limit in bytes."""
    global _allowed_bytes
    _allowed_bytes = memory_bytes_max(run)
    return _allowed_bytes


def watch() -> None:
    """End this process with exit code 3 and one line when it takes more than is allowed, from now on."""
    threading.Thread(target=_watch, name="memory watch", daemon=True).start()


def _watch() -> None:
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    while True:
        try:
            with open("/proc/self/statm", "rb") as file:
                _, resident, shared, *_ = (page_bytes * int(pages) for pages in file.read().split())
        except OSError:
            return  # Not Linux: there is no such file, and no watch.
        # Sooner than allowed: what is being decoded grows by megabytes between two looks.
        if resident - shared > _allowed_bytes * 3 // 4:
            print(
                f"psion-ledger: cannot decide: reading the record takes more than {_allowed_bytes >> 20:,} MiB of "
                "memory; PSION_LEDGER_MEMORY_BYTES allows more",
                file=sys.stderr,
                flush=True,
            )
            os._exit(3)
        time.sleep(_LOOK_EVERY_S)
