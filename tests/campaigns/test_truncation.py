"""Truncation: the seeded tenth, and that a recovery which keeps half a frame would be found out."""

import pytest

from psion_ledger.log import frame
from tests.campaigns.truncation import cut_all, truncation


@pytest.mark.slow
def test_a_tenth_of_the_cuts_keeps_what_is_whole_and_says_so() -> None:
    """`python -m tests.campaigns truncation --full` cuts at every byte."""
    result = truncation(0.1, seed=1)
    assert result.failures == []
    assert result.cases > 500


def test_a_scan_that_does_not_say_what_was_cut_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends quietly where the frames end."""
    cases = [("behind-sealed", bytes_left) for bytes_left in (400, 450)]
    assert cut_all(cases)[0] == []
    monkeypatch.setattr(frame.Scan, "_stop", lambda *arguments, **more: None)
    assert [case for case, _ in cut_all(cases)[0]] == ["behind-sealed@400", "behind-sealed@450"]


def test_a_scan_that_takes_tampering_for_a_torn_tail_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It forgets that a journal with a successor was synced."""
    cases = [("left-first", 300), ("left-middle", 600)]
    assert cut_all(cases)[0] == []
    real = frame.Scan.__init__
    monkeypatch.setattr(frame.Scan, "__init__", lambda self, data, file, following_seq=None: real(self, data, file))
    assert [case for case, _ in cut_all(cases)[0]] == ["left-first@300", "left-middle@600"]
