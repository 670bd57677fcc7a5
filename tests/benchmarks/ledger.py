"""What the log costs: `python -m tests.benchmarks.ledger [--folder DIR]`. About a minute and a half; a Markdown table.

Every batch event has eight sequence ids and a digest, and the tokens of two or of four families.

- **emit**: from a made event until `Writer.emit` returns, which is when the event is accepted. Events are made in
  chunks of 100 and then emitted one after the other; a round's figure is the median of its chunks' means, which
  leaves out the few chunks that a sync, or another process, fell into. The thread that syncs every 50 ms runs.
- **paced emit**: one event every millisecond, as a trainer's steps would come: each call is timed by itself, after a
  sleep that leaves the caches cold. Beside it stands a bare `write` of a frame's bytes, as often, to a file that
  nobody syncs: what this machine itself takes for one system call after such a sleep.
- **seal**: the whole of `seal_run` over a closed journal, by the number of its events: read, check the chain, decode,
  write Parquet, sync, publish, drop the journal. Not the start of the process that a writer leaves it to (a few tenths
  of a second a journal of 64 MiB). Its processor time stands beside it, for a machine that others use too.
- **sealed size**: all bytes of `segments/` and `manifest/`, footers and the stream's first event included, less the
  column chunks (data, levels and page headers, as the Parquet footer counts them) of `sequence_ids` and of
  `token_sha256`, by the number of batch events. Those two stand beside it. Events that were emitted back to back have
  times that compress better than a trainer's, so the paced ones are measured too.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import pyarrow.parquet as pq

from psion_ledger import events, log
from psion_ledger.log.segment import seal_run
from tests.benchmarks.figures import Figure, batches, new_writer, report, steps, taken_s

CHUNK_EVENTS = 100
PACE_S = 0.001
FRAME_BYTES = 180


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much is logged in a round: chunks of 100 batch events and of step events, and paced events."""

    rounds: int = 3
    batch_chunks: int = 2000
    step_chunks: int = 500
    paced_events: int = 10_000


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of one sealed run by what they hold, an event."""

    ids: float
    digests: float
    rest: float


def median_chunk_us(writer: log.Writer, made: Callable[[int, int], Sequence[events.Event]], chunks: int) -> float:
    """The median over chunks of the mean microseconds of an emit."""
    return median(
        taken_s(writer.emit, made(chunk * CHUNK_EVENTS, CHUNK_EVENTS)) / CHUNK_EVENTS * 1e6 for chunk in range(chunks)
    )


def paced_us(call: Callable[[Any], object], given: Sequence[Any]) -> list[float]:
    """Microseconds of one call for each, one every millisecond, sorted."""
    taken = []
    due = time.perf_counter()
    for one in given:
        due += PACE_S
        time.sleep(max(0.0, due - time.perf_counter()))
        taken.append(taken_s(call, [one]) * 1e6)
    return sorted(taken)


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def sealed_sizes(run: Path) -> Sealed:
    """Bytes a batch event of a sealed run."""
    total = sum(path.stat().st_size for name in ("segments", "manifest") for path in (run / name).rglob("*.*"))
    rows = ids = digests = 0
    for path in (run / "segments" / "batch_replayed").iterdir():
        with pq.ParquetFile(path) as parquet:
            meta = parquet.metadata
        rows += meta.num_rows
        for group in range(meta.num_row_groups):
            chunks = [meta.row_group(group).column(place) for place in range(meta.num_columns)]
            ids += sum(c.total_compressed_size for c in chunks if c.path_in_schema.startswith("sequence_ids."))
            digests += sum(c.total_compressed_size for c in chunks if c.path_in_schema == "token_sha256")
    return Sealed(ids=ids / rows, digests=digests / rows, rest=(total - ids - digests) / rows)


class BatchRound(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds of an emit; of sealing an event, by the clock and of the processor; and the sealed sizes."""

    emit_us: float
    seal_us: float
    seal_processor_us: float
    sealed: Sealed


def batch_round(ledger: Path, chunks: int, families: int) -> BatchRound:
    run_id = f"families-{families}"
    with new_writer(ledger, run_id) as writer:
        emit_us = median_chunk_us(writer, partial(batches, families=families), chunks)
    started, processor = time.perf_counter(), time.process_time()
    seal_run(ledger / run_id)
    taken, worked = time.perf_counter() - started, time.process_time() - processor
    each = 1e6 / (chunks * CHUNK_EVENTS)
    return BatchRound(
        emit_us=emit_us, seal_us=taken * each, seal_processor_us=worked * each, sealed=sealed_sizes(ledger / run_id)
    )


def step_round(ledger: Path, chunks: int) -> float:
    with new_writer(ledger, "steps") as writer:
        return median_chunk_us(writer, steps, chunks)


def paced_round(ledger: Path, count: int) -> tuple[list[float], list[float], Sealed]:
    """Sorted microseconds of paced emits and of paced bare writes, and the sealed sizes of the former."""
    with new_writer(ledger, "paced") as writer:
        emits = paced_us(writer.emit, batches(0, count))
    seal_run(ledger / "paced")
    fd = os.open(ledger / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        writes = paced_us(lambda frame: os.write(fd, frame), [bytes(FRAME_BYTES)] * count)
    finally:
        os.close(fd)
    return emits, writes, sealed_sizes(ledger / "paced")


def figures(folder: Path, sizes: Sizes) -> list[Figure]:
    """All rows; ledgers are made under `folder` and removed."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        ledgers = [Path(scratch) / str(number) for number in range(sizes.rounds)]
        few, many = ([batch_round(ledger, sizes.batch_chunks, families) for ledger in ledgers] for families in (2, 4))
        step_us = [step_round(ledger, sizes.step_chunks) for ledger in ledgers]
        paced = [paced_round(ledger, sizes.paced_events) for ledger in ledgers]
    return [
        Figure(what="emit, batch_replayed of 2 families", unit="µs", rounds=[r.emit_us for r in few], at_most=3.5),
        Figure(what="emit, batch_replayed of 4 families", unit="µs", rounds=[r.emit_us for r in many], at_most=3.5),
        Figure(what="emit, step_completed", unit="µs", rounds=step_us, at_most=3.5),
        Figure(what="paced emit, p50", unit="µs", rounds=[percentile(r[0], 0.5) for r in paced]),
        Figure(what="paced emit, p99", unit="µs", rounds=[percentile(r[0], 0.99) for r in paced], at_most=100),
        Figure(what="paced bare write, p99", unit="µs", rounds=[percentile(r[1], 0.99) for r in paced]),
        Figure(what="seal, 2 families", unit="µs/event", rounds=[r.seal_us for r in few], at_most=5),
        Figure(what="seal, 2 families, processor", unit="µs/event", rounds=[r.seal_processor_us for r in few]),
        Figure(what="seal, 4 families", unit="µs/event", rounds=[r.seal_us for r in many], at_most=5),
        Figure(what="seal, 4 families, processor", unit="µs/event", rounds=[r.seal_processor_us for r in many]),
        Figure(what="sealed, 8 ids", unit="bytes/event", rounds=[r.sealed.ids for r in many]),
        Figure(what="sealed, digest", unit="bytes/event", rounds=[r.sealed.digests for r in many]),
        Figure(what="sealed rest, 2 families", unit="bytes/event", rounds=[r.sealed.rest for r in few], at_most=12),
        Figure(what="sealed rest, 4 families", unit="bytes/event", rounds=[r.sealed.rest for r in many], at_most=12),
        Figure(what="sealed rest, paced", unit="bytes/event", rounds=[r[2].rest for r in paced], at_most=12),
    ]  # fmt: skip


def main() -> None:
    report("What the log costs.", lambda folder: figures(folder, Sizes()))


if __name__ == "__main__":
    main()
