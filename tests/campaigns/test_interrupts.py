"""Interrupts: a part of the lines and of the signals; and that a writer which moves its state too late is found out."""

from typing import Any

import pytest

from psion_ledger.log import position
from tests.campaigns.interrupts import at_line, by_signals, interrupts, small_journals

# A file that an exception left behind is closed when the exception is forgotten, and Python says so.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_a_part_of_the_interrupts_loses_and_repeats_nothing() -> None:
    """Every fourteenth line, with real signals in their share."""
    result = interrupts(1 / 14, seed=1)
    assert result.failures == []
    assert result.cases > 50


@pytest.mark.slow
def test_no_interrupt_loses_or_repeats_anything() -> None:
    """An exception at every line of the writer, and 2,000 signals."""
    assert interrupts(1.0, seed=1).failures == []


def test_a_handler_that_emits_and_one_that_raises_leave_an_order() -> None:
    """Fifty signals in a tight loop."""
    with small_journals():
        assert by_signals(1) == []


def test_a_writer_that_never_looks_at_its_file_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes every write that was interrupted for one that was not done."""

    def forget(self: Any) -> None:
        self._next = self.at

    monkeypatch.setattr(position.Position, "settle", forget)
    with small_journals():
        lines = len(at_line("whole", 0)[1])
        assert [wrong for line in range(1, lines, 3) for wrong in at_line("whole", line)[0]] != []
