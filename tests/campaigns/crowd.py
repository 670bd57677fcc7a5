"""A crowd: many processes, each with its own stream and many threads that share its writer, all at once."""

import random
import threading
from collections import Counter, defaultdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from psion_ledger import events, log
from psion_ledger.log import journal
from psion_ledger.log.sealer import Sealer
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from tests.campaigns.recovery_checks import Row, damaged, expected_rows, recovered_rows
from tests.campaigns.results import empty_folder
from tests.ledgers import RUN_ID, opened
from tests.log.streams import numbered

_FORK = get_context("fork")
EVENTS_A_THREAD = 25
PATIENCE_S = 120.0
# So small that writers leave several journals behind.
ROTATE_AT_BYTES = 40_000


def event_of(thread: int, number: int) -> events.BatchReplayed:
    return numbered(1 + thread * EVENTS_A_THREAD + number)


def write(run: Path, rank: int, threads: int, barrier: Any) -> None:
    """As rank `rank`: every thread emits its own events, in its own order."""
    journal.ROTATE_AT_BYTES = ROTATE_AT_BYTES
    setattr(Sealer, "journal_left", lambda self: None)  # noqa: B010 - sealed by the parent, and in the end
    with log.open_writer(run, opened(rank=rank)) as writer:

        def emit(thread: int) -> None:
            for number in range(EVENTS_A_THREAD):
                writer.emit(event_of(thread, number))

        barrier.wait(PATIENCE_S)
        emitting = [threading.Thread(target=emit, args=(thread,)) for thread in range(threads)]
        for thread in emitting:
            thread.start()
        for thread in emitting:
            thread.join()


def crowd(draw: random.Random, processes: int = 64, threads: int = 16) -> tuple[list[str], Counter[str]]:
    """Every event of every thread is there once, in the order of its thread, and seqs are dense."""
    with empty_folder() as ledger:
        run = log.create_run(ledger, RUN_ID)
        log.claim_attempt(run)
        barrier = _FORK.Barrier(processes)
        children = [_FORK.Process(target=write, args=(run, rank, threads, barrier)) for rank in range(processes)]
        for child in draw.sample(children, processes):
            child.start()
        while any(child.is_alive() for child in children):
            seal_run(run)
        statuses = [child.exitcode for child in children]
        wrong = [f"{statuses.count(0)} of {processes} processes ended well"] if any(statuses) else []
        seal_run(run)
        record = read(run)
        found = recovered_rows(record)
    wrong += damaged(record)
    if record.tails:
        wrong.append(f"not sealed: {[tail.path for tail in record.tails]}")
    for rank in range(processes):
        stream = f"t0001.r{rank:05}"
        wrong += [f"stream {stream}: {line}" for line in unlike_emitted(found.get(stream, []), rank, threads)]
    total = sum(map(len, found.values()))
    return wrong, Counter({"crowds": 1, "crowd's events": total, "crowd's journals": len(record.manifest.entries)})


def unlike_emitted(rows: list[Row], rank: int, threads: int) -> list[str]:
    wrong = []
    if [seq for seq, _, _ in rows] != list(range(1 + threads * EVENTS_A_THREAD)):
        wrong.append(f"{len(rows)} events, and seqs that are not dense")
    if rows[:1] != expected_rows([opened(rank=rank)]):
        wrong.append(f"begins with {rows[:1]}")
    expected: dict[int, list[Any]] = {
        thread: [values for _, _, values in expected_rows([event_of(thread, n) for n in range(EVENTS_A_THREAD)])]
        for thread in range(threads)
    }
    by_thread: dict[int, list[Any]] = defaultdict(list)
    for _, _, values in rows[1:]:
        by_thread[(values["step"] - 1) // EVENTS_A_THREAD].append(values)
    wrong += [f"thread {n} emitted other events, or in another order" for n in expected if by_thread[n] != expected[n]]
    return wrong
