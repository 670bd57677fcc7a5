"""Every field of every event kind at the edges of its type, and every value of a contract's document.

A change is one event of a script replaced by another that the vocabulary allows; the real writer writes it.
"""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import inspect

from psion_ledger import events
from psion_ledger.contracts import Contracts
from psion_ledger.digest import sha256
from tests.edits import edited, inserted, place
from tests.emitted import batch, checkpoint_id, weights
from tests.ledgers import COMPLETION, Script, good_run

Make = Callable[[Contracts], Script]
LONG_TEXT = "x" * (1 << 20)
MANY = 20_000
TEXTS = ("", "\0", "a\0b", "{", "null", "x" * 512, LONG_TEXT)
FLOATS = (math.nan, math.inf, -math.inf, -0.0, 0.0, 5e-324, 1.7e308, -1.7e308)
NO_JSON = ("", "{", "\0", '{"a":"\\u0000"}', "[" * 20_000, "null", "3", "NaN", "[]", "{}", '"a\0b"', LONG_TEXT)
IN_JSON: tuple[Any, ...] = (
    None,
    0,
    -(2**63),
    2**32 - 1,
    2**63 - 1,
    2**64,
    10**400,
    1.5,
    True,
    "",
    "a\0b",
    [],
    {},
    [None],
    [[]],
)
# These name the stream: the writer that opens it gives them.
NAMED_BY_THE_STREAM = {("stream_opened", name) for name in ("role", "attempt", "rank")}


class Change(msgspec.Struct, frozen=True):
    """A new value for one event of a script; `what` names the field."""

    place: int
    what: str
    event: Any
    document: bool = False


def edges(kind: inspect.Type, value: Any) -> Iterator[tuple[str, Any]]:
    """The values at the edges of a field's type, each with its place inside the field; and some beyond."""
    match kind:
        case inspect.UnionType():
            for one in kind.types:
                yield from edges(one, value)
        case inspect.NoneType():
            yield "", None
        case inspect.IntType():
            yield from (("", edge) for edge in {kind.ge or 0, 0, 1, kind.le or 0})
        case inspect.FloatType():
            yield from (("", edge) for edge in FLOATS)
        case inspect.StrType():
            yield from (("", edge) for edge in TEXTS)
        case inspect.BytesType():
            yield from (("", edge) for edge in (bytes(32), b"\xff" * 32))
        case inspect.BoolType():
            yield from (("", edge) for edge in (False, True))
        case inspect.LiteralType():
            yield from (("", edge) for edge in kind.values)
        case inspect.StructType():
            for field in kind.fields:
                for inner, edge in edges(field.type, getattr(value, field.name)):
                    yield f".{field.name}{inner}", msgspec.structs.replace(value, **{field.name: edge})
        case inspect.ListType():
            yield "", []
            if value:
                yield "", value[:1] * MANY
                yield "", value * 2
                for inner, edge in edges(kind.item_type, value[0]):
                    yield f"[0]{inner}", [edge, *value[1:]]


def allowed(event: Any) -> bool:
    """Whether the vocabulary has this event: the writer refuses others."""
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=events.Event)
    except msgspec.ValidationError:
        return False
    return True


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:30]}...{len(text)}"


def of_events(script: Script) -> Iterator[Change]:
    """Every field of the first event of each kind, in train and in verification streams, of each contract's role."""
    seen = set[tuple[str, str, str]]()
    for at, (stream, event) in enumerate(script):
        if not isinstance(event, msgspec.Struct):
            continue
        kind = str(event.__struct_config__.tag)
        key = (kind, stream[0], getattr(event, "contract_role", ""))
        if key in seen:
            continue
        seen.add(key)
        (*_, known) = inspect.multi_type_info([type(event)])
        assert isinstance(known, inspect.StructType)
        for field in known.fields:
            if (kind, field.name) in NAMED_BY_THE_STREAM and stream.startswith("t"):
                continue
            value = getattr(event, field.name)
            for inner, edge in edges(field.type, value):
                if edge is value or (edge == value and not isinstance(edge, float)):
                    continue
                what = f"{':'.join(filter(None, key))}.{field.name}{inner} = {shown(edge)}"
                changed = msgspec.structs.replace(event, **{field.name: edge})
                if allowed(changed):
                    yield Change(at, what, changed)


def leaves(value: Any, pointer: str = "") -> Iterator[str]:
    """The JSON pointer of every value of a document; of a list's, the first item's."""
    if pointer:
        yield pointer
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{pointer}/{key}")
    elif isinstance(value, list) and value:
        yield from leaves(value[0], f"{pointer}/0")


def put(value: Any, pointer: str, edge: Any) -> Any:
    *parents, last = pointer.removeprefix("/").split("/")
    copy = inner = json.loads(json.dumps(value))
    for step in parents:
        inner = inner[int(step)] if isinstance(inner, list) else inner[step]
    inner[int(last) if isinstance(inner, list) else last] = edge
    return copy


def of_documents(script: Script) -> Iterator[Change]:
    """Every value of every contract, and texts that are no JSON; each with the digest of its own text."""
    for at, (_, event) in enumerate(script):
        if isinstance(event, events.ContractDeclared):
            document = json.loads(event.document)
            texts = [("", text) for text in NO_JSON]
            texts += [
                (pointer, json.dumps(put(document, pointer, edge))) for pointer in leaves(document) for edge in IN_JSON
            ]
            for number, (pointer, text) in enumerate(texts):
                changed = msgspec.structs.replace(event, document=text, sha256=sha256(text.encode()))
                edge = text if not pointer else IN_JSON[(number - len(NO_JSON)) % len(IN_JSON)]
                yield Change(at, f"{event.contract_role}#{pointer} = {shown(edge)}", changed, document=True)


def rare_run(contracts: Contracts) -> Script:
    """A good run, and an event of each kind that it does not have."""
    script = good_run(contracts)
    skipped = batch(contracts, 1, 1, 0, 0)
    rare: list[tuple[events.Event, Any]] = [
        (events.BatchSkipped(**msgspec.structs.asdict(skipped), reason="a reason"), events.StepCompleted),
        (
            events.CheckpointLoaded(
                checkpoint_id=checkpoint_id(1, 0), object_sha256=sha256(weights(0))
            ),
            events.AttemptStarted,
        ),
        (events.CheckpointRemoved(checkpoint_id=checkpoint_id(1, 0), reason="room"), events.CheckpointPromoted),
        (
            events.GapRecorded(gap_stream="t0001.r00001", after_seq=3, events_lost=None, reason="disk full"),
            events.CheckpointPromoted,
        ),
    ]  # fmt: skip
    for event, after in rare:
        script = inserted(script, event, after=after)
    advanced = events.StageAdvanced(
        from_stage_id="run-small-stage-1-pretrain", stage_id="run-small-stage-2-general_sft",
        stage_kind="general_sft", ordinal=2, checkpoint_id=checkpoint_id(1, 4), advanced_at_ms=1,
        promotion_digest=bytes(32), transition_digest=bytes(32),
    )  # fmt: skip
    receipt = events.ReceiptRecorded(
        schema_version="psion.pretrain_stage_receipt.v1", sha256=sha256(b"{}"), document="{}", basis_entries=1,
        basis_head=bytes(32), derivation_version=1,
    )  # fmt: skip
    completed = events.StageCompleted(
        stage_id="run-small-stage-1-pretrain", stage_kind="pretrain", ordinal=1, receipt_sha256s=[sha256(b"{}")],
        completed_at_ms=1, completion_digest=bytes(32),
    )  # fmt: skip
    at = place(script, events.RunFinished)
    return [*script[:at], (COMPLETION, receipt), (COMPLETION, completed), (COMPLETION, advanced), *script[at:]]


def changed(script: Script, *changes: Change) -> Script:
    made = list(script)
    for change in changes:
        made[change.place] = (made[change.place][0], change.event)
    return made


def wrong(script: Script) -> Script:
    """The script with a wrong divisor in its last step."""
    last = sum(isinstance(event, events.StepCompleted) for _, event in script) - 1
    return edited(script, events.StepCompleted, nth=last, loss_divisor=1.0)
