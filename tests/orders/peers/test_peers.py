"""Each derived order gives the ids that the installed library gives."""

from importlib import import_module
from importlib.util import find_spec

import pytest

from tests.orders.peers.__main__ import NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_order_is_that_of_its_library(name: str) -> None:
    """Many seeds and sizes, three passes each; a library that is not installed is skipped."""
    module = import_module(f"tests.orders.peers.{name}")
    if absent := [needed for needed in module.REQUIRES if find_spec(needed) is None]:
        pytest.skip(f"{', '.join(absent)} is not installed: the extra `peers`, or an environment of its own")
    found = list(module.compared())
    assert [one for one in found if not one.equal] == []
    assert len(found) >= 6
