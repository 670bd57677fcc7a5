"""What the practices are made of: a plan, a loop over it, and the faults of its neighbours."""

from collections.abc import Callable
from typing import Any

import msgspec
import torch

from psion_ledger.contracts import Contracts, SamplingPlan
from psion_ledger.contracts.sampling_plan import BatchRule, BatchSize, OrderParameter, Passes, PlanOrder, RankRule
from tests.ledgers import Script
from tests.practices import faults
from tests.practices.recorder import Attempt, Loop, one_family

SEED, TOKENS = 5, 16
Break = Callable[[Script], Script]


class Neighbour(msgspec.Struct, frozen=True, kw_only=True):
    """A faulty neighbour: what the loop did wrong, and where that must be named."""

    fault: str
    law: str
    step: int | None
    rank: int | None
    made: Break


class Practice(msgspec.Struct, frozen=True, kw_only=True):
    """A practice by name, the loop that does it, the level that its record reaches, and two faulty neighbours."""

    name: str
    loop: Loop
    level: str = "ordered"
    neighbours: tuple[Neighbour, Neighbour]


def randperm(entries: int, seed: int) -> list[int]:
    """Said by torch itself, not by the engine."""
    permutation: list[int] = torch.randperm(entries, generator=torch.Generator().manual_seed(seed)).tolist()
    return permutation


def shuffled(entries: int, length: int | None = None) -> Callable[[int], int]:
    """The entry at a position, where each pass is a permutation of its own, cut or filled up from its head."""
    length = entries if length is None else length
    return lambda position: randperm(entries, SEED + position // length)[position % length % entries]


def order(may_repeat: Any = "nothing", name: str = "torch.randperm", seed: int = SEED, **parameters: Any) -> PlanOrder:
    known = [OrderParameter(name=key, value=value) for key, value in sorted(parameters.items())]
    return PlanOrder(kind="derived", name=name, version="1", seed=seed, parameters=known, may_repeat=may_repeat)


def undeclared(why: str) -> PlanOrder:
    return PlanOrder(kind="undeclared", why=why, may_repeat="anything")


def plan(entries: int, by: PlanOrder, *, steps: int, batch: int, **changes: Any) -> SamplingPlan:
    made = SamplingPlan(
        schema_version="psion_ledger.sampling_plan.v1",
        dataset_identity="rows@1",
        families=one_family(entries, TOKENS),
        order=by,
        unit="sequence",
        sequence_tokens=TOKENS,
        token_dtype="uint16",
        targets="all_but_first",
        passes=Passes(sequences=entries, end="spans"),
        batch=BatchRule(schedule=[BatchSize(first_step=1, sequences=batch)], micro_batch_sequences=batch),
        ranks=RankRule(layout="micro_major", take="contiguous"),
        horizon_steps=steps,
        evaluation_sets=[],
        loss_divisor="target_tokens",
        norm_is_global=True,
        rate_is_global=True,
    )
    return msgspec.structs.replace(made, **changes)


def sizes(batch: int, micro: int) -> BatchRule:
    return BatchRule(schedule=[BatchSize(first_step=1, sequences=batch)], micro_batch_sequences=micro)


def loop(own: SamplingPlan, entry: Callable[[int], int], *attempts: Attempt, **more: Any) -> Loop:
    known: dict[str, Any] = {"tokens": lambda entry: TOKENS} | more
    starts = attempts or (Attempt(until=own.horizon_steps),)
    return Loop(contracts=Contracts(sampling_plan=own), entry=entry, attempts=starts, **known)


def swapped(step: int, other: int, rank: int = 0) -> Neighbour:
    return Neighbour(
        fault=f"the batches of steps {step} and {other} changed places", law="batches_follow_the_order", step=step,
        rank=rank,
        made=lambda s: faults.exchanged(s, faults.batches(s, step, rank)[0], faults.batches(s, other, rank)[0]),
    )  # fmt: skip


def lost(step: int, rank: int = 0, nth: int = 0) -> Neighbour:
    return Neighbour(
        fault="a micro batch was lost", law="batches_take_their_positions", step=step, rank=rank,
        made=lambda s: faults.lost(s, faults.batches(s, step, rank)[nth]),
    )  # fmt: skip


def at_positions(step: int, fault: str, rank: int = 0, attempt: int = 1, **changes: Any) -> Neighbour:
    return Neighbour(
        fault=fault, law="batches_take_their_positions", step=step, rank=rank,
        made=lambda s: faults.replaced(s, faults.batches(s, step, rank, attempt)[0], **changes),
    )  # fmt: skip


def at_step(step: int, fault: str, law: str, **changes: Any) -> Neighbour:
    return Neighbour(
        fault=fault, law=law, step=step, rank=0,
        made=lambda s: faults.replaced(s, faults.completed_at(s, step), **changes),
    )  # fmt: skip
