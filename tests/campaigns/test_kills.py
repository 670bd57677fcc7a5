"""SIGKILL: the seeded hundred, and that a writer which says too early that it has accepted would be found out."""

import os

import pytest

from psion_ledger.log import journal
from tests.campaigns.kills import kills


@pytest.mark.slow
def test_a_hundred_kills_lose_nothing_that_was_accepted() -> None:
    """`python -m tests.campaigns kills --full` is a thousand."""
    result = kills(0.1, seed=1)
    assert result.failures == []


@pytest.mark.slow
def test_a_writer_that_keeps_events_in_memory_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes five at a time, and what is left when a journal is full."""

    def write_later(self: journal.Writer, data: bytes) -> None:
        kept[self] = kept.get(self, b"") + data
        if self._seq % 5 == 0 or self._bytes + len(data) >= journal.ROTATE_AT_BYTES:
            os.write(self._fd, kept.pop(self))

    kept: dict[journal.Writer, bytes] = {}
    monkeypatch.setattr(journal.Writer, "_write", write_later)
    failures = kills(0.02, seed=2).failures
    assert any(" accepted, " in failure for failure in failures), failures
