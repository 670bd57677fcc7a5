"""The order: which sequence stands at which position.

Positions 0, 1, 2, ... are global and never restart. A cycle of 10,000 slots holds each family as often as
its sampling weight says, evenly spread. A family's draws walk through a keyed permutation of its sequences,
then through the next one. Nothing is stored: any position is computed on its own in O(1) memory, and it is
the same for any world size, number of micro steps, and place of resumption.

Sources: Feistel networks as keyed permutations, Luby and Rackoff 1988; cycle walking, Black and Rogaway 2002;
the round function is the finaliser of splitmix64, Steele, Lea and Flood 2014.
"""

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

ORDER_NAME, ORDER_VERSION = "psion.weighted_cycle", "1"
CYCLE_SLOTS = 10_000
ROUNDS = 8
_KEY_DOMAIN = b"psion-ledger/v1/permutation\0"
_MASK_64 = 2**64 - 1


@dataclass(frozen=True)
class Family:
    """A family of the train split: its share of the slots, and its dense range of sequence ids."""

    source_family_id: str
    sampling_weight_bps: int
    first_sequence_id: int
    sequences: int


@dataclass(frozen=True)
class Order:
    """The order of one run. Weights sum to 10,000; `seed` is the replay contract's shuffle seed."""

    seed: int
    families: tuple[Family, ...]

    @cached_property
    def slots(self) -> tuple[tuple[Family, int], ...]:
        """The 10,000 slots of a cycle: the family, and the slot's rank within that family."""
        keyed = [
            (Fraction(2 * rank + 1, 2 * family.sampling_weight_bps), family.source_family_id, rank, family)
            for family in self.families
            for rank in range(family.sampling_weight_bps)
        ]
        keyed.sort(key=lambda slot: slot[:2])
        return tuple((family, rank) for _, _, rank, family in keyed)

    def sequence_at(self, position: int) -> tuple[str, int]:
        """(source family id, sequence id) of the sequence at a position."""
        cycle, slot = divmod(position, CYCLE_SLOTS)
        family, rank = self.slots[slot]
        number, index = divmod(cycle * family.sampling_weight_bps + rank, family.sequences)
        entry = permuted(index, family.sequences, self.seed, family.source_family_id, number)
        return family.source_family_id, family.first_sequence_id + entry

    def smallest_horizon_steps(self, global_batch: int) -> int:
        """The fewest steps in which every family of the policy draws at least once."""
        first_slots: dict[str, int] = {}
        for slot, (family, _) in enumerate(self.slots):
            first_slots.setdefault(family.source_family_id, slot)
        return max(first_slots.values()) // global_batch + 1


def order_of(contracts: dict[str, Any]) -> Order:
    """The order that the contracts (decoded JSON by role) promise."""
    weights = {row["source_family_id"]: row for row in contracts["sampling_policy"]["source_family_weights"]}
    return Order(
        contracts["tokenized_corpus"]["replay_contract"]["deterministic_shuffle_seed"],
        tuple(
            Family(
                row["source_family_id"],
                weights[row["source_family_id"]]["sampling_weight_bps"],
                row["first_sequence_id"],
                row["sequences"],
            )
            for row in contracts["sampling_plan"]["families"]
            if row["split_kind"] == "train"
        ),
    )


def micro_batch_positions(
    step: int, *, global_batch: int, world_size: int, micro_steps: int, rank: int, micro_step: int
) -> range:
    """The positions that one rank consumes in one micro step of a step (1-based), rank-major.

    `global_batch` is a multiple of `world_size * micro_steps`; ranks and micro steps count from 0.
    """
    size = global_batch // (world_size * micro_steps)
    first = (step - 1) * global_batch + (rank * micro_steps + micro_step) * size
    return range(first, first + size)


def permuted(index: int, count: int, seed: int, family: str, number: int) -> int:
    """Entry `index` of the family's permutation `number` of 0..count-1: a bijection for each key.

    A Feistel network over an even number of bits, repeated until the value is below `count` (cycle walking;
    the domain is below 4 * count, so four rounds of walking are expected at most).
    """
    half_bits = max(1, ((count - 1).bit_length() + 1) // 2)
    mask = (1 << half_bits) - 1
    keys = _round_keys(seed, family, number)
    value = index
    while True:
        left, right = value >> half_bits, value & mask
        for key in keys:
            left, right = right, left ^ (_mixed(right, key) & mask)
        value = left << half_bits | right
        if value < count:
            return value


@lru_cache(maxsize=1024)
def _round_keys(seed: int, family: str, number: int) -> tuple[int, ...]:
    keys = []
    for round_number in range(ROUNDS):
        digest = hashlib.sha256(_KEY_DOMAIN)
        for part in (str(seed), family, str(number), str(round_number)):
            digest.update(len(part.encode()).to_bytes(4, "big") + part.encode())
        keys.append(int.from_bytes(digest.digest()[:8], "little"))
    return tuple(keys)


def _mixed(value: int, key: int) -> int:
    z = (value + key) & _MASK_64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK_64
    return z ^ (z >> 31)
