"""`psion_ledger.sampling_plan.v1`: every number that the order of batches follows from, and the slot table.

Sequence ids are dense from 0 over all families of all splits, sorted by split and then family. A position of
training falls in slot `position mod 10,000` of the policy's cycle; the slot names the family that is drawn.
"""

from functools import lru_cache
from math import lcm
from typing import Literal

from psion_ledger.contracts.finding import (
    ContractFinding,
    Findings,
    at_least,
    covers,
    document_rules,
    equal,
    unique,
)
from psion_ledger.contracts.values import U64, Part, Sha256Hex
from psion_ledger.events import Count, SplitKind

SCHEMA_VERSION = "psion_ledger.sampling_plan.v1"
ROLE = "sampling_plan"
TRAIN_PROBE = "train_probe"


class PlanFamily(Part, frozen=True, kw_only=True):
    """One family of one split.

    split_name, split_kind: the split. source_family_id: the family.
    first_sequence_id, end_sequence_id: its sequences, half open.
    sequences: how many. tokens: `sequences x sequence_tokens`.
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


class EvaluationSet(Part, frozen=True, kw_only=True):
    """The sequences of one family that every evaluation measures.

    evaluation_set: `train_probe` for the train split, else the split's own name.
    split_name, split_kind: the split. source_family_id: the family.
    first_sequence_id, end_sequence_id: the sequences, half open, inside the family's own.
    sequences: how many.
    """

    evaluation_set: str
    split_name: str
    split_kind: SplitKind
    source_family_id: str
    first_sequence_id: Count
    end_sequence_id: Count
    sequences: Count


class SamplingPlan(Part, frozen=True, kw_only=True):
    """The plan.

    schema_version: `psion_ledger.sampling_plan.v1`.
    dataset_identity: `dataset_id@dataset_version` of the corpus.
    sampler_name, sampler_version: the order's definition.
    sampler_seed: the corpus's deterministic_shuffle_seed, 0 to 2**64 - 1.
    sequence_tokens: tokens in every sequence.
    token_dtype: little-endian type of a token id in the shard files.
    global_batch_sequences: sequences a step. micro_steps: forward passes a step.
    horizon_steps: steps planned.
    families: ranges of sequence ids, sorted by (split_name, source_family_id).
    evaluation_sets: one for each of `families`.
    sequence_index_sha256: hex SHA-256 of the sequence index's Parquet file.
    """

    schema_version: str
    dataset_identity: str
    sampler_name: str
    sampler_version: str
    sampler_seed: U64
    sequence_tokens: Count
    token_dtype: Literal["uint16", "uint32"]
    global_batch_sequences: Count
    micro_steps: Count
    horizon_steps: Count
    families: list[PlanFamily]
    evaluation_sets: list[EvaluationSet]
    sequence_index_sha256: Sha256Hex

    @property
    def horizon_positions(self) -> int:
        """Train sequences that the whole plan draws."""
        return self.horizon_steps * self.global_batch_sequences


@lru_cache(maxsize=16)
def _slot_table(weights: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    # (2k + 1) / (2 w) compared over one denominator, so that equal keys are equal and nothing is rounded.
    scale = lcm(*(weight for _, weight in weights))
    keys = [((2 * k + 1) * (scale // weight), family) for family, weight in weights for k in range(weight)]
    return tuple(family for _, family in sorted(keys))


def cycle_slots(weights: dict[str, int]) -> list[str]:
    """The family of each slot of one cycle, in slot order: sum(weights) of them, 10,000 for a policy.

    Family f's k-th slot has key (2k+1)/(2*weight_f); slots sort by key, ties by family id. Each weight >= 1.
    """
    return list(_slot_table(tuple(sorted(weights.items()))))


def family_draws(weights: dict[str, int], positions: int) -> dict[str, int]:
    """How many of the positions [0, positions) draw each family, exactly."""
    slots = cycle_slots(weights)
    cycles, rest = divmod(positions, len(slots))
    draws = {family: cycles * weight for family, weight in weights.items()}
    for family in slots[:rest]:
        draws[family] += 1
    return draws


def _count_rules(plan: SamplingPlan) -> Findings:
    yield from at_least(f"{ROLE}#/sequence_tokens", 1, plan.sequence_tokens)
    yield from at_least(f"{ROLE}#/global_batch_sequences", 1, plan.global_batch_sequences)
    yield from at_least(f"{ROLE}#/micro_steps", 1, plan.micro_steps)
    yield from at_least(f"{ROLE}#/horizon_steps", 1, plan.horizon_steps)
    if plan.micro_steps and plan.global_batch_sequences % plan.micro_steps:
        expected, actual = f"a multiple of {plan.micro_steps} micro steps", str(plan.global_batch_sequences)
        yield ContractFinding("IndivisibleBatch", f"{ROLE}#/global_batch_sequences", expected, actual)


def _family_rules(plan: SamplingPlan) -> Findings:
    end, previous = 0, ("", "")
    kinds: dict[str, SplitKind] = {}
    for index, family in enumerate(plan.families):
        at, key = f"{ROLE}#/families/{index}", (family.split_name, family.source_family_id)
        if key <= previous:
            expected, actual = f"after {'/'.join(previous)}, each once", "/".join(key)
            yield ContractFinding("FamilyOrderMismatch", at, expected, actual)
        kind = kinds.setdefault(family.split_name, family.split_kind)
        yield from equal(f"{at}/split_kind", kind, family.split_kind, "SplitKindMismatch")
        yield from equal(f"{at}/first_sequence_id", end, family.first_sequence_id, "SequenceRangeMismatch")
        yield from at_least(f"{at}/sequences", 1, family.sequences)
        own_end = family.first_sequence_id + family.sequences
        yield from equal(f"{at}/end_sequence_id", own_end, family.end_sequence_id, "SequenceRangeMismatch")
        tokens = family.sequences * plan.sequence_tokens
        yield from equal(f"{at}/tokens", tokens, family.tokens, "CountMismatch")
        yield from unique(f"{at}/shard_ids", family.shard_ids)
        end, previous = family.end_sequence_id, key


def _evaluation_rules(plan: SamplingPlan) -> Findings:
    at = f"{ROLE}#/evaluation_sets"
    families = {(family.split_name, family.source_family_id): family for family in plan.families}
    measured = [(row.split_name, row.source_family_id) for row in plan.evaluation_sets]
    yield from unique(at, measured)
    yield from covers(at, families, measured, "SourceFamilyCoverageMismatch")
    for index, (key, row) in enumerate(zip(measured, plan.evaluation_sets, strict=True)):
        family = families.get(key)
        if family is None:
            continue
        own = TRAIN_PROBE if family.split_kind == "train" else family.split_name
        yield from equal(f"{at}/{index}/evaluation_set", own, row.evaluation_set)
        yield from equal(f"{at}/{index}/split_kind", family.split_kind, row.split_kind, "SplitKindMismatch")
        first, end = row.first_sequence_id, row.end_sequence_id
        if not family.first_sequence_id <= first <= end <= family.end_sequence_id:
            expected = f"inside [{family.first_sequence_id}, {family.end_sequence_id})"
            actual = f"[{first}, {end})"
            yield ContractFinding("SequenceRangeMismatch", f"{at}/{index}", expected, actual)
        yield from at_least(f"{at}/{index}/sequences", 1, row.sequences)
        yield from equal(f"{at}/{index}/sequences", end - first, row.sequences, "CountMismatch")


def rules(plan: SamplingPlan) -> list[ContractFinding]:
    """What the plan must hold by itself."""
    return [
        *document_rules(ROLE, SCHEMA_VERSION, plan),
        *_count_rules(plan),
        *_family_rules(plan),
        *_evaluation_rules(plan),
    ]
