"""`psion.weighted_cycle`: families take turns by their weights, and each is drawn in permutations of its sequences.

A position falls in a slot of a cycle of 10,000; the slot names the family. A family's draws walk its sequences in one
keyed permutation after the other: a Feistel network with cycle walking, O(1) in memory (Black and Rogaway, "Ciphers
with arbitrary finite domains", 2002), its round function the finaliser of splitmix64 (Steele, Lea and Flood, "Fast
splittable pseudorandom number generators", 2014).

The trainer has the order too, one position at a time; the two share test vectors and no code.
"""

from functools import lru_cache
from math import lcm
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from psion_ledger.contracts import ContractFinding, Contracts, PlanFamily, SamplingPlan, SamplingPolicy
from psion_ledger.contracts.finding import Findings
from psion_ledger.contracts.sampling_plan import ROLE
from psion_ledger.contracts.steps import position_after
from psion_ledger.contracts.values import TOTAL_BPS
from psion_ledger.digest import length_prefixed, sha256
from psion_ledger.orders.parameters import findings
from psion_ledger.orders.passes import Ids

NAME, VERSION = "psion.weighted_cycle", "1"
CYCLE_SLOTS = 10_000
ROUNDS = 8
# A round as a table is one look at it, and a table has as many entries as half of a place has values.
TABLE_BITS_MAX = 16
_Words = NDArray[np.uint64]


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


def rules(contracts: Contracts) -> list[ContractFinding]:
    """What this order asks of contracts that hold their own rules."""
    return list(_rules(contracts))


def _rules(contracts: Contracts) -> Findings:
    """Every train family is drawn within the horizon, within its cap, and once only in a single pass.

    Sequences are all of one length, so shares of tokens are shares of draws; a cap allows one of rounding.
    """
    plan, policy, corpus = contracts.sampling_plan, contracts.sampling_policy, contracts.tokenized_corpus
    if policy is None or corpus is None:
        expected, actual = "a sampling policy and a corpus, which it follows", "not declared"
        yield ContractFinding("MissingContract", f"{ROLE}#/order", expected, actual)
        return
    yield from findings(contracts, {})
    if plan.unit != "sequence" or plan.sequence_tokens is None:
        expected, actual = "sequences of one length", f"unit {plan.unit}, {plan.sequence_tokens} tokens"
        yield ContractFinding("OrderMismatch", f"{ROLE}#/sequence_tokens", expected, actual)
    if plan.batch.schedule is None:
        return
    positions, at = position_after(plan, plan.horizon_steps), f"{ROLE}#/horizon_steps"
    draws = family_draws(policy.weights, positions)
    if never := sorted(family for family, count in draws.items() if count == 0):
        expected = f"at least {_fewest_steps(plan, policy)} steps, so that each family is drawn"
        actual = f"{plan.horizon_steps}, which never draws {', '.join(never)}"
        yield ContractFinding("FamilyNeverDrawn", at, expected, actual)
    for index, row in enumerate(policy.source_family_weights):
        count, cap = draws[row.source_family_id], row.maximum_family_token_share_bps
        if (count - 1) * TOTAL_BPS > cap * positions:
            cap_at = f"sampling_policy#/source_family_weights/{index}/maximum_family_token_share_bps"
            expected = f"room for {count} of {positions} planned sequences"
            yield ContractFinding("ShareAboveCap", cap_at, expected, str(cap))
    if corpus.replay_contract.iteration_mode == "single_pass":
        for family in plan.train_families:
            if (count := draws[family.source_family_id]) > family.sequences:
                expected = f"at most {family.sequences} draws of {family.source_family_id} in a single pass"
                actual = f"{plan.horizon_steps}, which makes {count}"
                yield ContractFinding("ReplayContractMismatch", at, expected, actual)


def _fewest_steps(plan: SamplingPlan, policy: SamplingPolicy) -> int:
    """The smallest horizon in which every family is drawn."""
    slots = cycle_slots(policy.weights)
    needed = 1 + max(slots.index(family) for family in policy.weights)
    step = 1
    while position_after(plan, step) < needed:
        step += 1
    return step


def round_keys(seed: int, family: str, permutation: int) -> list[int]:
    """The Feistel network's keys, one uint64 a round, from the replay contract's seed."""
    prefix = b"psion-ledger/v1/permutation\0"
    return [
        int.from_bytes(
            sha256(prefix + length_prefixed(*(str(p).encode() for p in (seed, family, permutation, number))))[:8],
            "little",
        )
        for number in range(ROUNDS)
    ]


def _mixed(values: _Words) -> _Words:
    """splitmix64's finaliser; uint64 arithmetic wraps."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))


class _Network:
    """One permutation of 0..size-1. Each round is a table where so many places are asked that it pays."""

    def __init__(self, size: int, keys: list[int], places: int) -> None:
        self._size = np.uint64(size)
        half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
        self._half, self._mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
        self._keys = [np.uint64(key) for key in keys]
        self._tables: list[_Words] | None = None
        if half_bits <= TABLE_BITS_MAX and places >= 1 << half_bits:
            values = np.arange(1 << half_bits, dtype=np.uint64)
            self._tables = [self._round(values, key) for key in self._keys]

    def _round(self, values: _Words, key: np.uint64) -> _Words:
        return _mixed(values + key) & self._mask

    def _encrypted(self, values: _Words) -> _Words:
        left, right = values >> self._half, values & self._mask
        for number, key in enumerate(self._keys):
            mixed = self._round(right, key) if self._tables is None else self._tables[number][right]
            left, right = right, left ^ mixed
        return (left << self._half) | right

    def permuted(self, places: _Words) -> _Words:
        walked = self._encrypted(places)
        while (outside := np.flatnonzero(walked >= self._size)).size:
            walked[outside] = self._encrypted(walked[outside])
        return walked


def permuted(places: _Words, size: int, keys: list[int]) -> _Words:
    """Where a bijection of 0..size-1 takes each place (uint64)."""
    return _Network(size, keys, len(places)).permuted(places)


class _Family(NamedTuple):
    """A training family, and how many slots of a cycle are its own."""

    plan: PlanFamily
    weight: int


class WeightedCycle:
    """Which sequence stands at each position: the plan's families, the policy's slots, the contract's seed."""

    def __init__(self, contracts: Contracts) -> None:
        policy, seed = contracts.sampling_policy, contracts.sampling_plan.order.seed
        assert policy is not None, "its rules ask for one"
        assert seed is not None, "a derived order has a seed"
        weights = policy.weights
        self._seed = seed
        train = contracts.sampling_plan.train_families
        self._families = [_Family(f, weights[f.source_family_id]) for f in train]
        place = {family.source_family_id: index for index, family in enumerate(train)}
        drawn = dict.fromkeys(weights, 0)
        family_of_slot, draw_of_slot = [], []
        for family in cycle_slots(weights):
            family_of_slot.append(place[family])
            draw_of_slot.append(drawn[family])
            drawn[family] += 1
        self._family_of_slot = np.array(family_of_slot, np.int64)
        self._draw_of_slot = np.array(draw_of_slot, np.int64)

    def sequence_ids(self, first: int, end: int) -> Ids:
        """The sequence id (int64) at each position in [first, end)."""
        positions = np.arange(first, end, dtype=np.int64)
        cycles, slots = np.divmod(positions, CYCLE_SLOTS)
        families, in_cycle = self._family_of_slot[slots], self._draw_of_slot[slots]
        ids = np.empty(len(positions), np.int64)
        for index, family in enumerate(self._families):
            here = np.flatnonzero(families == index)
            ids[here] = self._drawn(family.plan, cycles[here] * family.weight + in_cycle[here])
        return ids

    def _drawn(self, family: PlanFamily, draws: Ids) -> Ids:
        """The sequences of a family's draws, which ascend: each permutation is one run of them."""
        permutations, places = np.divmod(draws, family.sequences)
        ids = np.empty(len(draws), np.int64)
        numbers, starts = np.unique(permutations, return_index=True)
        ends = np.append(starts, len(draws))[1:]
        for number, start, end in zip(numbers.tolist(), starts, ends, strict=True):
            keys = round_keys(self._seed, family.source_family_id, number)
            found = permuted(places[start:end].astype(np.uint64), family.sequences, keys)
            ids[start:end] = found.astype(np.int64)
        return ids + family.first_sequence_id
