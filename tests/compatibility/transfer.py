"""A measured change, by its path and operation, made to another receipt."""

import json
from typing import Any, NamedTuple

import msgspec

from psion_ledger.receipts import PretrainStageReceipt, digests
from psion_ledger.receipts.original_types import read_document
from tests.compatibility import SEALS, Case, upstream

GONE = object()
Path = tuple[str, ...]


class Edit(NamedTuple):
    """What stands at a path now: a value, nothing (GONE), or a list made of the old one's elements."""

    path: Path
    value: Any


class Rearranged(NamedTuple):
    """A list's elements: the place that each had, or (wrapped in a tuple) a new value."""

    elements: list[int | tuple[Any]]


def edits_of(case: Case) -> list[Edit]:
    """What the change made of its base, digests aside."""
    base = json.loads(upstream(f"bases/base_{case.base}.json"))
    found = _differences(base, json.loads(case.receipt), (), case.op.startswith("list_"))
    return [edit for edit in found if "/" + "/".join(edit.path) not in SEALS]


def _differences(base: Any, other: Any, path: Path, lists_change: bool) -> list[Edit]:
    if type(base) is type(other) and base == other:
        return []
    if isinstance(base, dict) and isinstance(other, dict):
        keys = [*base, *(key for key in other if key not in base)]
        pairs = [(key, base.get(key, GONE), other.get(key, GONE)) for key in keys]
    elif isinstance(base, list) and isinstance(other, list) and (lists_change or len(base) != len(other)):
        return [Edit(path, Rearranged([base.index(e) if e in base else (e,) for e in other]))]
    elif isinstance(base, list) and isinstance(other, list):
        pairs = [(str(n), *pair) for n, pair in enumerate(zip(base, other, strict=True))]
    else:
        return [Edit(path, other)]
    return [edit for key, one, two in pairs for edit in _differences(one, two, (*path, key), lists_change)]


def applied(edits: list[Edit], receipt: Any) -> list[str]:
    """Make the edits whose paths exist in a receipt (its JSON value); the pointers at which it is another one now."""
    return ["/" + "/".join(edit.path) for edit in edits if _apply(edit, receipt)]


def _apply(edit: Edit, receipt: Any) -> bool:
    *parents, last = edit.path
    target = receipt
    for step in parents:
        target = _at(target, step)
    old, value = _at(target, last), edit.value
    if isinstance(value, Rearranged):
        if not isinstance(old, list) or any(isinstance(e, int) and e >= len(old) for e in value.elements):
            return False
        value = [old[e] if isinstance(e, int) else e[0] for e in value.elements]
    if type(old) is type(value) and old == value:
        return False
    if isinstance(target, dict) and value is GONE:
        del target[last]
    elif isinstance(target, dict):
        target[last] = value
    elif isinstance(target, list) and old is not GONE:
        target[int(last)] = value
    else:
        return False
    return True


def _at(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step, GONE)
    return value[int(step)] if isinstance(value, list) and int(step) < len(value) else GONE


def text_of(receipt: Any) -> bytes:
    """A receipt's JSON value in the canonical spelling, so that nothing but its values can differ."""
    return (json.dumps(receipt, indent=2, ensure_ascii=False) + "\n").encode()


def resealed(receipt: Any) -> bytes:
    """With every digest that the original's algorithm gives, as one who knows it would write them."""
    known = json.loads(text_of(receipt))
    for pointer, digest in zip(SEALS, (_replay_digest, _lineage_digest, digests.receipt_digest), strict=True):
        *parents, last = pointer.removeprefix("/").split("/")
        target = known
        for step in parents:
            target = target[step]
        target[last] = digest(read_document(PretrainStageReceipt, text_of(known)))
    return text_of(known)


def _replay_digest(receipt: PretrainStageReceipt) -> str:
    return digests.replay_digest(receipt.replay_receipt)


def _lineage_digest(receipt: PretrainStageReceipt) -> str:
    return digests.checkpoint_lineage_digest(receipt.checkpoint_lineage)


def plain(receipt: PretrainStageReceipt) -> Any:
    """A receipt as its JSON value."""
    return json.loads(msgspec.json.encode(receipt))
