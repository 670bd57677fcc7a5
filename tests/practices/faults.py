"""Faults of a loop, as changes of what it recorded: each is true to itself, as a loop with a fault would record it."""

from typing import Any

import msgspec

from psion_ledger import events
from tests.corpora import token_digest
from tests.ledgers import Script


def batches(script: Script, step: int, rank: int = 0, attempt: int = 1) -> list[int]:
    """Where the batches of a rank's step stand in the script."""
    stream = f"t{attempt:04}.r{rank:05}"
    return [
        at
        for at, (name, event) in enumerate(script)
        if name == stream and isinstance(event, events.BatchReplayed) and event.step == step
    ]


def replaced(script: Script, at: int, **changes: Any) -> Script:
    stream, event = script[at]
    assert isinstance(event, msgspec.Struct)
    return [*script[:at], (stream, msgspec.structs.replace(event, **changes)), *script[at + 1 :]]


def with_ids(script: Script, at: int, ids: list[int]) -> Script:
    return replaced(script, at, sequence_ids=ids, token_sha256=token_digest(ids))


def ids_at(script: Script, at: int) -> list[int]:
    event = script[at][1]
    assert isinstance(event, events.BatchReplayed)
    return event.sequence_ids


def exchanged(script: Script, one: int, other: int) -> Script:
    """Two batches trained each other's sequences."""
    first, second = ids_at(script, one), ids_at(script, other)
    return with_ids(with_ids(script, one, second), other, first)


def repeated(script: Script, at: int, of: int) -> Script:
    """A batch trained again what another one had."""
    return with_ids(script, at, ids_at(script, of)[: len(ids_at(script, at))])


def lost(script: Script, at: int) -> Script:
    """A batch was never recorded."""
    return script[:at] + script[at + 1 :]


def completed_at(script: Script, step: int, rank: int = 0, attempt: int = 1) -> int:
    """Where a rank's step_completed stands."""
    stream = f"t{attempt:04}.r{rank:05}"
    return next(
        at
        for at, (name, event) in enumerate(script)
        if name == stream and isinstance(event, events.StepCompleted) and event.step == step
    )


def first_of(script: Script, kind: type[msgspec.Struct], nth: int = 0) -> int:
    return [at for at, (_, event) in enumerate(script) if isinstance(event, kind)][nth]
