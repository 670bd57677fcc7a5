"""Crashes: the seeded tenth, and that a log which keeps its promises less well would be found out."""

import os
import re
from pathlib import Path

import pytest

from psion_ledger.log import files
from tests.campaigns.crashes import crashes


@pytest.mark.slow
def test_a_tenth_of_the_crashes_loses_nothing() -> None:
    """`python -m tests.campaigns crashes --full` is every one."""
    result = crashes(0.1, seed=1)
    assert result.failures == []
    assert result.distinct > 1000


def link_unsynced(scratch: Path, final: Path) -> bool:
    taken = final.exists()
    if not taken:
        os.link(scratch, final)
    scratch.unlink()
    return not taken


def write_unsynced(path: Path, data: bytes | memoryview) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, data)
    os.close(fd)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "careless", "finding"),
    [("publish", link_unsynced, "events; "), ("write_durable", write_unsynced, "instead of what was sealed")],
)
def test_a_log_that_forgets_to_sync_is_found_out(
    monkeypatch: pytest.MonkeyPatch, name: str, careless: object, finding: str
) -> None:
    """The campaign is no better than what it can see."""
    monkeypatch.setattr(files, name, careless)
    result = crashes(0.03, seed=1)
    assert any(finding in failure for failure in result.failures), result.failures[:3]


def named(failure: str) -> str:
    """What it is about; a segment is named by its digest, too, which is another in each run."""
    return re.sub(r"-[0-9a-f]{16}\.parquet", "", failure.split(":")[0])


@pytest.mark.slow
def test_a_failure_names_the_command_that_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the case that it names, the campaign fails in the same way."""
    monkeypatch.setattr(files, "write_durable", write_unsynced)
    failure = crashes(0.01, seed=3).failures[0]
    wrong, command = failure.split("\n    ")
    case = command.removeprefix("python -m tests.campaigns crashes --seed 3 --only ").strip("'")
    again = [line.split("\n")[0] for line in crashes(1.0, 3, case).failures]
    assert named(wrong) in [named(line) for line in again]
