"""The file system under a ledger is tried out: local ones are taken as they are, network ones are warned of."""

import fcntl
import os
from pathlib import Path

import pytest

from psion_ledger import log
from psion_ledger.errors import UsageError
from psion_ledger.log import filesystem
from tests.ledgers import RUN_ID

MOUNTS = """\
24 30 0:22 / /proc rw,nosuid,nodev shared:12 - proc proc rw
30 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
88 30 0:51 / /mnt/shared rw,relatime shared:40 - nfs4 files.example:/export rw,vers=4.2,proto=tcp
91 30 0:60 / /mnt/bucket rw,nosuid,nodev - fuse.gcsfuse bucket rw,user_id=0
"""


@pytest.mark.parametrize(
    ("device", "kind"), [((259, 2), "ext4"), ((0, 51), "nfs4"), ((0, 60), "fuse.gcsfuse"), ((8, 1), None)]
)
def test_the_kind_of_a_file_system_is_read(device: tuple[int, int], kind: str | None) -> None:
    """From the kernel's table of mounts, by the number of the device, whatever is mounted where."""
    assert filesystem.kind_of(MOUNTS, *device) == kind


def test_a_network_file_system_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run begins, and one line says what may go wrong; nothing is left of the trial."""
    monkeypatch.setattr(filesystem, "_kind_here", lambda run: "nfs4")
    run = log.create_run(tmp_path, RUN_ID)
    said = capsys.readouterr().err
    assert (said.count("\n"), said.startswith(f"psion-ledger: {tmp_path} is on nfs4: ")) == (1, True)
    assert list((run / "tmp").iterdir()) == []


def test_this_file_system_is_taken_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tests run on a local disk: its locks and links exclude, and nothing is said."""
    log.create_run(tmp_path, RUN_ID)
    assert capsys.readouterr().err == ""


def test_locks_that_do_not_exclude_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that says yes to everybody: no run begins there."""
    monkeypatch.setattr(fcntl, "flock", lambda fd, how: None)
    with pytest.raises(UsageError, match="file locks do not exclude each other here"):
        log.create_run(tmp_path, RUN_ID)
    assert log.run_ids(tmp_path) == []


def test_links_that_replace_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sealers would both believe that their entry stands."""
    monkeypatch.setattr(os, "link", lambda source, name, **how: Path(name).write_bytes(b""))
    with pytest.raises(UsageError, match="a link replaces what is there"):
        log.create_run(tmp_path, RUN_ID)
    assert log.run_ids(tmp_path) == []
