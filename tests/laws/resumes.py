"""What the trainer does when it resumes a run that was killed: it declares, trains and replays only what is lacking."""

from typing import TypeVar

import msgspec

from psion_ledger import events
from psion_ledger.contracts import Contracts
from psion_ledger.digest import sha256
from tests.laws import SECOND
from tests.ledgers import (
    RANK0,
    Script,
    beginning,
    checkpoint_id,
    close,
    complete,
    measured,
    opened,
    promoted,
    record,
    rotate,
    seal,
    started,
    training,
    verification,
    weights,
    written,
)

E = TypeVar("E", bound=msgspec.Struct)


def emitted(script: Script, kind: type[E]) -> list[E]:
    return [step for _, step in script if isinstance(step, kind)]


def resumed_after(contracts: Contracts, killed: Script) -> Script:
    """A run of one rank that was killed where this script ends, and resumed to its end."""
    script: Script = [*killed, *((stream, close) for stream in dict.fromkeys(stream for stream, _ in killed))]
    script += [(RANK0, seal), (SECOND, opened(attempt=2))]
    marks = [step for _, step in killed]
    if complete not in marks:
        script += _promises(contracts, len(killed)) + _training(contracts, killed) + _replays(contracts, killed)
        if record not in marks:
            script.append((SECOND, record))
        script.append((SECOND, complete))
    return [*script, (SECOND, events.RunFinished(outcome="completed")), (SECOND, close), (SECOND, seal)]


def _promises(contracts: Contracts, done: int) -> Script:
    """What of run, contracts and stage was not recorded yet: events 1 to 8 of the beginning."""
    return [(SECOND, step) for _, step in beginning(contracts)[max(1, done) : 9]]


def _training(contracts: Contracts, killed: Script) -> Script:
    """From the last checkpoint that was written, or from nothing, to the promotion."""
    size, horizon = contracts.sampling_plan.global_batch_sequences, contracts.sampling_plan.horizon_steps
    last = max((c.step for c in emitted(killed, events.CheckpointWritten)), default=None)
    if last is None:
        script: Script = [(SECOND, started(1, 2, 0, size, None))]
        script += [(SECOND, event) for event in measured(contracts, 2, 0)]
        script.append((SECOND, written(contracts, 2, 0, None)))
        script += training(contracts, 2, range(1, horizon + 1), checkpoint_id(2, 0))
        return [*script, (SECOND, promoted(2, horizon))]
    loaded = events.CheckpointLoaded(
        checkpoint_id=checkpoint_id(1, last), weights_sha256=sha256(weights(last)), cursor_position=last * size
    )
    script = [(SECOND, started(1, 2, last, size, checkpoint_id(1, last))), (SECOND, loaded)]
    script += training(contracts, 2, range(last + 1, horizon + 1), checkpoint_id(1, last))
    if not emitted(killed, events.CheckpointPromoted):
        script.append((SECOND, promoted(2 if last < horizon else 1, horizon)))
    return script


def _replays(contracts: Contracts, killed: Script) -> Script:
    """As many passes as two are more than those that were completed."""
    script: Script = [(SECOND, rotate), (SECOND, seal)]
    for number in range(len(emitted(killed, events.VerificationCompleted)), 2):
        script += verification(contracts, f"again-{number}", attempt=2)
    return [*script, (SECOND, seal)]
