"""The slot table of the policy's cycle, against the definition in exact fractions."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from psion_ledger.orders.weighted_cycle import cycle_slots, family_draws

WEIGHTS = st.dictionaries(st.text(max_size=3), st.integers(1, 60), min_size=1, max_size=5)


def test_slots_of_two_families_interleave_by_weight() -> None:
    """Keys of a: 1/6, 3/6, 5/6; of b: 1/4, 3/4."""
    assert cycle_slots({"b": 2, "a": 3}) == ["a", "b", "a", "b", "a"]


def test_equal_keys_go_by_family_id() -> None:
    """Two families of one weight have every key in common."""
    assert cycle_slots({"b": 2, "a": 2}) == ["a", "b", "a", "b"]


@given(WEIGHTS)
def test_slots_follow_the_definition(weights: dict[str, int]) -> None:
    """Sorted by (2k+1)/(2w) and then family id."""
    keys = [(Fraction(2 * k + 1, 2 * weight), family) for family, weight in weights.items() for k in range(weight)]
    assert [family for _, family in sorted(keys)] == cycle_slots(weights)


@given(WEIGHTS, st.integers(0, 1000))
def test_draws_count_the_slots_of_a_prefix(weights: dict[str, int], positions: int) -> None:
    """Position P falls in slot P mod the cycle's length; families without a draw are counted as zero."""
    slots = cycle_slots(weights)
    drawn = [slots[position % len(slots)] for position in range(positions)]
    assert {family: drawn.count(family) for family in weights} == family_draws(weights, positions)


def test_a_whole_cycle_draws_each_family_by_its_weight() -> None:
    """10,000 positions, and far into later cycles."""
    weights = {"library_code": 3333, "library_docstrings": 3334, "language_reference": 3333}
    assert family_draws(weights, 10_000) == weights
    assert family_draws(weights, 10_000 * 10**12) == {family: w * 10**12 for family, w in weights.items()}
