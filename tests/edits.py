"""Edits of a script: one event changed, left out, or put behind another."""

from typing import Any

import msgspec

from psion_ledger import events
from tests.ledgers import Mark, Script


def place(script: Script, kind: type[msgspec.Struct], nth: int = 0, stream: str | None = None) -> int:
    """Where the nth event of a kind stands in a script."""
    places = [i for i, (name, s) in enumerate(script) if isinstance(s, kind) and stream in (None, name)]
    return places[nth]


def edited(
    script: Script, kind: type[msgspec.Struct], nth: int = 0, stream: str | None = None, **changes: Any
) -> Script:
    """The script with some fields of one event changed."""
    at = place(script, kind, nth, stream)
    name, event = script[at]
    assert isinstance(event, msgspec.Struct)
    return [*script[:at], (name, msgspec.structs.replace(event, **changes)), *script[at + 1 :]]


def without(script: Script, kind: type[msgspec.Struct], nth: int = 0, stream: str | None = None) -> Script:
    at = place(script, kind, nth, stream)
    return script[:at] + script[at + 1 :]


def inserted(
    script: Script, event: events.Event | Mark, *, after: type[msgspec.Struct], nth: int = 0, stream: str | None = None
) -> Script:
    at = place(script, after, nth, stream)
    return [*script[: at + 1], (script[at][0], event), *script[at + 1 :]]
