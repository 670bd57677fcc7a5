"""SIGKILL: four live writers and a sealer are killed at a drawn moment; accepted <= recovered <= emitted, exactly.

The processes are forked from one that is warm. Each counts what it is about to emit and what was accepted in memory
that it shares with the parent, which survives the kill. A case is the number of its drawing.
"""

import contextlib
import mmap
import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from psion_ledger import log
from psion_ledger.errors import LedgerError
from psion_ledger.events import KINDS, BatchReplayed, Event
from psion_ledger.log import columns, journal
from psion_ledger.log.frame import Frame
from psion_ledger.log.sealer import Sealer
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import Record, read
from tests.campaigns.recovery_checks import damaged, tree_hash
from tests.campaigns.results import Result, empty_folder
from tests.ledgers import RUN_ID, opened
from tests.log.streams import frames, numbered

RANKS = 4
KILLS = 1000
# The real sealer is a fresh interpreter, which takes tenths of a second to start: it runs in one case of so many.
FRESH_SEALER_EVERY = 20
ORPHAN_SECONDS_MAX = 60.0
STREAMS = [f"t0001.r{rank:05}" for rank in range(RANKS)]


class Case(msgspec.Struct, frozen=True):
    """When the kill comes, after the fork, and how far apart the processes die; how much a journal holds; whether
    the writers pause between events, so that the sealer is beside them and not behind."""

    after_s: float
    apart_s: float
    rotate_at_bytes: int
    paused: bool
    fresh_sealer: bool


def drawn(number: int, seed: int) -> Case:
    draw = random.Random(f"{seed}/{number}")
    paused = draw.random() < 0.5
    # Half of the kills come early, when streams are being opened and first journals left.
    after_s = (0.4 if paused else 0.03) * draw.choice([draw.random(), 0.1 * draw.random()])
    return Case(
        after_s=after_s,
        apart_s=draw.choice([0.0, 0.0, 0.002 * draw.random()]),
        rotate_at_bytes=draw.choice([3_000, 10_000] if paused else [30_000, 200_000]),
        paused=paused,
        fresh_sealer=number % FRESH_SEALER_EVERY == 0,
    )


class Counters:
    """Two numbers a rank: emits begun, emits that returned. Whole words, so a kill cannot tear one."""

    def __init__(self) -> None:
        self._words = memoryview(mmap.mmap(-1, 16 * RANKS)).cast("Q")

    def begin(self, rank: int, count: int) -> None:
        self._words[2 * rank] = count

    def accept(self, rank: int, count: int) -> None:
        self._words[2 * rank + 1] = count

    def begun(self, rank: int) -> int:
        return self._words[2 * rank]

    def accepted(self, rank: int) -> int:
        return self._words[2 * rank + 1]


def write(run: Path, rank: int, counters: Counters, paused: bool) -> None:
    """Until the kill: one small event after the other."""
    counters.begin(rank, 1)
    writer = log.open_writer(run, opened(rank=rank))
    counters.accept(rank, 1)
    seq = 1
    while True:
        event = numbered(seq)
        counters.begin(rank, seq + 1)
        writer.emit(event)
        seq += 1
        counters.accept(rank, seq)
        if paused:
            time.sleep(0.0002)


def seal(run: Path) -> None:
    """Until the kill: what the writers rotate away from."""
    while True:
        seal_run(run)


def forked(body: Callable[[], None]) -> int:
    """A child that does nothing but `body`, and says by its exit status that it ended before it was killed. It leads
    a process group, by which whom it leaves behind can be told."""
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            body()
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(70)
    return child


def killed_run(run: Path, case: Case) -> tuple[Counters, list[int], list[str]]:
    """Start the processes, kill them, and wait for their end. Their groups, and which of them ended by itself."""
    counters = Counters()
    rotate_at_bytes, journal_left = journal.ROTATE_AT_BYTES, Sealer.journal_left
    journal.ROTATE_AT_BYTES = case.rotate_at_bytes
    if not case.fresh_sealer:
        setattr(Sealer, "journal_left", lambda self: None)  # noqa: B010 - the fifth process seals
    try:
        children = [forked(partial(write, run, rank, counters, case.paused)) for rank in range(RANKS)]
        if not case.fresh_sealer:
            children.append(forked(partial(seal, run)))
    finally:
        journal.ROTATE_AT_BYTES = rotate_at_bytes
        setattr(Sealer, "journal_left", journal_left)  # noqa: B010
    time.sleep(case.after_s)
    for child in children:
        os.kill(child, signal.SIGKILL)
        time.sleep(case.apart_s)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    ended = [f"process {n} ended by itself" for n, s in enumerate(statuses) if not os.WIFSIGNALED(s)]
    return counters, children, ended


def wait_for_orphans(groups: list[int]) -> None:
    """A sealer outlives the writer that started it."""
    give_up = time.monotonic() + ORPHAN_SECONDS_MAX
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < give_up:
                os.killpg(group, 0)
                time.sleep(0.01)


# ---- What is there afterwards ----

_BATCH_COLUMNS = ["seq", *BatchReplayed.__struct_fields__]


class Emitted:
    """The events that every writer emits, seq 1, 2, ..., as events and as columns; it grows as it is asked."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._table = columns.schema("batch_replayed").empty_table()

    def events(self, first: int, end: int) -> list[Event]:
        self._events += map(numbered, range(len(self._events) + 1, end))
        return self._events[first - 1 : end - 1]

    def table(self, count: int) -> pa.Table:
        """The first `count` batches; the columns that hold neither time nor place."""
        if len(self._table) < count:
            frames = [Frame(n, 0, b"", -1, event) for n, event in enumerate(self.events(1, 2 * count + 1), start=1)]
            self._table = pa.Table.from_batches([columns.batch("batch_replayed", frames, "", "train", 1, 0)])
        return self._table.slice(0, count).select(_BATCH_COLUMNS)


def differing(record: Record, emitted: Emitted) -> tuple[list[int], list[str]]:
    """How many events each rank has, sealed or not, and what of them is not as it was emitted."""
    counts, wrong = [], []
    for rank, stream in enumerate(STREAMS):
        paths = {kind: [f.path for f in record.files if (f.stream, f.kind) == (stream, kind)] for kind in KINDS}
        ends = sorted((f.first_seq, f.last_seq) for f in record.files if f.stream == stream)
        sealed = pa.concat_tables([_read(record, path) for path in paths["batch_replayed"]] or [emitted.table(0)])
        sealed = sealed.select(_BATCH_COLUMNS).sort_by("seq")
        begun = sum(len(_read(record, path)) for path in paths["stream_opened"])
        if not sealed.equals(emitted.table(len(sealed))):
            wrong.append(f"stream {stream}: what is sealed is not what was emitted: {ends}")
        count = begun + len(sealed)
        for tail in (tail for tail in record.tails if tail.stream == stream):
            events = [frame.event for frame in frames(tail)]
            first = [opened(rank=rank)] if tail.first_seq == 0 else []
            if tail.first_seq != count or events != first + emitted.events(count + len(first), count + len(events)):
                wrong.append(f"stream {stream}: {tail.path} is not what was emitted from seq {count} on")
            count += len(events)
        counts.append(count)
    return counts, wrong


def _read(record: Record, path: str) -> pa.Table:
    return pq.ParquetFile(record.folder / path).read()


def out_of_bounds(counts: list[int], counters: Counters) -> list[str]:
    return [
        f"stream {STREAMS[rank]}: {counters.accepted(rank)} accepted, {count} recovered, {counters.begun(rank)} begun"
        for rank, count in enumerate(counts)
        if not counters.accepted(rank) <= count <= counters.begun(rank)
    ]


def run_case(case: Case, emitted: Emitted) -> tuple[list[str], int, int]:
    """What went wrong, how many events were recovered, and how many had been sealed before the kill."""
    with empty_folder() as ledger:
        run = log.create_run(ledger, RUN_ID)
        log.claim_attempt(run)
        counters, groups, wrong = killed_run(run, case)
        try:
            found = read(run)
            sealed = sum(entry.last_seq + 1 - entry.first_seq for entry in found.manifest.entries)
            for record in (found, _recovered(run)):
                counts, differences = differing(record, emitted)
                wrong += damaged(record) + differences + out_of_bounds(counts, counters)
            wait_for_orphans(groups)
            record = _recovered(run)
            wrong += [f"not sealed: {tail.path}" for tail in record.tails]
            before = tree_hash(run)
            seal_run(run)
            if tree_hash(run) != before:
                wrong.append("recovering again changed bytes")
        except (LedgerError, OSError) as error:
            wrong.append(f"recovery raised {type(error).__name__}: {error}")
            counts, sealed = [], 0
        finally:
            wait_for_orphans(groups)
    return wrong, sum(counts), sealed


def _recovered(run: Path) -> Record:
    seal_run(run)
    return read(run)


def kills(fraction: float = 1.0, seed: int = 1, only: str | None = None) -> Result:
    started = time.monotonic()
    result = Result(name="kills")
    numbers = [int(only)] if only else random.Random(seed).sample(range(KILLS), round(fraction * KILLS))
    emitted, events_total, sealed_total, midway = Emitted(), 0, 0, 0
    for number in numbers:
        wrong, events, sealed = run_case(drawn(number, seed), emitted)
        result.fail(str(number), seed, wrong)
        events_total += events
        sealed_total += sealed
        midway += 0 < sealed < events
    result.cases = result.distinct = len(numbers)
    result.seconds = time.monotonic() - started
    result.detail = (
        f"{RANKS} writers and a sealer killed {len(numbers):,} times, {events_total:,} events recovered, "
        f"{sealed_total:,} of them sealed before the kill; {midway:,} kills came when some and not all were sealed"
    )
    return result
