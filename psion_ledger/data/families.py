"""Splits and families as a plan has them: sorted, with dense ids."""

from collections.abc import Iterable, Mapping
from typing import get_args

import msgspec

from psion_ledger.contracts.sampling_plan import PlanFamily
from psion_ledger.errors import UsageError
from psion_ledger.events import SplitKind

_KINDS: dict[str, SplitKind] = {
    **{kind: kind for kind in get_args(SplitKind)}, "valid": "validation", "val": "validation", "dev": "validation",
    "eval": "validation", "heldout": "held_out",
}  # fmt: skip


class Amount(msgspec.Struct, frozen=True):
    """What one file adds to a family; `file_id` is null where no file is named."""

    split: str
    family: str
    file_id: str | None
    sequences: int
    tokens: int


def split_kind(split: str, given: Mapping[str, SplitKind]) -> SplitKind:
    """What a split is for. Raises UsageError where neither the user nor its name says it."""
    kind = given.get(split, _KINDS.get(split))
    if kind is None or kind not in get_args(SplitKind):
        kinds = ", ".join(get_args(SplitKind))
        raise UsageError(f"split {split!r}: what is it for? give split_kinds={{{split!r}: ...}}, one of {kinds}")
    return kind


def numbered(amounts: Iterable[Amount], kinds: Mapping[str, SplitKind]) -> list[PlanFamily]:
    """The families of a plan. Raises UsageError for a split of which nobody says what it is for."""
    grouped: dict[tuple[str, str], list[Amount]] = {}
    for amount in amounts:
        grouped.setdefault((amount.split, amount.family), []).append(amount)
    found, first = list[PlanFamily](), 0
    for (split, family), own in sorted(grouped.items()):
        sequences = sum(amount.sequences for amount in own)
        found.append(
            PlanFamily(
                split_name=split, split_kind=split_kind(split, kinds), source_family_id=family,
                first_sequence_id=first, end_sequence_id=first + sequences, sequences=sequences,
                tokens=sum(amount.tokens for amount in own),
                shard_ids=[amount.file_id for amount in own if amount.file_id is not None],
            )
        )  # fmt: skip
        first += sequences
    return found
