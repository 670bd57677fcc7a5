"""Traced crashes: the canonical run is cut after each of its calls, in every way in which a disk may forget.

A case is `<calls made>:<variant>`. A second crash cuts its recovery, `412:lost/33:clean`: after 33 calls, the
recovery begun anew has to end with the same bytes. A kill that a resume follows and then a power loss is
`412:clean/33:resumed`: here what the kill left unsynced was never on the disk, though recovery has read it.
"""

import copy
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from psion_ledger import events, log
from psion_ledger.log.compact import prune_run
from psion_ledger.log.segment import seal_run
from tests.campaigns import disk
from tests.campaigns.canonical_run import SCRIPT, Kept, Play, Promise, attempt_started, no_sync_thread
from tests.campaigns.disk import Disk, Operation, Tree
from tests.campaigns.recovery_checks import RAISED, Row, disk_of, expected_rows, live_on, raised, recover, tree_hash
from tests.campaigns.results import Result, empty_folder
from tests.campaigns.tracing import traced
from tests.ledgers import RUN_ID, opened

T = TypeVar("T")
AUDITED_EVERY = 40
THIRD = "t0003.r00000"
NO_SUCH_CASE = "no such case: since it was named, the log has come to make other calls"


class State(msgspec.Struct):
    """A disk after a crash, and what the caller had been promised. `killed`: only the process went, no power."""

    case: str
    tree: Tree
    promise: Promise
    killed: bool

    def key(self) -> bytes:
        return disk_of(self.tree) + msgspec.msgpack.encode((self.promise, self.killed))


class Trace:
    """The canonical run's operations, and the promise that held when each prefix of them had been made."""

    def __init__(self) -> None:
        promised: dict[int, Promise] = {}
        with empty_folder() as root, no_sync_thread(), traced(root) as self.operations:
            play = Play(root / "ledger")
            play.changed = lambda: promised.__setitem__(len(self.operations), copy.deepcopy(play.promise))
            play.changed()
            for word in SCRIPT:
                play.do(*word)
            final = disk.read_tree(root)
        self.emitted = {stream: expected_rows(emitted) for stream, emitted in play.events.items()}
        self.promises: list[Promise] = []
        for made in range(len(self.operations) + 1):
            self.promises.append(promised.get(made, self.promises[-1] if made else Promise(streams={})))
        # A call that went past the tracing would leave the model behind.
        assert final == self.after(len(self.operations)).tree(disk.whole, disk.every_entry)

    def after(self, made: int) -> Disk:
        found = Disk()
        for operation in self.operations[:made]:
            found.apply(operation)
        return found

    def states(self, seed: int) -> Iterator[State]:
        found = Disk()
        for made in range(len(self.operations) + 1):
            if made:
                found.apply(self.operations[made - 1])
            for name in [*disk.VARIANTS, *(f"mixed-{n}" for n in range(disk.MIXED))]:
                yield self._state(found, made, name, seed)

    def _state(self, found: Disk, made: int, name: str, seed: int) -> State:
        case = f"{made}:{name}"
        tree = found.tree(*disk.VARIANTS[name]) if name in disk.VARIANTS else disk.mixed(found, f"{seed}/{case}")
        return State(case, tree, self.promises[made], name == "clean")

    def state(self, case: str, seed: int) -> State:
        made, name = case.split(":")
        return self._state(self.after(int(made)), int(made), name, seed)


def distinct(states: Iterator[State]) -> tuple[int, list[State]]:
    """How many there are, and one for each disk that differs or was promised something else."""
    total, found = 0, dict[bytes, State]()
    for state in states:
        total += 1
        found.setdefault(state.key(), state)
    return total, list(found.values())


def check(state: State, emitted: dict[str, list[Row]], *, audited: bool) -> list[str]:
    """Recover the state in a folder of its own."""
    wrong = []
    with empty_folder() as root:
        disk.materialise(state.tree, root)
        try:
            wrong += recover(root / "ledger", state.promise, emitted, killed=state.killed)
            if audited:
                wrong += live_on(root / "ledger", audited=True)
        except RAISED as error:
            wrong.append(raised(error))
    return wrong


# ---- The second crash ----


class Interrupted(msgspec.Struct):
    """A disk after a crash in a recovery that, uncut, ends with the run's bytes `ends_as`."""

    case: str
    tree: Tree
    ends_as: bytes


def recoveries_cut(state: State) -> Iterator[Interrupted]:
    """The state's recovery, cut after each of its own calls: by a kill, and by a power loss."""
    with empty_folder() as root:
        disk.materialise(state.tree, root)
        run = root / "ledger" / RUN_ID
        if not (run / "CLAIM").exists():
            return
        with traced(root) as operations:
            seal_run(run)
        ends_as = tree_hash(run)
    found = Disk(state.tree)
    for made, operation in enumerate(operations, start=1):
        found.apply(operation)
        for name in ("clean", "lost"):
            yield Interrupted(f"{state.case}/{made}:{name}", found.tree(*disk.VARIANTS[name]), ends_as)


def recover_again(cut: Interrupted) -> list[str]:
    with empty_folder() as root:
        disk.materialise(cut.tree, root)
        try:
            seal_run(root / "ledger" / RUN_ID)
        except RAISED as error:
            return [raised(error)]
        ended = tree_hash(root / "ledger" / RUN_ID)
    return [] if ended == cut.ends_as else ["a recovery that was cut and begun anew ends with other bytes"]


# ---- Killed, resumed, and then the power goes ----


def _resume(run: Path, promise: Promise, trace: list[Operation]) -> Iterator[tuple[int, Promise]]:
    """Recover and begin a third attempt. Yields what is promised after how many operations."""
    sealed = seal_run(run).entries
    promise.entries += len(sealed)
    for entry in sealed:
        promise.streams[entry.stream].durable = entry.last_seq + 1
    yield len(trace), copy.deepcopy(promise)
    promise.attempts = log.claim_attempt(run)
    promise.streams[THIRD] = Kept(begun=2)
    yield len(trace), copy.deepcopy(promise)
    with log.open_writer(run, _third_opened(), stream=THIRD) as writer:
        promise.streams[THIRD].accepted = promise.streams[THIRD].durable = 1
        yield len(trace), copy.deepcopy(promise)
        writer.emit(_third_started())
        promise.streams[THIRD].accepted = promise.streams[THIRD].durable = 2
        yield len(trace), copy.deepcopy(promise)
    prune_run(run)


def _third_opened() -> events.StreamOpened:
    return opened(attempt=3)


def _third_started() -> events.Event:
    return attempt_started(0, None)


def resumes_cut(trace: Trace, made: int) -> Iterator[State]:
    """The run is killed after `made` calls and resumed; after each call of that, the power goes."""
    found = trace.after(made)
    with empty_folder() as root:
        disk.materialise(found.tree(disk.whole, disk.every_entry), root)
        run = root / "ledger" / RUN_ID
        if not (run / "CLAIM").exists():
            return
        with traced(root) as operations, no_sync_thread():
            promises = dict(_resume(run, copy.deepcopy(trace.promises[made]), operations))
    # Who resumes the run has seen it: it may not vanish from under an event that is durable.
    promise = copy.deepcopy(trace.promises[made])
    found.reboot()
    for done, operation in enumerate(operations, start=1):
        found.apply(operation)
        promise = promises.get(done, promise)
        promise.streams.setdefault(THIRD, Kept(begun=2))
        promise.created |= any(kept.durable for kept in promise.streams.values())
        yield State(f"{made}:clean/{done}:resumed", found.tree(*disk.VARIANTS["lost"]), promise, False)


# ---- The campaign ----


class Campaign:
    """What one going through has seen so far."""

    def __init__(self, fraction: float, seed: int) -> None:
        self.result = Result(name="crashes")
        self.seed = seed
        self.trace = Trace()
        self.emitted = self.trace.emitted | {THIRD: expected_rows([_third_opened(), _third_started()])}
        self._fraction, self._drawn = fraction, random.Random(seed)

    def _some(self, population: Sequence[T]) -> list[T]:
        return self._drawn.sample(population, round(self._fraction * len(population)))

    def _count(self, cases: int, distinct_cases: int) -> None:
        self.result.cases += cases
        self.result.distinct += distinct_cases

    def first(self) -> list[State]:
        """Every crash of the run itself."""
        total, states = distinct(self.trace.states(self.seed))
        chosen = self._some(states)
        for number, state in enumerate(chosen):
            wrong = check(state, self.emitted, audited=number % AUDITED_EVERY == 0)
            self.result.fail(state.case, self.seed, wrong)
        self._count(round(self._fraction * total), len(chosen))
        self.result.detail = (
            f"{len(self.trace.operations)} operations; {total:,} crashed disks, {len(states):,} of them distinct, "
            f"{len(chosen):,} recovered"
        )
        return chosen

    def second(self, states: list[State]) -> None:
        """Every crash of their recoveries."""
        total, seen = 0, set[bytes]()
        for state in states:
            try:
                cuts = list(recoveries_cut(state))
            except RAISED:
                continue  # `first` has said so.
            total += len(cuts)
            for cut in cuts:
                key = disk_of(cut.tree) + cut.ends_as
                if key not in seen:
                    seen.add(key)
                    self.result.fail(cut.case, self.seed, recover_again(cut))
        self._count(total, len(seen))
        self.result.detail += f"; second crashes: {total:,} in recovery, {len(seen):,} distinct"

    def resumed(self) -> None:
        """A power loss at every call of the resume that follows a kill."""
        states: list[State] = []
        for made in self._some(range(len(self.trace.operations) + 1)):
            try:
                states += resumes_cut(self.trace, made)
            except RAISED as error:
                self.result.fail(f"{made}:clean", self.seed, [raised(error)])
        total, chosen = distinct(iter(states))
        for state in chosen:
            self.result.fail(state.case, self.seed, check(state, self.emitted, audited=False))
        self._count(total, len(chosen))
        self.result.detail += f"; {total:,} after a kill and a resume, {len(chosen):,} distinct"


def crashes(fraction: float = 1.0, seed: int = 1, only: str | None = None) -> Result:
    started = time.monotonic()
    campaign = Campaign(fraction, seed)
    if only is not None:
        campaign.result.cases = campaign.result.distinct = 1
        campaign.result.fail(only, seed, _one(campaign.trace, only, seed, campaign.emitted))
    else:
        campaign.second(campaign.first())
        campaign.resumed()
    campaign.result.seconds = time.monotonic() - started
    return campaign.result


def _one(trace: Trace, case: str, seed: int, emitted: dict[str, list[Row]]) -> list[str]:
    first, _, second = case.partition("/")
    state = trace.state(first, seed)
    if not second:
        return check(state, emitted, audited=True)
    if second.endswith(":resumed"):
        found = next((s for s in resumes_cut(trace, int(first.split(":")[0])) if s.case == case), None)
        return check(found, emitted, audited=False) if found else [NO_SUCH_CASE]
    cut = next((cut for cut in recoveries_cut(state) if cut.case == case), None)
    return recover_again(cut) if cut else [NO_SUCH_CASE]
