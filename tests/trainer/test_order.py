"""The order: shares, permutations, and the same positions however they are divided."""

import sys
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from trainer.order import CYCLE_SLOTS, Family, Order, micro_batch_positions, permuted

ORDER = Order(1337, (Family("code", 5500, 10, 40), Family("prose", 3000, 50, 7), Family("specs", 1500, 57, 1)))


@given(
    count=st.integers(1, 300),
    seed=st.integers(0, 2**64 - 1),
    family=st.text(min_size=1, max_size=9),
    number=st.integers(0, 2**40),
)
def test_each_permutation_is_a_bijection(count: int, seed: int, family: str, number: int) -> None:
    """Every entry of 0..n-1 comes exactly once, for any key."""
    drawn = sorted(permuted(index, count, seed, family, number) for index in range(count))
    assert drawn == list(range(count))


def test_permutations_are_pinned() -> None:
    """The bits that runs depend on: a change of the cipher, its keys or its rounds shows here."""
    assert [permuted(index, 12, 1337, "library_code", 0) for index in range(12)] == [
        7,
        3,
        0,
        5,
        11,
        4,
        10,
        6,
        9,
        8,
        1,
        2,
    ]
    assert [permuted(index, 12, 1337, "library_code", 1) for index in range(12)] == [
        5,
        7,
        11,
        2,
        4,
        8,
        3,
        0,
        6,
        1,
        9,
        10,
    ]


@given(cycle=st.integers(0, 2**30))
def test_a_cycle_draws_each_family_by_its_weight(cycle: int) -> None:
    """10,000 positions hold each family exactly as often as its weight says."""
    start = cycle * CYCLE_SLOTS
    families = [ORDER.sequence_at(position)[0] for position in range(start, start + CYCLE_SLOTS, 97)]
    assert families == [ORDER.slots[slot][0].source_family_id for slot in range(0, CYCLE_SLOTS, 97)]
    assert {family.source_family_id: sum(own == family for own, _ in ORDER.slots) for family in ORDER.families} == {
        "code": 5500,
        "prose": 3000,
        "specs": 1500,
    }


def test_slots_sort_by_exact_keys_and_then_by_family() -> None:
    """Keys are (2k+1)/(2w) as fractions; equal keys sort by family id, in whatever order they came."""
    order = Order(0, (Family("b", 2500, 0, 1), Family("c", 5000, 1, 1), Family("a", 2500, 2, 1)))
    keys = [
        (Fraction(2 * rank + 1, 2 * family.sampling_weight_bps), family.source_family_id)
        for family, rank in order.slots
    ]
    assert keys == sorted(keys)
    assert [family.source_family_id for family, _ in order.slots[:4]] == ["c", "a", "b", "c"]


def test_draws_walk_through_one_permutation_after_another() -> None:
    """A family's draw d is entry d mod n of its permutation d div n, from its first sequence id on."""
    draws = [sequence for family, sequence in map(ORDER.sequence_at, range(CYCLE_SLOTS * 2)) if family == "prose"]
    expected = [50 + permuted(draw % 7, 7, 1337, "prose", draw // 7) for draw in range(6000)]
    assert draws == expected


@given(
    step=st.integers(1, 10**6),
    world_size=st.integers(1, 8),
    micro_steps=st.integers(1, 4),
    rows=st.integers(1, 5),
)
def test_any_division_covers_the_same_positions(step: int, world_size: int, micro_steps: int, rows: int) -> None:
    """Rank-major, then micro step: the parts tile the step's positions in order."""
    batch = world_size * micro_steps * rows
    positions = [
        position
        for rank in range(world_size)
        for micro_step in range(micro_steps)
        for position in micro_batch_positions(
            step,
            global_batch=batch,
            world_size=world_size,
            micro_steps=micro_steps,
            rank=rank,
            micro_step=micro_step,
        )
    ]
    assert positions == list(range((step - 1) * batch, step * batch))


def test_memory_does_not_grow_with_the_family() -> None:
    """A family of 2**60 sequences is drawn from like any other: nothing is stored for it."""
    order = Order(5, (Family("vast", CYCLE_SLOTS, 0, 2**60),))
    drawn = {order.sequence_at(position)[1] for position in range(50)}
    assert len(drawn) == 50
    assert max(drawn) < 2**60
    assert sys.getsizeof(order.families) < 100


def test_the_smallest_horizon_draws_every_family() -> None:
    """One step fewer leaves a family without a draw."""
    order = Order(1, (Family("most", 9_999, 0, 5), Family("rare", 1, 5, 5)))
    steps = order.smallest_horizon_steps(8)
    drawn = [{order.sequence_at(position)[0] for position in range(n * 8)} for n in (steps - 1, steps)]
    assert drawn == [{"most"}, {"most", "rare"}]
