"""The order of a run, written a second time and vectorised.

The trainer has the order too, one position at a time; the two share test vectors and no code. Positions, draws and
sequence ids are int64 columns; a permutation is a keyed Feistel network with cycle walking, O(1) in memory (Black
and Rogaway, "Ciphers with arbitrary finite domains", 2002), its round function the finaliser of splitmix64 (Steele,
Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
"""

import pyarrow as pa
import pyarrow.compute as pc

from psion_ledger.contracts import Contracts, PlanFamily, cycle_slots
from psion_ledger.digest import length_prefixed, sha256

CYCLE_SLOTS = 10_000
ROUNDS = 8


def _u64(value: int) -> pa.Scalar:
    return pa.scalar(value, pa.uint64())


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


def _mixed(values: pa.Array) -> pa.Array:
    """splitmix64's finaliser; uint64 arithmetic wraps."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = pc.multiply(pc.bit_wise_xor(values, pc.shift_right(values, _u64(shift))), _u64(factor))
    return pc.bit_wise_xor(values, pc.shift_right(values, _u64(31)))


def permuted(places: pa.Array, size: int, keys: list[int]) -> pa.Array:
    """Where a bijection of 0..size-1 takes each place (uint64)."""
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    half, mask = _u64(half_bits), _u64((1 << half_bits) - 1)

    def encrypted(values: pa.Array) -> pa.Array:
        left, right = pc.shift_right(values, half), pc.bit_wise_and(values, mask)
        for key in keys:
            left, right = (
                right,
                pc.bit_wise_xor(left, pc.bit_wise_and(_mixed(pc.add(right, _u64(key))), mask)),
            )
        return pc.bit_wise_or(pc.shift_left(left, half), right)

    walked = encrypted(places)
    while pc.any(outside := pc.greater_equal(walked, _u64(size))).as_py():
        walked = pc.replace_with_mask(walked, outside, encrypted(walked.filter(outside)))
    return walked


class Order:
    """Which sequence stands at each position: the plan's families, the policy's slots, the contract's seed."""

    def __init__(self, contracts: Contracts) -> None:
        weights = {w.source_family_id: w.sampling_weight_bps for w in contracts.sampling_policy.source_family_weights}
        self._seed = contracts.sampling_plan.sampler_seed
        self._families = [f for f in contracts.sampling_plan.families if f.split_kind == "train"]
        place = {family.source_family_id: index for index, family in enumerate(self._families)}
        drawn = dict.fromkeys(weights, 0)
        family_of_slot, draw_of_slot = [], []
        for family in cycle_slots(weights):
            family_of_slot.append(place[family])
            draw_of_slot.append(drawn[family])
            drawn[family] += 1
        self._family_of_slot = pa.array(family_of_slot, pa.int64())
        self._draw_of_slot = pa.array(draw_of_slot, pa.int64())
        self._weights = [weights[family.source_family_id] for family in self._families]

    def sequence_ids(self, first: int, end: int) -> pa.Array:
        """The sequence id (int64) at each position in [first, end)."""
        positions = pa.array(range(first, end), pa.int64())
        cycles = pc.divide(positions, CYCLE_SLOTS)
        slots = pc.subtract(positions, pc.multiply(cycles, CYCLE_SLOTS))
        families, in_cycle = self._family_of_slot.take(slots), self._draw_of_slot.take(slots)
        rows, ids = [], []
        for index, family in enumerate(self._families):
            here = pc.indices_nonzero(pc.equal(families, index))
            draws = pc.add(pc.multiply(cycles.take(here), self._weights[index]), in_cycle.take(here))
            rows.append(here)
            ids.append(self._drawn(family, draws))
        order = pc.sort_indices(pa.concat_arrays(rows))
        return pa.concat_arrays(ids).take(order)

    def _drawn(self, family: PlanFamily, draws: pa.Array) -> pa.Array:
        permutations = pc.divide(draws, family.sequences)
        places = pc.subtract(draws, pc.multiply(permutations, family.sequences)).cast(pa.uint64())
        # Draws ascend, so each permutation is one run of them.
        found = [
            permuted(
                places.filter(pc.equal(permutations, number)),
                family.sequences,
                round_keys(self._seed, family.source_family_id, number),
            )
            for number in pc.unique(permutations).to_pylist()
        ]
        ids = pa.concat_arrays(found).cast(pa.int64()) if found else pa.array([], pa.int64())
        return pc.add(ids, family.first_sequence_id)
