"""A stream that is damaged where it was durable can be cut there: nothing is lost, and no audit passes."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from psion_ledger import events, log
from psion_ledger.auditing import audit
from psion_ledger.digest import leaf_hash
from psion_ledger.errors import Unreadable, WriterFailed
from psion_ledger.fsck import fsck
from psion_ledger.ledger import Run
from psion_ledger.log import cut, frame
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from tests.cli import psion
from tests.ledgers import RUN_ID, opened
from tests.log.streams import claimed_run, frames, numbered, written

RANK0 = "t0001.r00000"
FIRST, SECOND = (f"journal/{RANK0}/{seq:012}" for seq in (0, 4))


def repeated(run: Path, name: str = FIRST) -> None:
    """The older writer's break: interrupted before it had moved on, it wrote its last seq again, and went on from
    there."""
    path = run / f"{name}.wal"
    scan = frame.Scan(path.read_bytes(), path)
    last = [found for found, _ in scan][-1]
    seq, link = last.seq, last.previous_link
    for step in range(3):
        body = frame.encode((seq + step, last.recorded_at_ns, link, last.durable_through, numbered(step)))
        link = leaf_hash(body)
        with path.open("ab") as file:
            file.write(frame.enveloped(body))


def rotated(ledger: Path) -> Path:
    """Two journals of one stream: seqs 0 to 3 and 4 to 6."""
    run = claimed_run(ledger)
    with log.open_writer(run, opened()) as writer:
        for step in range(1, 4):
            writer.emit(numbered(step))
        writer.rotate()
        for step in range(4, 7):
            writer.emit(numbered(step))
    return run


def foreign(run: Path) -> None:
    """A frame of another stream landed in the first journal, at its end."""
    with (run / f"{FIRST}.wal").open("ab") as file:
        file.write(frame.enveloped(frame.encode((9, time.time_ns(), bytes(32), -1, numbered(9)))))


def changed(run: Path) -> None:
    """One bit of seq 2, which was durable."""
    data = bytearray((run / f"{FIRST}.wal").read_bytes())
    scan = frame.Scan(bytes(data), FIRST)
    starts = [scan.end, *(scan.end for _ in scan)]
    data[starts[2] + 20] ^= 1
    (run / f"{FIRST}.wal").write_bytes(data)


def headless(run: Path) -> None:
    """The second journal's header cannot be read."""
    (run / f"{SECOND}.wal").write_bytes(b"PSIONWAL")


def missing_middle(run: Path) -> None:
    """The first journal lost its last event at a border of frames, so that the second does not continue it."""
    data = (run / f"{FIRST}.wal").read_bytes()
    scan = frame.Scan(data, FIRST)
    ends = [scan.end for _ in scan]
    (run / f"{FIRST}.wal").write_bytes(data[: ends[-2]])


# How a stream of two journals is broken; the last seq that holds, how many whole events stand behind it, and which
# journals are kept.
BREAKS: dict[str, tuple[Callable[[Path], object], int, int, list[str]]] = {
    "repeated": (repeated, 3, 3 + 3, [FIRST, SECOND]),
    "foreign": (foreign, 3, 1 + 3, [FIRST, SECOND]),
    "changed": (changed, 1, 1 + 3, [FIRST, SECOND]),
    "repeated in the second": (lambda run: repeated(run, SECOND), 6, 3, [SECOND]),
    "headless": (headless, 3, 0, [SECOND]),
    "missing middle": (missing_middle, 2, 3, [FIRST, SECOND]),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_stream_is_sealed_up_to_the_break(tmp_path: Path, name: str) -> None:
    """Sealing refuses it; cut, everything before is sealed, everything behind is kept byte for byte, and a gap says
    where and how much."""
    damage, after_seq, events_lost, kept = BREAKS[name]
    run = rotated(tmp_path)
    before = [(found.seq, found.event) for tail in read(run).tails for found in frames(tail)]
    damage(run)
    journals = {name: (run / f"{name}.wal").read_bytes() for name in kept}
    with pytest.raises(Unreadable):
        seal_run(run)
    (done,) = cut.cut_damage(run)
    expected = (RANK0, after_seq, events_lost, [f"{name}.damaged" for name in kept])
    assert expected == (done.stream, done.after_seq, done.events_lost, done.kept)
    assert journals == {name: (run / f"{name}.damaged").read_bytes() for name in kept}
    seal_run(run)
    record = read(run)
    assert (record.faults, record.tails) == ([], [])
    assert [(f.code, f.file) for f in fsck(tmp_path, RUN_ID, deep=True).findings] == [("orphan", f) for f in done.kept]
    last = record.manifest.last_of(RANK0)
    assert last is not None
    assert last.last_seq == after_seq
    with Run(record) as opened_run:
        steps = opened_run.first("select list(step order by seq) from batch_replayed")
        gaps = opened_run.con.execute("select gap_stream, after_seq, events_lost from gap_recorded").fetchall()
        laws = {law.name: law.status for law in audit(opened_run).laws}
    assert steps == ([e.step for seq, e in before if 0 < seq <= after_seq and isinstance(e, events.BatchReplayed)],)
    assert (gaps, laws["no_gap_is_recorded"]) == ([(RANK0, after_seq, events_lost)], "violated")


def torn(run: Path) -> None:
    path = run / f"{FIRST}.wal"
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [None, torn])
def test_what_holds_or_is_torn_is_not_cut(tmp_path: Path, damage: Callable[[Path], None] | None) -> None:
    """A torn tail is what a crash leaves; sealing cuts it by itself."""
    run = written(tmp_path)
    if damage is not None:
        damage(run)
    before = {path: path.read_bytes() for path in (run / "journal").rglob("*") if path.is_file()}
    assert cut.cut_damage(run) == []
    assert before == {path: path.read_bytes() for path in (run / "journal").rglob("*") if path.is_file()}


def test_a_stream_that_is_written_is_not_cut(tmp_path: Path) -> None:
    """Its writer knows where it stands."""
    run = claimed_run(tmp_path)
    with log.open_writer(run, opened()) as writer:
        writer.emit(numbered(1))
        repeated(run)
        assert cut.cut_damage(run) == []
    assert [done.stream for done in cut.cut_damage(run)] == [RANK0]


def test_nothing_is_cut_where_nothing_can_be_read(tmp_path: Path) -> None:
    """Without one event nobody can say whose stream it was."""
    run = written(tmp_path)
    (run / f"{FIRST}.wal").write_bytes(b"PSIONWAL")
    with pytest.raises(Unreadable):
        cut.cut_damage(run)
    assert (run / f"{FIRST}.wal").read_bytes() == b"PSIONWAL"


def test_a_cut_that_was_stopped_anywhere_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever change of the disk fails: the next cut leaves what an undisturbed one leaves, and a gap is recorded."""
    stopped = 0
    for number in range(100):
        run = rotated(tmp_path / str(number))
        repeated(run)
        kept = {name: (run / f"{name}.wal").read_bytes() for name in (FIRST, SECOND)}
        with monkeypatch.context() as patched:
            calls = fail_at(patched, number)
            try:
                cut.cut_damage(run)
            except WriterFailed:
                stopped += 1
        if len(calls) <= number:
            break
        cut.cut_damage(run)
        seal_run(run)
        record = read(run)
        with Run(record) as opened_run:
            gaps = opened_run.con.execute("select distinct gap_stream, after_seq from gap_recorded").fetchall()
        assert (record.faults, record.tails, gaps) == ([], [], [(RANK0, 3)])
        assert kept == {name: (run / f"{name}.damaged").read_bytes() for name in kept}
        last = record.manifest.last_of(RANK0)
        assert last is not None
        assert last.last_seq == 3
    assert stopped > 10


def fail_at(patched: pytest.MonkeyPatch, number: int) -> list[str]:
    """Let the call of this number that changes the disk fail, and all that follow it, as if the disk had gone."""
    calls: list[str] = []

    def failing(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*args: object, **kwargs: object) -> object:
            calls.append(name)
            if len(calls) > number:
                raise OSError(5, "Input/output error")
            return real(*args, **kwargs)

        return call

    for name in ("link", "unlink", "replace", "fsync", "write", "mkdir"):
        patched.setattr(os, name, failing(name))
    return calls


def test_the_command_cuts_seals_and_says_so(tmp_path: Path) -> None:
    """Without the word it is refused, and names it; with it each cut is a line on stderr, and the audit fails."""
    run = written(tmp_path)
    repeated(run)
    refused = psion("seal", RUN_ID, "--ledger", tmp_path)
    assert (refused.returncode, "--cut-damage" in refused.stderr) == (3, True)
    done = psion("seal", RUN_ID, "--cut-damage", "--ledger", tmp_path)
    assert (done.returncode, len(done.stderr.splitlines()), len(done.stdout.splitlines())) == (0, 1, 2)
    assert psion("audit", RUN_ID, "--ledger", tmp_path).returncode == 1
