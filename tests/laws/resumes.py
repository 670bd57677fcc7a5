"""What the trainer does when it resumes a run that was killed: it declares, trains and replays only what is lacking."""

from typing import TypeVar

import msgspec

from psion_ledger import events
from psion_ledger.contracts import Contracts
from psion_ledger.digest import sha256
from tests.emitted import checkpoint_id, ended, measured, promoted, started, weights, written
from tests.ledgers import Script, beginning, close, complete, opened, record, seal, training, verification

E = TypeVar("E", bound=msgspec.Struct)


def emitted(script: Script, kind: type[E]) -> list[E]:
    return [step for _, step in script if isinstance(step, kind)]


def resumed_after(contracts: Contracts, killed: Script) -> Script:
    """A run of one rank that was killed where this script ends, and resumed to its end: in a new attempt, unless its
    stage is completed."""
    streams = list(dict.fromkeys(stream for stream, _ in killed))
    attempt = max(event.attempt for event in emitted(killed, events.StreamOpened))
    marks = [step for _, step in killed]
    script: Script = [*killed, *((stream, close) for stream in streams), (streams[0], seal)]
    if complete not in marks:
        attempt += 1
        own = f"t{attempt:04}.r00000"
        script.append((own, opened(attempt)))
        script += _promises(contracts, killed, own) + _training(contracts, killed, attempt, own)
        script += [(own, ended(contracts.sampling_plan.horizon_steps)), (own, close)]
        script += _replays(contracts, killed, attempt, own)
    completion = f"c.{1 + sum(stream.startswith('c.') for stream in streams)}"
    script.append((completion, opened(attempt, role="complete")))
    if complete not in marks:
        script += [] if record in marks else [(completion, record)]
        script.append((completion, complete))
    finished = events.RunFinished(outcome="completed", reason=None)
    return [*script, (completion, finished), (completion, close), (completion, seal)]


def _promises(contracts: Contracts, killed: Script, own: str) -> Script:
    """What of run, contracts and stage was not recorded yet: events 1 to 8 of the beginning."""
    if emitted(killed, events.AttemptStarted):
        return []
    done = sum(not isinstance(step, events.StreamOpened) and step not in (close, seal) for _, step in killed)
    return [(own, step) for _, step in beginning(contracts)[1 + done : 9]]


def _training(contracts: Contracts, killed: Script, attempt: int, own: str) -> Script:
    """From the last checkpoint that was written, or from nothing, to the promotion."""
    horizon = contracts.sampling_plan.horizon_steps
    known = emitted(killed, events.CheckpointWritten)
    if not known:
        script: Script = [(own, started(contracts, 1, 0, None))]
        script += [(own, event) for event in measured(contracts, attempt, 0)]
        script.append((own, written(contracts, attempt, 0, None)))
        script += training(contracts, attempt, range(1, horizon + 1), checkpoint_id(attempt, 0))
        return [*script, (own, promoted(attempt, horizon))]
    name, step = known[-1].checkpoint_id, known[-1].step
    loaded = events.CheckpointLoaded(checkpoint_id=name, object_sha256=sha256(weights(step)))
    script = [(own, started(contracts, 1, step, name)), (own, loaded)]
    script += training(contracts, attempt, range(step + 1, horizon + 1), name)
    if not emitted(killed, events.CheckpointPromoted):
        last = emitted([*killed, *script], events.CheckpointWritten)[-1]
        script.append((own, msgspec.structs.replace(promoted(1, horizon), checkpoint_id=last.checkpoint_id)))
    return script


def _replays(contracts: Contracts, killed: Script, attempt: int, own: str) -> Script:
    """As many passes as two are more than those that were completed."""
    script: Script = [(own, seal)]
    for number in range(len(emitted(killed, events.VerificationCompleted)), 2):
        script += verification(contracts, f"attempt-{attempt}-{number}", attempt=attempt)
    return [*script, (own, seal)]
