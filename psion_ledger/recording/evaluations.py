"""Evaluations: the loss of one family of a split, on sequences that the plan promises or that the caller names.

Losses are kept in whole nanonats, which add up the same in any order.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import msgspec

from psion_ledger import events
from psion_ledger.contracts.sampling_plan import EvaluationSet, PlanFamily, SamplingPlan
from psion_ledger.errors import UsageError
from psion_ledger.recording import rows
from psion_ledger.recording.feed import Feed
from psion_ledger.recording.identity import Content

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NANONATS = 10**9


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says of one family of a split; the fields are the arguments of `Recorder.measure`."""

    split: str
    family: str | None
    step: int
    checkpoint_id: str | None
    losses: rows.Numbers | None
    loss_sum: rows.Number | None
    target_tokens: int | None
    ids: rows.Integers | None
    tokens: rows.Rows | None
    lengths: rows.Integers | None


class Reader(Protocol):
    """Who knows the content of sequences."""

    def content(
        self, sequence_ids: list[int], tokens: rows.Rows | None, lengths: rows.Integers | None, what: str
    ) -> Content: ...


class Evaluations:
    """The evaluations of one attempt. A set that is measured again, and a batch, end the one at hand."""

    def __init__(self, feed: Feed, reader: Reader, attempt: int) -> None:
        self._feed, self._reader, self._attempt = feed, reader, attempt
        self._measured: dict[str, set[tuple[str, str]]] = {}

    def end(self) -> None:
        """Training goes on."""
        self._measured.clear()

    def _id(self, step: int, family: PlanFamily) -> str:
        name = first = f"e{self._attempt:04}-s{step:06}"
        key = (family.split_name, family.source_family_id)
        while key in (measured := self._measured.setdefault(name, set())):
            name = f"{first}-{len(self._measured) + 1}"
        measured.add(key)
        return name

    def measured(self, given: Measurement) -> events.SplitLossMeasured:
        """The event of a measurement. Raises UsageError for one that cannot be."""
        plan, what = self._feed.plan, f"measure {given.split}"
        own = family_of(plan, given.split, given.family)
        rows_measured = (
            promised_rows(plan, given.split, given.family)
            if given.ids is None
            else rows.integers_of(given.ids, f"{what}: ids")
        )
        ids = self._feed.identity.ids_in(own, rows_measured)
        found = _sum(given, len(ids), what)
        content = self._reader.content(ids, given.tokens, given.lengths, what)
        row, promised = declared_set(plan, own), range_of(ids)
        return events.SplitLossMeasured(
            evaluation_id=self._id(given.step, own),
            step=given.step,
            checkpoint_id=given.checkpoint_id,
            evaluation_set=row.evaluation_set if row is not None else own.split_name,
            split_name=own.split_name,
            source_family_id=own.source_family_id,
            sequences=len(ids),
            first_sequence_id=None if promised is None else promised.start,
            end_sequence_id=None if promised is None else promised[-1] + 1,
            stride=1 if promised is None else promised.step,
            sequences_sha256=_ids_sha256(ids) if promised is None else None,
            loss_sum_nanonats=found.nanonats,
            is_finite=found.is_finite,
            target_tokens=content.targets(plan.targets, given.target_tokens, what),
            token_sha256=content.token_sha256,
        )


def promised_rows(plan: SamplingPlan, split: str, family: str | None) -> "NDArray[np.int64]":
    """The rows of a family that every evaluation measures. Raises UsageError where none are promised."""
    import numpy as np

    own = family_of(plan, split, family)
    row = declared_set(plan, own)
    if row is None or row.first_sequence_id is None or row.end_sequence_id is None:
        raise UsageError(f"measure {split}: no evaluation set is promised of it; give evaluation_sequences=")
    ids = np.arange(row.first_sequence_id, row.end_sequence_id, row.stride or 1, dtype=np.int64)
    return ids - own.first_sequence_id


def _sum(given: Measurement, sequences: int, what: str) -> "Sum":
    if given.losses is None and given.loss_sum is not None:
        return sum_of([rows.number_of(given.loss_sum, f"{what}: loss_sum")])
    if given.losses is None or given.loss_sum is not None:
        raise UsageError(f"{what}: give losses= of each sequence, or loss_sum= of all of them")
    nats = rows.floats_of(given.losses, f"{what}: losses")
    if len(nats) != sequences:
        raise UsageError(f"{what}: {len(nats)} losses of {sequences} sequences; give one of each")
    return sum_of(nats)


def _ids_sha256(ids: Sequence[int]) -> bytes:
    return hashlib.sha256(struct.pack(f"<{len(ids)}Q", *ids)).digest()


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """A sum of losses in whole nanonats; 0 where one is not finite."""

    nanonats: int
    is_finite: bool


def sum_of(losses_nats: Sequence[float]) -> Sum:
    """Each sequence's loss is rounded half to even, and then they are summed."""
    if not all(math.isfinite(nats) for nats in losses_nats):
        return Sum(nanonats=0, is_finite=False)
    return Sum(nanonats=sum(round(Fraction(nats) * NANONATS) for nats in losses_nats), is_finite=True)


def family_of(plan: SamplingPlan, split: str, family: str | None) -> PlanFamily:
    """The family that a measurement speaks of. Raises UsageError for one that the plan does not have."""
    known = [row for row in plan.families if row.split_name == split and family in (None, row.source_family_id)]
    if len(known) != 1:
        named = ", ".join(f"{row.split_name} {row.source_family_id}" for row in plan.families)
        asked = split if family is None else f"{split} {family}"
        raise UsageError(
            f"measure {asked}: the data have {named}; give one of these, with family= where a split has several"
        )
    return known[0]


def declared_set(plan: SamplingPlan, family: PlanFamily) -> EvaluationSet | None:
    """The set that every evaluation measures of a family, where one is promised."""
    key = (family.split_name, family.source_family_id)
    return next((row for row in plan.evaluation_sets if (row.split_name, row.source_family_id) == key), None)


def range_of(ids: Sequence[int]) -> range | None:
    """Ids as a range, where they are one."""
    if not ids:
        return None
    stride = ids[1] - ids[0] if len(ids) > 1 else 1
    found = range(ids[0], ids[0] + stride * len(ids), stride) if stride > 0 else None
    return found if found is not None and list(found) == list(ids) else None
