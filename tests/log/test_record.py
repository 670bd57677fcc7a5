"""Reading a run that is being written, sealed or half moved away: every event once, under its stream's identity."""

from pathlib import Path

import pytest

from psion_ledger import log, open_run
from psion_ledger.digest import sha256
from psion_ledger.errors import Damaged
from psion_ledger.log.files import measure
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from tests.ledgers import RANK0, RUN_ID, opened
from tests.log.processes import live_writer
from tests.log.streams import claimed_run, frames, numbered, written

COLUMNS = "stream, role, attempt, rank, seq, step"


def rows(run: Path) -> list[tuple[object, ...]]:
    with open_run(run.parent, RUN_ID) as opened_run:
        found: list[tuple[object, ...]] = opened_run.con.sql(
            f"select {COLUMNS} from batch_replayed order by stream, seq"
        ).fetchall()
        sandboxed = opened_run.sql(f"select {COLUMNS} from batch_replayed order by stream, seq").fetchall()
    assert found == sandboxed
    return found


@pytest.mark.parametrize("sealed", [0, 1, 2, 3])
def test_each_event_is_read_once_with_its_streams_identity(tmp_path: Path, sealed: int) -> None:
    """However many of a stream's journals are sealed, and however many were only rotated away from."""
    run = claimed_run(tmp_path, attempts=2)
    with log.open_writer(run, opened(attempt=2, rank=3)) as writer:
        for step in (1, 2, 3):
            if sealed == step:
                seal_run(run)
            writer.emit(numbered(step))
            writer.rotate()
    assert [("t0002.r00003", "train", 2, 3, step, step) for step in (1, 2, 3)] == rows(run)


def test_a_live_stream_is_read_without_a_lock(tmp_path: Path) -> None:
    """While another process holds it, and after."""
    run = claimed_run(tmp_path)
    with live_writer(run):
        assert [frame.seq for tail in read(run).tails for frame in frames(tail)] == [0]
    assert [frame.seq for tail in read(run).tails for frame in frames(tail)] == [0]


def test_a_part_of_the_manifest_has_no_tail(tmp_path: Path) -> None:
    """As of the first entry: nothing that was sealed or emitted later."""
    run = claimed_run(tmp_path)
    with log.open_writer(run, opened()) as writer:
        for step in (1, 2):
            writer.emit(numbered(step))
            writer.rotate()
            seal_run(run)
        writer.emit(numbered(3))
    with open_run(tmp_path, RUN_ID, as_of=1) as then:
        assert then.sql("select step from batch_replayed").fetchall() == [(1,)]
    assert [(RANK0, "train", 1, 0, step, step) for step in (1, 2, 3)] == rows(run)


def test_what_does_not_hash_to_its_promise_is_not_queried(tmp_path: Path) -> None:
    """One changed byte, and there is no answer; despite the damage, one without the file's events."""
    run = written(tmp_path)
    seal_run(run)
    (path,) = (run / "segments" / "batch_replayed").iterdir()
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged) as refused:
        rows(run)
    assert refused.value.file == path.relative_to(run).as_posix()
    with open_run(run.parent, RUN_ID, despite_damage=True) as looked_at:
        assert looked_at.sql("select step from batch_replayed").fetchall() == []
        assert [fault.file for fault in looked_at.faults] == [refused.value.file]


@pytest.mark.parametrize("path", ["../outside", "/etc/hostname", "", ".", "a/../../outside", "folder"])
def test_nothing_outside_the_folder_is_measured(tmp_path: Path, path: str) -> None:
    """Nor a folder."""
    (tmp_path / "outside").write_bytes(b"x")
    (tmp_path / "run" / "folder").mkdir(parents=True)
    assert measure(tmp_path / "run", path) == (None, None)


def test_a_file_is_measured_by_size_and_sha256(tmp_path: Path) -> None:
    """Hex."""
    (tmp_path / "file").write_bytes(b"abc")
    assert (3, sha256(b"abc").hex()) == measure(tmp_path, "file")
