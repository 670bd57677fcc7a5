"""`psion.weighted_cycle`: families take turns by their weights, and each is drawn in permutations of its sequences.

A position falls in a slot of a cycle of 10,000; the slot names the family. A family's draws walk its sequences in one
keyed permutation after the other: a Feistel network with cycle walking, O(1) in memory (Black and Rogaway, "Ciphers
with arbitrary finite domains", 2002), its round function the finaliser of splitmix64 (Steele, Lea and Flood, "Fast
splittable pseudorandom number generators", 2014).

The trainer has the order too, one position at a time; the two share test vectors and no code.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from psion_ledger.contracts import Contracts, PlanFamily, cycle_slots
from psion_ledger.digest import length_prefixed, sha256

CYCLE_SLOTS = 10_000
ROUNDS = 8
# A round as a table is one look at it, and a table has as many entries as half of a place has values.
TABLE_BITS_MAX = 16
Ids = NDArray[np.int64]
_Words = NDArray[np.uint64]


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
        weights = {w.source_family_id: w.sampling_weight_bps for w in contracts.sampling_policy.source_family_weights}
        self._seed = contracts.sampling_plan.sampler_seed
        train = [f for f in contracts.sampling_plan.families if f.split_kind == "train"]
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
