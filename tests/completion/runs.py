"""Runs that are completed: by the process of a test, by one that is killed at it, and what the completion pins."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psion_ledger import open_run
from psion_ledger.reading import read
from tests.corpora import real_contracts
from tests.ledgers import COMPLETION, RUN_ID, Script, good_run
from tests.log.processes import start

CONTRACTS = real_contracts()
FOLLOWING = "c.2"
# What a process does that completes a run, up to the receipt.
COMPLETES = """
from psion_ledger.completion import finish_run, open_completion
from psion_ledger.errors import WriterBusy
from psion_ledger.program import complete_stage
from psion_ledger.receipts import record_receipt
"""
RECORDS = f"""{COMPLETES}
writer = open_completion(run, 1)
record_receipt(run, writer)
print("recorded", flush=True)
sys.stdin.read()
"""


def not_completed(world: int = 1) -> Script:
    """A run that was trained and replayed twice, all of it sealed; its completion has not begun."""
    return [(stream, step) for stream, step in good_run(CONTRACTS, world) if stream != COMPLETION]


def ends(run: Path) -> dict[str, tuple[int, str]]:
    """The last seq and link that are sealed of each stream."""
    known = read(run).manifest
    last = {entry.stream: known.last_of(entry.stream) for entry in known.entries}
    return {stream: (end.last_seq, end.link_after) for stream, end in last.items() if end is not None}


def pins(run: Path, stream: str) -> list[tuple[str, tuple[int, str]]]:
    with open_run(run.parent, RUN_ID) as reading:
        row = reading.first("select previous from stream_opened where stream = ? and seq = 0", [stream])
    assert row is not None
    return [(end["stream"], (end["last_seq"], end["chain_head"].hex())) for end in row[0]]


@contextmanager
def completing(run: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that has recorded the receipt, and holds its completion stream until it is killed."""
    with start(RECORDS, run) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "recorded\n"
            yield process
        finally:
            process.kill()
