"""Errors pass between processes as they are."""

import pickle
from pathlib import Path

import pytest

from psion_ledger import errors
from psion_ledger.errors import Damaged, LedgerError, StageRefused

MADE: dict[str, LedgerError] = {
    kind.__name__: kind("run x: what, where and what to do")
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, LedgerError) and kind not in (Damaged, StageRefused)
} | {
    "Damaged": Damaged(Path("/ledger/run"), "CLAIM", "it is missing"),
    "StageRefused": StageRefused("StageRequiresPretrainRun", "no run"),
}


@pytest.mark.parametrize("name", MADE)
def test_an_error_is_the_same_in_another_process(name: str) -> None:
    """Its kind, its message, its exit code and what else it has."""
    again = pickle.loads(pickle.dumps(MADE[name]))
    assert (type(again), str(again), again.exit_code) == (type(MADE[name]), str(MADE[name]), MADE[name].exit_code)
    assert vars(again) == vars(MADE[name])
