"""`psion_ledger.sampling_plan.v1`: which sequences there are, in which order they come, and how steps take them.

Sequence ids are dense from 0 over all families of all splits, sorted by split and then family. Positions are places in
the run's consumption: global, from 0, never restarting. `plan_rules` has what a plan must hold.
"""

from typing import Literal

from msgspec import field

from psion_ledger.contracts.values import U64, Part
from psion_ledger.events import Count, Ordinal, SplitKind

SCHEMA_VERSION = "psion_ledger.sampling_plan.v1"
ROLE = "sampling_plan"
TRAIN_PROBE = "train_probe"

OrderKind = Literal["derived", "materialised", "undeclared"]
MayRepeat = Literal["nothing", "padding", "anything"]
Unit = Literal["sequence", "window", "content"]
Targets = Literal["all_but_first", "all", "given"]
PassEnd = Literal["spans", "short_batch"]
Layout = Literal["rank_major", "micro_major"]
Take = Literal["contiguous", "strided"]
LossDivisor = Literal["target_tokens", "other"]


class PlanFamily(Part, frozen=True, kw_only=True):
    """One family of one split.

    split_name, split_kind: the split. source_family_id: the family.
    first_sequence_id, end_sequence_id: its sequences, half open.
    sequences: how many. tokens: of all of them.
    shard_ids: the shards that hold them, in order.
    """

    split_name: str
    split_kind: SplitKind
    source_family_id: str
    first_sequence_id: Count
    end_sequence_id: Count
    sequences: Count
    tokens: Count
    shard_ids: list[str]


class OrderParameter(Part, frozen=True, kw_only=True):
    """name: a parameter of a derived order. value: as that order asks for it."""

    name: str
    value: bool | int | str | list[int]


class PlanOrder(Part, frozen=True, kw_only=True):
    """Which sequence stands at each position.

    kind: derived from the contracts, written down in files before training, or not declared.
    name, version: of a derived order.
    seed: what it is derived from, 0 to 2**64 - 1. parameters: what else, sorted by name.
    may_repeat: what may come twice in one pass.
    why: the reason why no order is declared.
    """

    kind: OrderKind
    name: str | None = None
    version: str | None = None
    seed: U64 | None = None
    parameters: list[OrderParameter] = field(default_factory=list)
    may_repeat: MayRepeat
    why: str | None = None


class EvaluationSet(Part, frozen=True, kw_only=True):
    """The sequences of one family that every evaluation measures.

    evaluation_set: `train_probe` for the train split, else the split's own name.
    split_name, source_family_id: the family.
    first_sequence_id, end_sequence_id, stride: every `stride`th sequence from the first on, inside the family's own;
    without them the set is sampled anew by each evaluation.
    sequences: how many.
    """

    evaluation_set: str
    split_name: str
    source_family_id: str
    first_sequence_id: Count | None = None
    end_sequence_id: Count | None = None
    stride: Ordinal | None = None
    sequences: Count


class Cadence(Part, frozen=True, kw_only=True):
    """every_steps: after each multiple of so many steps, where there is one. at_start: before the first step.
    at_end: after the last one."""

    every_steps: Ordinal | None = None
    at_start: bool
    at_end: bool


class PlannedSkip(Part, frozen=True, kw_only=True):
    """before_step: sequences that are left out before this step. sequences: how many."""

    before_step: Ordinal
    sequences: Ordinal


class Passes(Part, frozen=True, kw_only=True):
    """sequences: positions of one pass, where passes end at all. end: the batch at hand goes on into the next pass, or
    it ends with the pass."""

    sequences: Ordinal | None = None
    end: PassEnd


class BatchSize(Part, frozen=True, kw_only=True):
    """first_step: the step from which on a global batch has so many sequences. sequences: over all ranks."""

    first_step: Ordinal
    sequences: Ordinal


class BatchRule(Part, frozen=True, kw_only=True):
    """schedule: sizes of the global batch, by first step; without it they are not promised.
    micro_batch_sequences: sequences that one rank takes at once; without it that is not promised."""

    schedule: list[BatchSize] | None = None
    micro_batch_sequences: Ordinal | None = None


class RankRule(Part, frozen=True, kw_only=True):
    """layout: whether a step is dealt to the ranks first, or to the micro steps.
    take: whether a rank takes neighbours, or every world-th position."""

    layout: Layout
    take: Take


class SamplingPlan(Part, frozen=True, kw_only=True):
    """The plan.

    schema_version: `psion_ledger.sampling_plan.v1`.
    dataset_identity: `dataset_id@dataset_version` of the corpus.
    families: ranges of sequence ids, sorted by (split_name, source_family_id).
    order: which sequence stands at each position.
    unit: how a sequence is named: a row of the index, a window of `sequence_tokens` tokens by the place of its first
    one in its family, counted on from `first_sequence_id`, or its content alone.
    sequence_tokens: tokens in every sequence; without it the index says.
    token_dtype: little-endian type of a token id in every shard file; without it each file says its own.
    targets: which tokens of a sequence have a loss.
    passes, batch, ranks: how passes, steps and ranks take positions.
    planned_skips: sequences that are drawn and left out, by step.
    horizon_steps: steps planned.
    evaluation_sets: what evaluations measure, sorted as the families.
    evaluations, checkpoints: when; without them that is not promised.
    loss_divisor: what a step's loss sum is divided by.
    norm_is_global, rate_is_global: whether all ranks have the same gradient norm, and the same learning rate.
    """

    schema_version: str
    dataset_identity: str
    families: list[PlanFamily]
    order: PlanOrder
    unit: Unit
    sequence_tokens: Ordinal | None = None
    token_dtype: Literal["uint16", "uint32"] | None = None
    targets: Targets
    passes: Passes
    batch: BatchRule
    ranks: RankRule
    planned_skips: list[PlannedSkip] = field(default_factory=list)
    horizon_steps: Count
    evaluation_sets: list[EvaluationSet]
    evaluations: Cadence | None = None
    checkpoints: Cadence | None = None
    loss_divisor: LossDivisor
    norm_is_global: bool
    rate_is_global: bool

    @property
    def train_families(self) -> list[PlanFamily]:
        """The families that training draws from."""
        return [family for family in self.families if family.split_kind == "train"]
