"""What recovery has to give, whatever happened before: every durable event, a prefix of each stream, once and for all.

Every check returns what is wrong as text; nothing is wrong when there is none.
"""

import functools
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from psion_ledger import events, log
from psion_ledger.auditing import audit
from psion_ledger.errors import LedgerError
from psion_ledger.events import KINDS
from psion_ledger.ledger import open_run
from psion_ledger.log import manifest
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import Record, read
from tests.campaigns.canonical_run import Kept, Promise, attempt_started, batch
from tests.campaigns.disk import Tree, content_hash, read_tree
from tests.ledgers import RUN_ID, opened
from tests.log.streams import frames

# Scratch files stay where a crash left them: nothing reads them, and their names are drawn anew each time.
SCRATCH = "/tmp/"
# No fault is left and nobody else is there, so nothing may raise.
RAISED = (LedgerError, OSError, AssertionError)
Row = tuple[int, str, dict[str, Any]]


def plain(value: Any) -> Any:
    """An event as Parquet gives it back: structs as dicts."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    return [plain(one) for one in value] if isinstance(value, list) else value


def expected_rows(emitted: list[events.Event]) -> list[Row]:
    return [(seq, str(event.__struct_config__.tag), plain(event)) for seq, event in enumerate(emitted)]


@functools.lru_cache(maxsize=20_000)
def _rows_of(data: bytes, kind: str) -> tuple[Row, ...]:
    """The events of a sealed file. Crashed disks hold the same files again and again."""
    table = pq.ParquetFile(pa.BufferReader(data)).read().to_pylist()
    return tuple((row["seq"], kind, {name: row[name] for name in KINDS[kind].__struct_fields__}) for row in table)


def recovered_rows(record: Record) -> dict[str, list[Row]]:
    """Every event in the record, sealed or not, by stream and seq; `damaged` names the files that are left out."""
    found: dict[str, list[Row]] = defaultdict(list)
    for file in (file for file in record.files if file.holds):
        found[file.stream] += _rows_of((record.folder / file.path).read_bytes(), file.kind)
    for tail in record.tails:
        found[tail.stream] += [
            (frame.seq, str(frame.event.__struct_config__.tag), plain(frame.event)) for frame in frames(tail)
        ]
    return {stream: sorted(rows, key=lambda row: row[0]) for stream, rows in found.items()}


def not_a_prefix(
    found: dict[str, list[Row]], emitted: dict[str, list[Row]], kept: dict[str, Kept], *, killed: bool
) -> list[str]:
    """How streams differ from what was emitted to them. After a mere kill, what was accepted counts as kept."""
    wrong = [f"stream {stream}: nobody opened it" for stream in found.keys() - emitted.keys()]
    for stream, rows in emitted.items():
        got, promised = found.get(stream, []), kept.get(stream, Kept())
        least = promised.accepted if killed else promised.durable
        if not least <= len(got) <= promised.begun:
            wrong.append(f"stream {stream}: {len(got)} events; {least} were kept and {promised.begun} begun")
        if got != rows[: len(got)]:
            at = next(n for n, row in enumerate(got) if n >= len(rows) or row != rows[n])
            wrong.append(f"stream {stream}: a hole or another event at seq {at}: {got[at]}")
    return wrong


def damaged(record: Record) -> list[str]:
    """What no crash does: a broken manifest, a sealed file with other bytes, durable frames changed."""
    wrong = [f"{file.path}: {file.sha256_actual} instead of what was sealed" for file in record.files if not file.holds]
    if record.manifest.broken is not None:
        wrong.append(f"manifest: {record.manifest.broken}")
    wrong += [f"{tail.path}: {tail.damage}" for tail in record.tails if tail.damage and tail.damage.tampered]
    return wrong


def tree_hash(root: Path) -> bytes:
    return content_hash(read_tree(root), SCRATCH)


def recover(ledger: Path, promise: Promise, emitted: dict[str, list[Row]], *, killed: bool) -> list[str]:
    """Recover a run and say what is wrong: with the crashed run as a reader finds it, and with what recovery makes."""
    run = ledger / RUN_ID
    if not (run / "CLAIM").exists():
        return _no_such_run(ledger, promise)
    record = read(run)
    wrong = damaged(record) + not_a_prefix(recovered_rows(record), emitted, promise.streams, killed=killed)
    seal_run(run)
    record = read(run)
    wrong += damaged(record) + not_a_prefix(recovered_rows(record), emitted, promise.streams, killed=killed)
    if record.tails:
        wrong.append(f"not sealed: {[tail.path for tail in record.tails]}")
    if len(record.manifest.entries) < promise.entries:
        wrong.append(f"{len(record.manifest.entries)} manifest entries; {promise.entries} were published")
    promised = [f"attempts/{number}.json" for number in range(1, promise.attempts + 1)]
    wrong += [f"{path} is gone" for path in [*promised, promise.index] if path and not (run / path).is_file()]
    first = tree_hash(run)
    seal_run(run)
    if tree_hash(run) != first:
        wrong.append("recovering again changed bytes")
    return wrong


def _no_such_run(ledger: Path, promise: Promise) -> list[str]:
    """Only before `create_run` returned may the run be gone; then it is created as if nothing had been there."""
    if promise.created:
        return ["the run is gone"]
    log.create_run(ledger, RUN_ID)
    record = read(ledger / RUN_ID)
    return [] if record.manifest.entries == [] and record.tails == [] else ["a new run is not empty"]


def live_on(ledger: Path, *, audited: bool) -> list[str]:
    """A recovered run takes a new attempt, and the laws of integrity find no violation before or after it."""
    run = ledger / RUN_ID
    wrong = violations(ledger) if audited else []
    streams = {entry.stream: entry.attempt for entry in manifest.read(run, log.read_claim(run)[1]).entries}
    previous = log.previous_ends(run, max(streams.values(), default=0) + 1)
    attempt = log.claim_attempt(run)
    claimed = log.attempt_sha256(run, attempt)
    with log.open_writer(run, opened(attempt=attempt, previous=previous, attempt_sha256=claimed)) as writer:
        writer.emit(attempt_started(0, None))
        writer.emit(batch(1, 0))
    seal_run(run)
    return wrong + ([f"after a new attempt: {line}" for line in violations(ledger)] if audited else [])


def violations(ledger: Path) -> list[str]:
    with open_run(ledger, RUN_ID) as run:
        done = audit(run, require="intact")
    return [f"law {law.name}: {law.findings}" for law in done.laws if law.status == "violated"]


def disk_of(tree: Tree) -> bytes:
    return content_hash(tree, SCRATCH)


def raised(error: BaseException) -> str:
    return f"recovery raised {type(error).__name__}: {error}"
