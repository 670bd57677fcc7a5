"""Resuming a ledger whose paths somebody forged: none of them leads anywhere else, and nothing there is read."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from psion_ledger import events, open_run
from psion_ledger.digest import sha256
from tests.trainer.forging import SECRET, Trained, naming, redeclared, resumed, with_settings
from trainer import files
from trainer.__main__ import main
from trainer.config import Damaged


@pytest.mark.parametrize("recorded", ["checkpoints/../../../secret", "{}/secret", "a\x1b[2J/../x"])
def test_a_recorded_path_that_leads_elsewhere_is_not_opened(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str], recorded: str
) -> None:
    """Upwards, or absolute: refused in one line, before a byte is read."""
    code, line = resumed(trained.forged(tmp_path, naming(recorded.format(tmp_path))), capfd)
    assert (code, f"which is no plain path below {tmp_path / 'runs' / 'r'}; nothing was read" in line) == (3, True)


def test_a_recorded_path_through_a_link_is_not_followed(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A folder on the way, or the file itself."""
    for number, (link, target, recorded) in enumerate(
        (("away", "../..", "away/secret"), ("alias", "../../secret", "alias"))
    ):
        folder = tmp_path / str(number)
        flags = trained.forged(folder, naming(recorded))
        (folder / "runs" / "r" / link).symlink_to(target)
        assert (folder / "runs" / "r" / recorded).read_bytes() == SECRET
        code, line = resumed(flags, capfd)
        assert (code, "leads through a link or is no regular file" in line) == (3, True), line


@pytest.mark.parametrize("kind", ["fifo", "folder", "socket"])
def test_a_recorded_file_that_is_no_regular_one_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    """Nobody ever writes to it."""
    if kind == "fifo":
        os.mkfifo(tmp_path / "weights")
    elif kind == "folder":
        (tmp_path / "weights").mkdir()
    else:
        os.mknod(tmp_path / "weights", 0o140600)
    with pytest.raises(Damaged, match="no regular file"):
        files.read_recorded(tmp_path, "weights", 0, sha256(b""))


@pytest.mark.parametrize("recorded", ["", "/", ".", "..", "a//b", "a/./b", "a/..", "/etc/hostname", "a\0b", "a/"])
def test_a_path_that_is_not_plain_is_refused(tmp_path: Path, recorded: str) -> None:
    """Whatever is there."""
    (tmp_path / "a").mkdir()
    with pytest.raises(Damaged, match="which is no plain path below"):
        files.open_recorded(tmp_path, recorded)


def test_a_recorded_file_of_another_size_is_not_read(tmp_path: Path) -> None:
    """It may be larger than memory."""
    with (tmp_path / "weights").open("wb") as file:
        os.truncate(file.fileno(), 1 << 40)
    with pytest.raises(Damaged, match="has 1,099,511,627,776 bytes, and the ledger says 7; restore it"):
        files.read_recorded(tmp_path, "weights", 7, sha256(b"weights"))


def test_a_plain_path_is_read_when_it_has_its_digest(tmp_path: Path) -> None:
    """And refused when it has not."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "weights").write_bytes(b"weights")
    assert files.read_recorded(tmp_path, "checkpoints/weights", 7, sha256(b"weights")) == b"weights"
    with pytest.raises(Damaged, match="has sha256"):
        files.read_recorded(tmp_path, "checkpoints/weights", 7, sha256(b"another"))


@pytest.mark.slow
def test_a_checkpoint_s_id_is_no_path(trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The promotion reads the files that were recorded, and nothing where the id, which came from the ledger, leads."""

    def edit(event: events.Event) -> events.Event:
        if isinstance(event, events.CheckpointWritten) and event.step == 6:
            return msgspec.structs.replace(event, checkpoint_id="../../elsewhere")
        return event

    flags = trained.forged(tmp_path, edit)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "model.safetensors").write_bytes(SECRET)
    assert main(flags) == 0
    assert sha256(SECRET).hex() not in capfd.readouterr().out
    weights = tmp_path / "runs" / "r" / "checkpoints" / "a0001-s000006" / "model.safetensors"
    with open_run(tmp_path / "ledger", "r") as run:
        promoted = run.sql("select checkpoint_id, object_sha256 from checkpoint_promoted").fetchall()
    assert promoted == [("../../elsewhere", sha256(weights.read_bytes()))]


def test_a_shard_s_id_is_no_path(trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Upwards out of the run's corpus."""
    flags = trained.forged(tmp_path, redeclared("train-0003", "../../../secret"))
    (tmp_path / "secret.bin").write_bytes(SECRET)
    code, line = resumed(flags, capfd)
    assert (code, line.startswith("the ledger names the file '../../../secret.bin', which is no plain path")) == (
        3,
        True,
    )


def test_the_text_of_a_forged_ledger_is_not_read(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A run that promised no text yet would read the folder of its settings, and record it: it is named once more."""

    def edit(event: events.Event) -> events.Event | None:
        if isinstance(event, events.RunStarted):
            pairs = {setting.name: setting.value for setting in event.settings} | {"corpus": str(tmp_path)}
            return with_settings(event, sorted(pairs.items()))
        return None

    flags = trained.forged(tmp_path, edit)
    shutil.rmtree(tmp_path / "runs")
    code, line = resumed(flags, capfd)
    assert (code, line) == (
        2,
        f"run r was stopped before it promised what it trains, and had begun with corpus '{tmp_path}', not 'python'; "
        "give the flags that it was started with, or start a new run",
    )
    assert not (tmp_path / "runs").exists()
