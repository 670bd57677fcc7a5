"""Which sequences a batch has: rows of the data as a user counts them, ids as the plan does, and their content."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from psion_ledger import events
from psion_ledger.contracts.sampling_plan import PlanFamily, SamplingPlan, Targets
from psion_ledger.errors import UsageError
from psion_ledger.recording import rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """How many tokens sequences have, and the sha256 of all of them as little-endian uint32."""

    sequences: int
    tokens: int
    token_sha256: bytes

    def targets(self, rule: Targets, given: int | None, what: str) -> int:
        """The tokens with a loss. Raises UsageError where the plan has no rule and nothing is given."""
        if rule == "given":
            if given is None:
                raise UsageError(f"{what}: the plan has no rule for targets; give target_tokens=")
            return int(given)
        ruled = self.tokens - self.sequences if rule == "all_but_first" else self.tokens
        if given is not None and int(given) != ruled:
            raise UsageError(
                f"{what}: target_tokens={given}, and the plan's rule {rule!r} gives {ruled}; correct it, or begin the "
                "run with targets='given'"
            )
        return ruled


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What the events of a batch and of a skipped one share; the fields are theirs."""

    sequences: int
    sequence_ids: list[int]
    sequence_sha256s: list[bytes]
    family_tokens: list[events.FamilyTokens]
    tokens: int
    target_tokens: int
    token_sha256: bytes

    def fields(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)


class Identity:
    """The sequences of a plan. A user counts the rows of the train data from 0, families in the order of their names;
    of a family, its own rows from 0."""

    def __init__(self, plan: SamplingPlan) -> None:
        import numpy as np

        self._plan = plan
        families = plan.train_families
        self._names = [family.source_family_id for family in families]
        self._firsts = np.array([family.first_sequence_id for family in families], np.int64)
        self._ends = np.cumsum([family.sequences for family in families], dtype=np.int64)
        self._befores = self._ends - np.array([family.sequences for family in families], np.int64)

    def rows_of(self, sequence_ids: "NDArray[np.int64]") -> "NDArray[np.int64]":
        """The rows of the train data that have these ids."""
        import numpy as np

        places = np.searchsorted(self._firsts, sequence_ids, side="right") - 1
        found: NDArray[np.int64] = sequence_ids - self._firsts[places] + self._befores[places]
        return found

    def _families_of(self, ids: "NDArray[np.int64]", what: str) -> "NDArray[np.int64]":
        import numpy as np

        if len(ids) and int(ids.max()) >= int(self._ends[-1]):
            raise UsageError(f"{what}: row {int(ids.max())} of {int(self._ends[-1])} of the train data; count from 0")
        found: NDArray[np.int64] = np.searchsorted(self._ends, ids, side="right")
        return found

    def ids_in(self, family: PlanFamily, own: "NDArray[np.int64]") -> list[int]:
        """The ids of a family's own rows. Raises UsageError for a row that it does not have."""
        if len(own) and int(own.max()) >= family.sequences:
            raise UsageError(
                f"measure {family.split_name} {family.source_family_id}: row {int(own.max())} of {family.sequences}; "
                "count from 0"
            )
        found: list[int] = (own + family.first_sequence_id).tolist()
        return found

    def batch(
        self,
        what: str,
        ids: rows.Integers | None,
        tokens: rows.Rows,
        target_tokens: int | None,
        lengths: rows.Integers | None,
        families: Sequence[str] | None,
    ) -> Batch:
        """A batch as it is recorded. Raises UsageError for one that cannot be."""
        read = rows.tokens_of(tokens, lengths, what)
        self._require_lengths(read, what)
        by_content = self._plan.unit == "content"
        if by_content:
            sequence_ids, own = list[int](), self._named(families, len(read.lengths), what)
        else:
            sequence_ids, own = self._numbered(ids, len(read.lengths), what)
        tokens_by_family: dict[str, int] = {}
        for name, length in zip(own, read.lengths, strict=True):
            tokens_by_family[name] = tokens_by_family.get(name, 0) + length
        content = Content(sequences=len(read.lengths), tokens=read.total, token_sha256=read.sha256)
        return Batch(
            sequences=content.sequences,
            sequence_ids=sequence_ids,
            sequence_sha256s=read.row_sha256s() if by_content else [],
            family_tokens=[
                events.FamilyTokens(source_family_id=name, tokens=tokens_by_family[name])
                for name in sorted(tokens_by_family)
            ],
            tokens=content.tokens,
            target_tokens=content.targets(self._plan.targets, target_tokens, what),
            token_sha256=content.token_sha256,
        )

    def _require_lengths(self, read: rows.Tokens, what: str) -> None:
        if (each := self._plan.sequence_tokens) is None:
            return
        for row, length in enumerate(read.lengths):
            if length != each:
                raise UsageError(
                    f"{what}: row {row} has {length} tokens, and each sequence of the data has {each}; give whole "
                    "sequences, or lengths= without the padding"
                )

    def _numbered(self, ids: rows.Integers | None, sequences: int, what: str) -> tuple[list[int], list[str]]:
        if ids is None:
            raise UsageError(f"{what}: give the rows of the train data as ids; unit='content' records without")
        found = rows.integers_of(ids, f"{what}: ids")
        if len(found) != sequences:
            raise UsageError(f"{what}: {len(found)} ids and {sequences} rows of tokens; give one id a row")
        families = self._families_of(found, what)
        sequence_ids: list[int] = (found - self._befores[families] + self._firsts[families]).tolist()
        return sequence_ids, [self._names[place] for place in families.tolist()]

    def _named(self, families: Sequence[str] | None, sequences: int, what: str) -> list[str]:
        known = sorted(set(self._names))
        if families is None and len(known) == 1:
            return known * sequences
        if families is None or len(families) != sequences or not set(families) <= set(known):
            raise UsageError(f"{what}: give families= of each of {sequences} rows, among {', '.join(known)}")
        return list(families)
