"""Exceptions of signal handlers, raised inside the writer: at every line of it, and by real signals in a tight loop.

Whatever was interrupted, each journal seals, its seqs are dense, and all that `emit` returned is there.
"""

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

from psion_ledger import events, log
from psion_ledger.fsck import fsck
from psion_ledger.log import held, journal, position
from psion_ledger.log.sealer import Sealer
from psion_ledger.log.segment import seal_run
from tests.campaigns.results import Result, empty_folder
from tests.ledgers import opened
from tests.log.streams import claimed_run, numbered, recorded

TRACED = {journal.__file__, position.__file__, held.__file__}
SIGNALS = 2000
SIGNALS_A_RUN = 50
LOOP_MAX = 2000
ROTATE_AT_BYTES = 1500
Returned = dict[tuple[str, int], events.Event]
Actions = list[Callable[[log.Writer, Returned], object]]


class Interrupted(Exception):
    pass


def emits(event: events.Event) -> Callable[[log.Writer, Returned], None]:
    def action(writer: log.Writer, returned: Returned) -> None:
        seq = writer.emit(event)
        if seq != journal.NOT_RECORDED:
            returned[writer.stream, seq] = event

    return action


REMOVED = events.CheckpointRemoved(checkpoint_id="a", reason="overwritten")
# An event that is synced inline, a rotation that is asked for, and one that a full journal brings.
WHOLE: Actions = [
    emits(numbered(1)), emits(REMOVED),
    lambda writer, _: writer.sync(), emits(numbered(2)), lambda writer, _: writer.rotate(),
    *(emits(numbered(step)) for step in range(3, 12)), lambda writer, _: writer.close(),
]  # fmt: skip
# The disk is full from the third event on, and the training goes on without a record.
GAP: Actions = [
    emits(numbered(1)), emits(numbered(2)), lambda writer, _: full_disk(writer), emits(numbered(3)), emits(numbered(4)),
    lambda writer, _: writer.close(),
]  # fmt: skip
SCRIPTS: dict[str, Actions] = {"whole": WHOLE, "gap": GAP}


def full_disk(writer: log.Writer) -> None:
    """The next write of the stream fails."""
    real = os.write

    def write(fd: int, data: Any) -> int:
        os.write = real
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.write = write


@contextmanager
def raising_at(line: int) -> Iterator[list[str]]:
    """Raise Interrupted at the `line`th line of the writer that is reached, in this thread. Yields the lines seen."""
    seen: list[str] = []

    def trace(frame: FrameType, what: str, _: Any) -> Any:
        if frame.f_code.co_filename not in TRACED:
            return None
        if what == "line":
            seen.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
            if len(seen) == line:
                raise Interrupted
        return trace

    sys.settrace(trace)
    try:
        yield seen
    finally:
        sys.settrace(None)


def played(run: Path, script: str, line: int) -> tuple[Returned, list[str]]:
    """Play a script with one exception in it, and go on after it as a loop that catches it would."""
    returned: Returned = {}
    writer: log.Writer | None = None
    detach: Any = "detach" if script == "gap" else "raise"
    with raising_at(line) as seen:
        with suppress(Interrupted):
            writer = log.open_writer(run, opened(), on_failure=detach)
        if writer is not None:
            for action in SCRIPTS[script]:
                with suppress(Interrupted):
                    action(writer, returned)
    if writer is not None:
        writer.close()
    return returned, seen


def unlike(run: Path, returned: Returned) -> list[str]:
    """In what way a run does not hold what was returned, or does not seal."""
    found = {(stream, seq): event for stream, seq, event in recorded(run)}
    wrong = [
        f"{place} was returned and is {found.get(place)}" for place in returned if found.get(place) != returned[place]
    ]
    for stream in {stream for stream, _ in found}:
        seqs = [seq for own, seq, _ in recorded(run) if own == stream]
        if seqs != list(range(len(seqs))):
            wrong.append(f"{stream}: seqs {seqs}")
    try:
        log.refuse_if_live(run)
        seal_run(run)
        checked = fsck(run.parent, run.name)
        wrong += [
            f"fsck: {finding.code} {finding.file} {finding.detail}"
            for finding in checked.findings
            if finding.code != "leftover"
        ]
    except Exception as error:
        wrong.append(f"{type(error).__name__}: {error}")
    return wrong


def at_line(script: str, line: int) -> tuple[list[str], list[str]]:
    with empty_folder() as ledger:
        run = claimed_run(ledger)
        returned, seen = played(run, script, line)
        at = seen[line - 1] if line <= len(seen) else "the end"
        return [f"{script}, raised at {at}: {words}" for words in unlike(run, returned)], seen


def by_signals(number: int) -> list[str]:
    """A tight loop that real signals interrupt, each at another moment: a handler raises, and every third one emits."""
    with empty_folder() as ledger, log.open_writer(run := claimed_run(ledger), opened()) as writer:
        returned: Returned = {}
        signals, step, nested = 0, 0, 10_000_000

        def strike() -> None:
            signal.setitimer(signal.ITIMER_REAL, 1e-6 * (20 + (signals * 7919 + number * 104_729) % 700))

        def handler(*_: object) -> None:
            nonlocal signals, nested
            signals += 1
            if signals % 3:
                raise Interrupted
            nested += 1
            emits(numbered(nested))(writer, returned)
            strike()

        before = signal.signal(signal.SIGALRM, handler)
        try:
            while signals < SIGNALS_A_RUN:
                with suppress(Interrupted):
                    strike()
                    # Until it raises, for one signal is under way at a time; where Python ignored it, not for ever.
                    for _ in range(LOOP_MAX):
                        step += 1
                        emits(numbered(step) if step % 40 else REMOVED)(writer, returned)
        finally:
            with suppress(Interrupted):
                signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        writer.close()
        wrong = unlike(run, returned)
    return [f"signals {number}: {words}" for words in wrong]


@contextmanager
def small_journals() -> Iterator[None]:
    """Journals are full soon, and nobody seals them meanwhile."""
    with (
        patch.object(journal, "ROTATE_AT_BYTES", ROTATE_AT_BYTES),
        patch.object(Sealer, "journal_left", lambda self: None),
    ):
        yield


def interrupts(fraction: float, seed: int, only: str | None = None) -> Result:
    """A fraction of the lines, drawn evenly from the `seed`th on, and of the signals."""
    result, started = Result(name="interrupts"), time.monotonic()
    with small_journals():
        lines = {script: len(at_line(script, 0)[1]) for script in SCRIPTS}
        cases = [f"{script}@{line}" for script, total in lines.items() for line in range(1, total + 1)]
        cases += [f"signals@{number}" for number in range(SIGNALS // SIGNALS_A_RUN)]
        every = max(1, round(1 / fraction))
        for case in [only] if only else cases[seed % every :: every]:
            name, _, number = case.partition("@")
            wrong = by_signals(int(number)) if name == "signals" else at_line(name, int(number))[0]
            result.fail(case, seed, wrong)
            result.cases += 1
    result.distinct, result.seconds = result.cases, time.monotonic() - started
    result.detail = f"{sum(lines.values())} lines and {SIGNALS} signals in all"
    return result
