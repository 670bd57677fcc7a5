"""SIGKILL: the seeded hundred, and that a writer which says too early that it has accepted would be found out."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from psion_ledger.log import position
from tests.campaigns.kills import kills


@pytest.mark.slow
def test_a_hundred_kills_lose_nothing_that_was_accepted() -> None:
    """`python -m tests.campaigns kills --full` is a thousand."""
    result = kills(0.1, seed=1)
    assert result.failures == []


class Late:
    """The functions of `os`, but for one."""

    def __init__(self, write: Callable[[int, bytes], int]) -> None:
        self.write = write

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


@pytest.mark.slow
def test_a_writer_that_keeps_events_in_memory_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes five at a time, and never what is left when a journal is full."""

    kept: dict[int, list[bytes]] = {}

    def write_later(fd: int, data: bytes) -> int:
        file = os.fstat(fd).st_ino
        kept.setdefault(file, []).append(data)
        if len(kept[file]) == 5:
            os.write(fd, b"".join(kept.pop(file)))
        return len(data)

    monkeypatch.setattr(position, "os", Late(write_later))
    failures = kills(0.02, seed=2).failures
    # Less is there than was accepted, or what is there does not go on where a full journal ended.
    assert any(" accepted, " in failure or "recovery raised" in failure for failure in failures), failures
