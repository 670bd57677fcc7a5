"""Readers beside live writers, sealers and a compactor: whatever they see is a whole prefix of each stream, and no
shorter than what they saw before.

In half of the cases the compactor also prunes, once: a look that finds a file gone is then taken once more.
"""

import random
import time
from collections import Counter, defaultdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from psion_ledger import catalog, log
from psion_ledger.errors import CannotDecide
from psion_ledger.ledger import Run
from psion_ledger.log import journal
from psion_ledger.log.compact import compact_run, prune_run
from psion_ledger.log.sealer import Sealer
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import Record, read
from tests.campaigns.parallel import collected
from tests.campaigns.recovery_checks import damaged
from tests.campaigns.results import empty_folder
from tests.ledgers import RUN_ID, opened
from tests.log.streams import frames, numbered

_FORK = get_context("fork")
WRITERS, SEALERS, READERS = 3, 2, 8
SECONDS = 6.0
PATIENCE_S = 60.0
ROTATE_AT_BYTES = 4_000
# Each batch says its seq, so that a prefix is 1, 2, ... with nothing left out and nothing twice.
QUERY = """
select stream, count(*) as events, count(distinct seq) as seqs, min(seq) as first_seq, max(seq) as last_seq,
    count(*) filter (where step is distinct from seq) as strangers
from batch_replayed group by stream order by stream
"""


def write(run: Path, rank: int, stop: Any, said: Any) -> None:
    journal.ROTATE_AT_BYTES = ROTATE_AT_BYTES
    setattr(Sealer, "journal_left", lambda self: None)  # noqa: B010 - the sealers are beside it
    step = 0
    with log.open_writer(run, opened(rank=rank)) as writer:
        while not stop.is_set():
            step += 1
            writer.emit(numbered(step))
            time.sleep(0.003)
    said.put(("emitted", rank, step))


def seal(run: Path, stop: Any) -> None:
    while not stop.is_set():
        seal_run(run)
        time.sleep(0.01)


def compact(run: Path, prune_after_s: float | None, stop: Any) -> None:
    started = time.monotonic()
    while not stop.is_set():
        time.sleep(0.2)
        compact_run(run)
        if prune_after_s is not None and time.monotonic() - started > prune_after_s:
            prune_run(run)
            prune_after_s = None


Seen = dict[str, int]
Way = Literal["files", "built-in SQL", "anybody's SQL"]
_OFTEN: dict[Way, int] = {"files": 8, "built-in SQL": 3, "anybody's SQL": 1}
WAYS = [way for way, times in _OFTEN.items() for _ in range(times)]


def look(run: Path, way: Way) -> tuple[Seen, list[str]]:
    """How far each stream has come, and what of it is no prefix."""
    record = read(run)
    wrong = damaged(record)
    if way == "files":
        return ranges(record, wrong)
    with Run(record) as found:
        query = catalog.Query(name="", path="", header={}, sql=QUERY)
        if way == "built-in SQL":
            rows: list[Any] = [tuple(row.values()) for row in found.rows(query)]
        else:
            rows = found.sql(QUERY).fetchall()
    for stream, events, seqs, first_seq, last_seq, strangers in rows:
        if (events, first_seq, last_seq, strangers) != (seqs, 1, seqs, 0):
            wrong.append(f"stream {stream}: {events} events, {seqs} seqs from {first_seq} to {last_seq}, {strangers}")
    return {stream: last_seq for stream, _, _, _, last_seq, _ in rows}, wrong


def ranges(record: Record, wrong: list[str]) -> tuple[Seen, list[str]]:
    """The same without a query: ranges that follow each other, and frames that are what was emitted."""
    seen: Seen = defaultdict(lambda: -1)
    sealed = {(file.stream, file.first_seq, file.last_seq) for file in record.files}
    for stream, first_seq, last_seq in sorted(sealed):
        if first_seq != seen[stream] + 1:
            wrong.append(f"stream {stream}: sealed from {first_seq} on behind {seen[stream]}")
        seen[stream] = last_seq
    for tail in record.tails:
        expected = [numbered(seq) for seq in range(tail.first_seq, tail.first_seq + tail.events)]
        opening = 1 if tail.first_seq == 0 else 0
        if tail.first_seq != seen[tail.stream] + 1 or [f.event for f in frames(tail)][opening:] != expected[opening:]:
            wrong.append(f"{tail.path}: not what was emitted behind {seen[tail.stream]}")
        seen[tail.stream] += tail.events
    return {stream: last_seq for stream, last_seq in seen.items() if last_seq > 0}, wrong


def follow(run: Path, looks_max: int, draw: random.Random, stop: Any, said: Any) -> None:
    """Look again and again; where files are pruned, what one look could not decide the next one must."""
    wrong: list[str] = []
    before: Seen = {}
    counted = Counter[str]()
    while not stop.is_set():
        way = draw.choice(WAYS)
        try:
            try:
                seen, lines = look(run, way)
            except CannotDecide:
                if looks_max == 1:
                    raise
                counted["looks taken once more"] += 1
                seen, lines = look(run, way)
        except Exception as error:  # Whatever it is: nobody else would hear of it.
            wrong.append(f"{type(error).__name__}: {error}")
            continue
        wrong += lines
        wrong += [f"stream {s}: {seen.get(s, 0)} after {n}" for s, n in before.items() if seen.get(s, 0) < n]
        before = seen
        counted[f"looks by {way}"] += 1
    said.put(("looked", dict(counted), wrong))


def readers(draw: random.Random) -> tuple[list[str], Counter[str]]:
    prune_after_s = draw.choice([None, SECONDS * draw.uniform(0.3, 0.8)])
    looks_max = 1 if prune_after_s is None else 2
    with empty_folder() as ledger:
        run = log.create_run(ledger, RUN_ID)
        log.claim_attempt(run)
        stop, writers_stop, said = _FORK.Event(), _FORK.Event(), _FORK.SimpleQueue()
        works: list[tuple[Any, tuple[Any, ...]]] = [(write, (run, r, writers_stop, said)) for r in range(WRITERS)]
        works += [(seal, (run, stop))] * SEALERS + [(compact, (run, prune_after_s, stop))]
        works += [(follow, (run, looks_max, random.Random(draw.random()), stop, said)) for _ in range(READERS)]
        children = [_FORK.Process(target=work, args=arguments) for work, arguments in draw.sample(works, len(works))]
        for child in children:
            child.start()
        time.sleep(SECONDS)
        writers_stop.set()
        answers = collected(said, WRITERS)
        time.sleep(0.5)
        stop.set()
        answers += collected(said, READERS)
        for child in children:
            child.join(PATIENCE_S)
        wrong = [f"a process ended with {child.exitcode}" for child in children if child.exitcode != 0]
        seal_run(run)
        seen, lines = look(run, "anybody's SQL")
    emitted = {f"t0001.r{rank:05}": steps for word, rank, steps in answers if word == "emitted"}
    if seen != emitted:
        wrong.append(f"in the end {seen}, and {emitted} were emitted")
    looked = [(some, more) for word, some, more in answers if word == "looked"]
    counted = Counter(
        {"readings": 1, "readings with pruning": looks_max - 1, "events read beside": sum(emitted.values())}
    )
    for some, more in looked:
        counted.update(some)
        wrong += more
    return wrong + lines, counted
