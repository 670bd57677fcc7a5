"""A proof that holds, said in values: each comes from a note that was signed, or from bytes that were hashed."""

from typing import Any, Literal

import msgspec

from psion_ledger.heads.proof import ConsistencyProof, Equivocation, InclusionProof, decode_entry, decode_frame
from psion_ledger.heads.proof_check import Checked, Finding


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """The proven fact. `origin` names the log: the run, and the nonce that tells it from others of its name. `sizes`
    are those of the signed heads, the older first."""

    kind: Literal["event_inclusion", "entry_inclusion", "consistency", "equivocation"]
    origin: str
    run: str
    sizes: list[int]
    entry: dict[str, Any] | None = None
    event: dict[str, Any] | None = None


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """The proof that somebody wants: of a run (its id, or the whole origin), of an entry, of an event."""

    run: str | None = None
    entry: int | None = None
    event: tuple[str, int] | None = None


def state(checked: Checked) -> Statement | None:
    """The statement of a proof; None for one that does not hold, which states nothing."""
    if not checked.holds:
        return None
    proof = checked.proof
    origin = checked.heads[0].origin
    known: dict[str, Any] = {
        "origin": origin,
        "run": origin.split("/")[1],
        "sizes": [head.size for head in checked.heads],
    }
    match proof:
        case ConsistencyProof():
            return Statement(kind="consistency", **known)
        case Equivocation():
            return Statement(kind="equivocation", **known)
        case InclusionProof():
            entry = decode_entry(proof.entry.encode())
            known["entry"] = {name: getattr(entry, name) for name in ("number", "stream", "first_seq", "last_seq")}
            if proof.event is None:
                return Statement(kind="entry_inclusion", **known)
            frame = decode_frame(bytes.fromhex(proof.event.body), entry)
            event = {
                "stream": entry.stream,
                "seq": frame.seq,
                "kind": frame.event.__struct_config__.tag,
                "recorded_at_ns": frame.recorded_at_ns,
                "fields": {name: _value(getattr(frame.event, name)) for name in frame.event.__struct_fields__},
            }
            return Statement(kind="event_inclusion", event=event, **known)


def differences(statement: Statement, expected: Expected) -> list[Finding]:
    """In which points a proof that holds is of something else."""
    found = []
    if expected.run is not None and expected.run not in (statement.run, statement.origin):
        found.append(Finding("another_run", "/origin", expected.run, statement.origin))
    number = None if statement.entry is None else statement.entry["number"]
    if expected.entry is not None and number != expected.entry:
        found.append(Finding("another_entry", "/entry", str(expected.entry), "none" if number is None else str(number)))
    event = None if statement.event is None else (statement.event["stream"], statement.event["seq"])
    if expected.event is not None and event != expected.event:
        said = "none" if event is None else f"{event[0]}:{event[1]}"
        found.append(Finding("another_event", "/event", f"{expected.event[0]}:{expected.event[1]}", said))
    return found


def _value(value: Any) -> Any:
    """A field with its parts by name: events are encoded as arrays, in which nobody can tell what is which."""
    if isinstance(value, msgspec.Struct):
        return {name: _value(getattr(value, name)) for name in value.__struct_fields__}
    return [_value(part) for part in value] if isinstance(value, list) else value
