"""Losses are whole nanonats, and add up the same in any order."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psion_ledger.recording.evaluations import Sum, range_of, sum_of


@given(nats=st.lists(st.floats(0, 1e6), max_size=40))
def test_nanonats_add_up_in_any_order(nats: list[float]) -> None:
    """Each sequence is rounded once, half to even; whole numbers sum the same forwards and backwards."""
    expected = Sum(nanonats=sum(round(Fraction(value) * 10**9) for value in nats), is_finite=True)
    assert sum_of(nats) == sum_of(nats[::-1]) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_has_no_nanonats(bad: float) -> None:
    """It is a fact that is recorded as such, not a number."""
    assert sum_of([1.0, bad]) == Sum(nanonats=0, is_finite=False)


@given(first=st.integers(0, 99), stride=st.integers(1, 9), sequences=st.integers(1, 20))
def test_ids_at_equal_distances_are_a_range(first: int, stride: int, sequences: int) -> None:
    """Any other list is none."""
    ids = [first + stride * number for number in range(sequences)]
    found = range_of(ids)
    assert found is not None
    assert list(found) == ids
    assert range_of([*ids, ids[-1]]) is None
    assert range_of([]) is None
