"""Concurrency: the seeded tenth."""

import pytest

from tests.campaigns.concurrency import concurrency


@pytest.mark.slow
def test_a_tenth_of_the_races_crowds_and_readings_goes_well() -> None:
    """`python -m tests.campaigns concurrency --full` is every one."""
    result = concurrency(0.1, seed=1)
    assert result.failures == []
