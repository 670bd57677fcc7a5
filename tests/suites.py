"""Which cases of a test the quick suite takes: a sample of those that differ in a value alone."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest

Case = TypeVar("Case")


def sampled(cases: Sequence[Case], every: int, name: Callable[[Case], str]) -> list[Any]:
    """Parameters of which the quick suite takes one in `every`, and the slow suite the others."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            id=name(case),
            marks=() if place % every == 0 else pytest.mark.slow,
        )
        for place, case in enumerate(cases)
    ]
