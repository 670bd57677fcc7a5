"""Resuming a ledger that somebody forged: no path of it leads anywhere else, and no setting of it is a traceback."""

import os
from pathlib import Path

import pytest

from psion_ledger.digest import sha256
from trainer.checkpoint import _read
from trainer.config import ANCHORS, BadInput, Damaged, Settings, refuse_batch_beyond


@pytest.mark.parametrize(
    "recorded", ["/etc/hostname", "../secret", "a/../../secret", "", "link/secret", "pipe", "folder"]
)
def test_a_recorded_path_that_leads_elsewhere_is_not_opened(tmp_path: Path, recorded: str) -> None:
    """Absolute, upwards, through a link, or no regular file: refused before a byte is read or hashed."""
    artifacts = tmp_path / "run"
    (artifacts / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (artifacts / "link").symlink_to(tmp_path)
    os.mkfifo(artifacts / "pipe")
    with pytest.raises(Damaged) as refused:
        _read(artifacts, recorded, sha256(b"secret"))
    assert sha256(b"secret").hex() not in str(refused.value)


def test_a_plain_path_is_read_when_it_has_its_digest(tmp_path: Path) -> None:
    """And refused when it has not."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "weights").write_bytes(b"weights")
    assert _read(tmp_path, "checkpoints/weights", sha256(b"weights")) == b"weights"
    with pytest.raises(Damaged):
        _read(tmp_path, "checkpoints/weights", sha256(b"others"))


@pytest.mark.parametrize("changed", [("no_such_setting", "1"), ("steps", "many"), ("steps", "")])
def test_a_setting_that_is_not_this_trainer_s_is_refused(changed: tuple[str, str]) -> None:
    """A name that it does not have, or a value that is no number."""
    pairs = [pair for pair in ANCHORS["smoke"].pairs() if pair[0] != changed[0]]
    with pytest.raises(Damaged):
        Settings.from_pairs([*pairs, changed])


def test_a_batch_beyond_the_text_is_refused(tmp_path: Path) -> None:
    """As many sequences as there are will do."""
    refuse_batch_beyond(ANCHORS["smoke"], ANCHORS["smoke"].batch)
    with pytest.raises(BadInput):
        refuse_batch_beyond(ANCHORS["smoke"], ANCHORS["smoke"].batch - 1)
