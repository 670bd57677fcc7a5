"""Checkpoints of torch.distributed.checkpoint: recorded when they are durable, as of the step at which saving began."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from psion_ledger.data import Data
from psion_ledger.integrations import torch_checkpoint
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from tests.recording.loops import BATCH, audited, begin, described, learn, violated

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return described(tmp_path_factory.mktemp("data"))


def state(value: float) -> dict[str, Any]:
    return {"model": {"weight": torch.full((4, 2), value)}}


def recorded(folder: Path) -> list[tuple[Any, ...]]:
    """Of each checkpoint its id, step, position, and the names and roles of its files."""
    with Run(read(folder / "ledger" / "tiny")) as run:
        rows = run.con.sql(
            "select checkpoint_id, step, cursor_position, files from checkpoint_written order by seq"
        ).fetchall()
    return [(*row[:3], sorted((Path(file["path"]).name, file["role"]) for file in row[3])) for row in rows]


FILES = [(".metadata", "other"), ("__0_0.distcp", "weights")]


def test_a_saved_state_is_recorded(tmp_path: Path, found: Data) -> None:
    """Its metadata and its shards, with the step's number; the files hold their digests at the audit."""
    with begin(tmp_path, found) as run:
        learn(run, 2)
        torch_checkpoint.save(run, state(1), tmp_path / "runs/tiny/a", no_dist=True)
    assert recorded(tmp_path) == [("a0001-s000002", 2, 2 * BATCH, FILES)]
    verdict = audited(tmp_path)
    held = {law.name for law in verdict.laws if law.status == "held"}
    assert (violated(verdict), "checkpoint_files_hold_their_digests" in held) == ([], True)


def test_a_state_that_is_saved_behind_training_has_its_own_step(
    tmp_path: Path, found: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three more steps are trained while it is saved; leaving the block waits for it."""
    began, slow = threading.Event(), torch.distributed.checkpoint.FileSystemWriter.write_data

    def waits(*given: Any) -> Any:
        began.wait()
        return slow(*given)

    monkeypatch.setattr(torch.distributed.checkpoint.FileSystemWriter, "write_data", waits)
    with begin(tmp_path, found) as run:
        learn(run)
        saved = torch_checkpoint.async_save(run, state(1), tmp_path / "runs/tiny/a", no_dist=True)
        learn(run, 3)
        assert (saved.done(), recorded(tmp_path)) == (False, [])
        began.set()
    assert recorded(tmp_path) == [("a0001-s000001", 1, BATCH, FILES)]
    assert violated(audited(tmp_path)) == []


def test_a_save_that_fails_is_said_and_not_recorded(
    tmp_path: Path, found: Data, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training goes on, as it does without a recorder."""

    def fails(*given: Any) -> Any:
        raise OSError("no room")

    monkeypatch.setattr(torch.distributed.checkpoint.FileSystemWriter, "write_data", fails)
    with begin(tmp_path, found) as run:
        saved = torch_checkpoint.async_save(run, state(1), tmp_path / "runs/tiny/a", no_dist=True)
        learn(run)
    assert saved.exception() is not None
    assert recorded(tmp_path) == []
    assert f"checkpoint {tmp_path}/runs/tiny/a was not saved, and is not recorded: " in capsys.readouterr().err


def test_a_stager_s_upload_is_waited_for(tmp_path: Path, found: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch gives two futures then: the state is copied, and the state is saved."""

    class Both:
        staging_completion: "Future[None]" = Future()
        upload_completion: "Future[None]" = Future()

    from torch.distributed.checkpoint import state_dict_saver

    save: Callable[..., Any] = state_dict_saver.save
    monkeypatch.setattr(state_dict_saver, "async_save", lambda *_, **__: Both)
    with begin(tmp_path, found) as run:
        upload = torch_checkpoint.async_save(run, state(1), tmp_path / "runs/tiny/a")
        save(state(1), checkpoint_id=tmp_path / "runs/tiny/a", no_dist=True)
        upload.set_result(None)
    assert recorded(tmp_path) == [("a0001-s000000", 0, 0, FILES)]
