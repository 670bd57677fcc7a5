"""How much memory and time this process may take for a record, whatever the record says of itself.

DuckDB holds itself to its own limit, and says so; pyarrow and Python do not, so that the command line is watched from
within, and a query of anybody's runs in a process that can be ended. Nothing of this grows with the record: what a
larger one needs is allowed by whoever reads it.
"""

import os
import sys
import threading
import time

from psion_ledger.errors import UsageError

MEMORY_BYTES_MAX = 1 << 30
MEMORY_BYTES_MIN = 256 << 20
QUERY_SECONDS_MAX = 120.0
_LOOK_EVERY_S = 0.01


def memory_bytes_max() -> int:
    """The bytes of memory that one process may take: 1 GiB, or PSION_LEDGER_MEMORY_BYTES. Raises UsageError."""
    said = os.environ.get("PSION_LEDGER_MEMORY_BYTES")
    if said is None:
        return MEMORY_BYTES_MAX
    if not (said.isascii() and said.isdecimal()) or int(said) < MEMORY_BYTES_MIN:
        raise UsageError(f"PSION_LEDGER_MEMORY_BYTES={said}: give a number of bytes, at least {MEMORY_BYTES_MIN}")
    return int(said)


def query_seconds_max() -> float:
    """The seconds that one query may take: 120, or PSION_LEDGER_SECONDS. Raises UsageError."""
    said = os.environ.get("PSION_LEDGER_SECONDS")
    if said is None:
        return QUERY_SECONDS_MAX
    if not (said.isascii() and said.isdecimal()) or int(said) < 1:
        raise UsageError(f"PSION_LEDGER_SECONDS={said}: give a whole number of seconds, at least 1")
    return float(said)


def watch() -> None:
    """End this process with exit code 3 and one line when it takes more than is allowed, from now on. Raises
    UsageError."""
    threading.Thread(target=_watch, args=[memory_bytes_max()], name="memory watch", daemon=True).start()


def _watch(bytes_allowed: int) -> None:
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    while True:
        try:
            with open("/proc/self/statm", "rb") as file:
                _, resident, shared, *_ = (page_bytes * int(pages) for pages in file.read().split())
        except OSError:
            return  # Not Linux: there is no such file, and no watch.
        # Sooner than allowed: what is being decoded grows by megabytes between two looks.
        if resident - shared > bytes_allowed * 3 // 4:
            print(
                f"psion-ledger: cannot decide: reading the record takes more than {bytes_allowed >> 20:,} MiB of "
                "memory; PSION_LEDGER_MEMORY_BYTES allows more",
                file=sys.stderr,
                flush=True,
            )
            os._exit(3)
        time.sleep(_LOOK_EVERY_S)
