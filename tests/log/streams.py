"""Small streams of small events, and what a run holds of them."""

import hashlib
import json
from operator import itemgetter
from pathlib import Path
from typing import Any

from psion_ledger import events, log
from psion_ledger.log import columns
from psion_ledger.log.frame import Frame, decode_event, encode
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import Tail, read
from tests.ledgers import RANK0, RUN_ID, opened

JOURNAL = f"journal/{RANK0}/{0:012}.wal"


def numbered(step: int) -> events.BatchReplayed:
    """A batch that says which one it is."""
    return events.BatchReplayed(
        pass_id="train", step=step, micro_step=0, first_position=step, stride=1, sequences=1, sequence_ids=[step],
        sequence_sha256s=[], family_tokens=[], tokens=32, target_tokens=31, token_sha256=step.to_bytes(32, "big"),
    )  # fmt: skip


def claimed_run(ledger: Path, attempts: int = 1) -> Path:
    """A new run whose first attempts are claimed."""
    run = log.create_run(ledger, RUN_ID)
    for _ in range(attempts):
        log.claim_attempt(run)
    return run


def written(ledger: Path, steps: int = 3) -> Path:
    """A run whose only stream holds `stream_opened` and some batches, closed and not sealed."""
    run = claimed_run(ledger)
    with log.open_writer(run, opened()) as writer:
        for step in range(1, steps + 1):
            writer.emit(numbered(step))
    return run


def three_entries(ledger: Path) -> Path:
    """A run that is sealed into three entries: its only stream's first event, and two batches."""
    run = log.create_run(ledger, RUN_ID)
    with log.open_writer(run, opened()) as writer:
        for step in (1, 2):
            writer.rotate()
            writer.emit(numbered(step))
    seal_run(run)
    return run


def recorded(run: Path) -> list[tuple[str, int, events.Event]]:
    """Every unsealed event as (stream, seq, event)."""
    return [(tail.stream, found.seq, found.event) for tail in read(run).tails for found in frames(tail)]


def frames(tail: Tail) -> list[Frame]:
    """The events of a tail in order of seq, made again from its tables; their links are left out."""
    rows = [
        row
        for kind, table in tail.tables.items()
        for batch in table.to_batches()
        for row in columns.rows(kind, batch, events.EVENTS_VERSION)
    ]
    return [
        Frame(seq, recorded_at_ns, b"", durable_through, decode_event(encode(event)))
        for seq, recorded_at_ns, durable_through, event in sorted(rows, key=itemgetter(0))
    ]


def links_of(journal: Path) -> list[bytes]:
    """The link of every frame in a journal, taken apart by hand."""
    data = journal.read_bytes()
    offset = 16 + int.from_bytes(data[8:12], "little")
    links = []
    while offset < len(data):
        end = offset + 8 + int.from_bytes(data[offset : offset + 4], "little")
        links.append(hashlib.sha256(b"\0" + data[offset + 8 : end]).digest())
        offset = end
    return links


def contents(run: Path) -> dict[str, bytes]:
    return {p.relative_to(run).as_posix(): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}


def entry_of(run: Path, number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / f"manifest/{number}.json").read_text())
    return found


def read_entries(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "manifest").iterdir())
