"""Which processes started together: what the user says, else torchrun's environment."""

import os

import pytest

from psion_ledger.errors import UsageError
from psion_ledger.recording.launch import place_of


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a process that torchrun did not start."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)


def under_torchrun(monkeypatch: pytest.MonkeyPatch, **given: str) -> None:
    for name, value in ({"RANK": "1", "WORLD_SIZE": "4", "TORCHELASTIC_RESTART_COUNT": "2"} | given).items():
        monkeypatch.setenv(name, value)


def test_a_lone_process_is_a_world_of_one() -> None:
    """It needs no launch id."""
    place = place_of(None, None, None)
    assert (place.rank, place.world, place.launch, place.peer) == (0, 1, None, False)


def test_torchruns_id_and_restarts_tell_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank, world and launch are its own."""
    under_torchrun(monkeypatch, TORCHELASTIC_RUN_ID="job-7")
    place = place_of(None, None, None)
    assert (place.rank, place.world, place.launch) == (1, 4, "job-7.2")


def test_torchruns_default_id_is_told_apart_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is `none` at every start: the process that started all ranks stands for it, with its beginning."""
    under_torchrun(monkeypatch, TORCHELASTIC_RUN_ID="none", LOCAL_WORLD_SIZE="4")
    launch = place_of(None, None, None).launch
    assert launch is not None
    assert f"-{os.getppid()}-" in launch
    assert launch.endswith(".2")
    assert launch != "none.2"


def test_torchruns_default_id_on_several_machines_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing there tells one start from the next."""
    under_torchrun(monkeypatch, TORCHELASTIC_RUN_ID="none", LOCAL_WORLD_SIZE="2")
    with pytest.raises(UsageError, match="give launch="):
        place_of(None, None, None)


@pytest.mark.parametrize(("rank", "world"), [(4, 4), (-1, 4), (0, 0)])
def test_a_rank_outside_its_world_is_refused(rank: int, world: int) -> None:
    """Ranks are counted from 0."""
    with pytest.raises(UsageError, match="ranks are 0 to world - 1"):
        place_of(rank, world, "x")
