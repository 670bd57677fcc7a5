"""Faults: each call of the canonical run fails in each way, once or for good, under writers that raise or detach.

A case is `<call>:<fault>:<once|for-good>:<raise|detach>`. The caller may see a LedgerError, or an OSError from what
is no writer, and nothing else; a writer that failed refuses everything after it. When the fault is gone, recovery
gives every accepted event, and the gap that a detached writer left stands in a stream of its own.
"""

import contextlib
import io
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from psion_ledger import events, log
from psion_ledger.errors import LedgerError, WriterFailed
from psion_ledger.reading import read
from tests.campaigns.canonical_run import RANKS, SCRIPT, Kept, Play, batch, no_sync_thread
from tests.campaigns.parallel import Outcome, in_processes
from tests.campaigns.recovery_checks import RAISED, Row, expected_rows, live_on, raised, recover, recovered_rows
from tests.campaigns.results import Result, empty_folder
from tests.campaigns.tracing import FAULTS, Fault, intercepted
from tests.ledgers import RUN_ID, opened

AUDITED_EVERY = 200
SECONDS_MAX = 30
# A trainer that cannot begin does not train; one whose record fails later may.
BEGINNINGS = {"create", "claim_attempt", "add_index", "open"}
WRITERS_WORDS = frozenset({"open", "declare_index", "emit", "sync", "rotate", "kill", "close"})
OTHER_WORDS = frozenset({"create", "claim_attempt", "add_index", "seal", "compact", "prune"})


class Case(msgspec.Struct, frozen=True):
    at: int
    what: str
    for_good: bool
    on_failure: log.OnFailure

    def __str__(self) -> str:
        return f"{self.at}:{self.what}:{'for-good' if self.for_good else 'once'}:{self.on_failure}"


def parsed(case: str) -> Case:
    at, what, often, on_failure = case.split(":")
    return Case(int(at), what, often == "for-good", "detach" if on_failure == "detach" else "raise")


def script(on_failure: log.OnFailure) -> list[tuple[Any, ...]]:
    """A detached writer says what it lacks when it is closed, so no process is killed under one."""
    if on_failure == "raise":
        return SCRIPT
    return [("close", *words[1:]) if words[0] == "kill" else words for words in SCRIPT]


class Faulted:
    """One play of the script under a fault: what was raised and where, and which gaps must be on record."""

    def __init__(self, root: Path, case: Case) -> None:
        self.case, self.wrong = case, list[str]()
        self.fault = Fault(case.what, case.at, case.for_good)
        self.play = Play(root / "ledger", case.on_failure)
        self.raised = Counter[str]()
        self.gaps: set[str] = set()
        self.opened: set[str] = set()
        self.word_of: list[str] = []  # For each call, the word of the script that made it.
        with no_sync_thread(), intercepted(root, self.fault.around):
            for words in script(case.on_failure):
                if words[0] == "compact" and self.fault.struck:
                    break  # It costs more than all the rest, and nothing new would fail.
                if self._do(*words) and (case.on_failure == "raise" or words[0] in BEGINNINGS):
                    break
            self.fault.lifted = True
            for stream in list(self.play.writers):
                self._do("close", stream)

    def _do(self, word: str, *arguments: Any) -> bool:
        """Whether it failed."""
        stream = arguments[0] if arguments else ""
        needs_writer = stream and word != "open"
        if needs_writer and stream not in self.play.writers:
            return False
        if word == "close" and self.fault.struck:
            self.fault.lifted = True
        if word == "close" and self._gap_is_due(stream):
            self.gaps.add(stream)
        try:
            self.play.do(word, *arguments)
            if word == "open":
                self.opened.add(stream)
        except LedgerError as error:
            self._note(word, error)
            if isinstance(error, WriterFailed) and needs_writer:
                self._refuses(stream)
            return True
        except OSError as error:
            self._note(word, error)
            if needs_writer:
                self.wrong.append(f"{word} {stream}: a writer raised {error!r}")
            return True
        except Exception as error:
            self.wrong.append(f"{word} {stream}: raised {error!r}")
            return True
        finally:
            self.word_of += [word] * (len(self.fault.calls) - len(self.word_of))
            if word == "close":
                self.play.writers.pop(stream, None)
        return False

    def _gap_is_due(self, stream: str) -> bool:
        """The writer has failed, it is detached, and the disk works again."""
        failed = self.play.writers[stream]._failure is not None
        return failed and self.case.on_failure == "detach" and (self.fault.lifted or not self.case.for_good)

    def _note(self, word: str, error: Exception) -> None:
        place = [f.name for f in traceback.extract_tb(error.__traceback__) if "psion_ledger" in f.filename]
        self.raised[f"{word}: {type(error).__name__} from {' > '.join(place[-2:])}"] += 1

    def _refuses(self, stream: str) -> None:
        """A poisoned writer stays so, even when the disk works again."""
        writer = self.play.writers[stream]
        self.play._begin(stream, more := batch(9, 0))

        def emit() -> bool:
            return writer.emit(more) == log.NOT_RECORDED and self.case.on_failure == "detach"

        for attempt in (emit, writer.sync, writer.rotate):
            try:
                went_through = not attempt()
            except WriterFailed:
                continue
            if went_through:
                self.wrong.append(f"{stream}: a call went through after the writer had failed")


def expected(faulted: Faulted, ledger: Path) -> tuple[dict[str, list[Row]], dict[str, Kept]]:
    """What may be and has to be in the record: the script's events, and the gaps.

    A gap counts what was emitted and is not there; its reason is taken as it is found. A stream whose opening raised
    leaves none: its caller has not gone on without it.
    """
    emitted = {stream: expected_rows(made) for stream, made in faulted.play.events.items()}
    kept = dict(faulted.play.promise.streams)
    run = ledger / RUN_ID
    found = recovered_rows(read(run)) if (run / "CLAIM").exists() else {}
    if faulted.case.on_failure == "raise":
        return emitted, kept
    for stream in faulted.opened:
        name = f"v.gap-{stream}"
        attempt, rank = RANKS[stream]
        reasons = [row["reason"] for _, kind, row in found.get(name, []) if kind == "gap_recorded"]
        there = len(found.get(stream, []))
        gap = events.GapRecorded(
            gap_stream=stream, after_seq=max(there - 1, 0), events_lost=kept[stream].begun - there,
            reason=reasons[0] if reasons else "none",
        )  # fmt: skip
        claimed = log.attempt_sha256(run, attempt)
        emitted[name] = expected_rows([opened(attempt, rank, role="verify", attempt_sha256=claimed), gap])
        least = 2 if stream in faulted.gaps else 0
        kept[name] = Kept(begun=2, accepted=least, durable=least)
    return emitted, kept


@contextlib.contextmanager
def alarmed() -> Iterator[None]:
    """A hang is an error, which says where it hung."""

    def ring(*_: object) -> None:
        raise AssertionError(f"nothing came back for {SECONDS_MAX} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS_MAX)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run_case(case: Case, *, audited: bool) -> tuple[list[str], Counter[str], bool]:
    """What went wrong, what was raised where, and whether the fault struck at all."""
    with empty_folder() as root, alarmed(), contextlib.redirect_stderr(io.StringIO()):
        faulted = Faulted(root, case)
        ledger = root / "ledger"
        wrong = list(faulted.wrong)
        try:
            emitted, kept = expected(faulted, ledger)
            promise = msgspec.structs.replace(faulted.play.promise, streams=kept)
            wrong += recover(ledger, promise, emitted, killed=True)
            if case.on_failure == "raise":
                wrong += live_on(ledger, audited=audited)
        except RAISED as error:
            wrong.append(raised(error))
    return wrong, faulted.raised, bool(faulted.fault.struck)


def calls(on_failure: log.OnFailure) -> list[tuple[str, str]]:
    """The calls of a play that nothing disturbs, each with the word of the script that makes it."""
    with empty_folder() as root:
        whole = Faulted(root, Case(-1, "EIO", False, on_failure))
    return list(zip(whole.fault.calls, whole.word_of, strict=True))


def cases() -> list[Case]:
    """What no writer does is the same under writers that raise and under those that detach, and comes once."""
    modes: dict[log.OnFailure, frozenset[str]] = {"raise": WRITERS_WORDS | OTHER_WORDS, "detach": WRITERS_WORDS}
    return [
        Case(at, what, for_good, mode)
        for mode, words in modes.items()
        for at, (call, word) in enumerate(calls(mode))
        for what in FAULTS
        for for_good in (False, True)
        if word in words and (what != "short" or call == "write")
    ]


def work(chosen: list[Case]) -> Outcome:
    """Run cases one after the other: what went wrong, and how often what was raised where."""
    wrong, counted = [], Counter[str]()
    for number, case in enumerate(chosen):
        found, seen, struck = run_case(case, audited=number % AUDITED_EVERY == 0)
        wrong += [(str(case), found)] if found else []
        counted += seen
        counted["struck"] += struck
    return wrong, counted


def faults(fraction: float = 1.0, seed: int = 1, only: str | None = None) -> Result:
    started = time.monotonic()
    result = Result(name="faults")
    known = cases()
    chosen = [parsed(only)] if only else random.Random(seed).sample(known, round(fraction * len(known)))
    wrong, counted = work(chosen) if only else in_processes(work, chosen)
    for case, found in wrong:
        result.fail(case, seed, found)
    struck_total = counted.pop("struck", 0)
    result.cases = len(chosen)
    result.distinct = len(set(chosen))
    result.seconds = time.monotonic() - started
    result.detail = f"{len(known):,} cases in all; {struck_total:,} struck; the caller saw:\n\n" + "\n".join(
        f"    {count:>6,}  {what}" for what, count in sorted(counted.items())
    )
    return result
