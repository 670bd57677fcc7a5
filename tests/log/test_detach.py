"""A writer whose disk fails may let training go on: what is not recorded is counted, said so, and never passes."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from psion_ledger import events, log, open_run
from psion_ledger.auditing import audit
from psion_ledger.errors import UsageError, WriterFailed
from psion_ledger.log.segment import seal_run
from tests.ledgers import RANK0, RUN_ID, opened
from tests.log.streams import claimed_run, numbered, recorded

GAP = f"v.gap-{RANK0}"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return claimed_run(tmp_path)


@pytest.fixture
def broken_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Within it, journals cannot be synced; the patch is given so that a test can mend the disk."""
    with monkeypatch.context() as patch:
        yield patch


def breaks(patch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> None:
        raise OSError(5, "Input/output error")

    patch.setattr(os, "fsync", refuse)


def test_training_goes_on_and_the_gap_is_recorded(
    run: Path, broken_disk: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two events come after the sync that failed; the disk works again when the writer is closed."""
    writer = log.open_writer(run, opened(), on_failure="detach")
    accepted = writer.emit(numbered(1))
    breaks(broken_disk)
    with pytest.raises(WriterFailed, match="sync failed: Input/output error"):
        writer.sync()
    returned = [writer.emit(numbered(step)) for step in (2, 3)]
    broken_disk.undo()
    writer.close()
    assert (accepted, returned) == (1, [log.NOT_RECORDED, log.NOT_RECORDED])
    assert "seq 2: sync failed: Input/output error; " in capfd.readouterr().err
    kept = [(stream, event) for stream, _, event in recorded(run)]
    gap = kept[-1][1]
    assert isinstance(gap, events.GapRecorded)
    assert [(RANK0, opened()), (RANK0, numbered(1)), (GAP, opened(role="verify")), (GAP, gap)] == kept
    assert (gap.gap_stream, gap.after_seq, gap.events_lost) == (RANK0, 1, 2)
    assert "sync failed: Input/output error" in gap.reason


def test_a_run_with_a_gap_never_passes(run: Path, broken_disk: pytest.MonkeyPatch) -> None:
    """The law over streams finds it, after sealing too; an event that was accepted and not synced is not lost yet."""
    writer = log.open_writer(run, opened(), on_failure="detach")
    breaks(broken_disk)
    assert writer.emit(events.StreamEnded(outcome="completed", last_step=1)) == log.NOT_RECORDED
    broken_disk.undo()
    writer.close()
    seal_run(run)
    with open_run(run.parent, RUN_ID) as opened_run:
        found = audit(opened_run, require="intact")
    (law,) = (law for law in found.laws if law.name == "no_gap_is_recorded")
    assert (
        found.verdict,
        [(finding.stream, finding.actual.split(" after ")[0]) for finding in law.findings],
    ) == ("FAIL", [(GAP, "0 events lost")])


def test_a_gap_that_cannot_be_recorded_is_said(
    run: Path, broken_disk: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The disk stays broken: closing raises nothing, and the stream has no end, which is no pass either."""
    writer = log.open_writer(run, opened(), on_failure="detach")
    breaks(broken_disk)
    assert writer.emit(events.StreamEnded(outcome="completed", last_step=1)) == log.NOT_RECORDED
    writer.close()
    assert f"the gap in stream {RANK0} could not be recorded: " in capfd.readouterr().err
    broken_disk.undo()
    assert sorted({stream for stream, _, _ in recorded(run) if stream == RANK0}) == [RANK0]


def test_a_detached_writer_still_refuses_what_is_no_event(run: Path, broken_disk: pytest.MonkeyPatch) -> None:
    """A fault of the caller's is no fault of the disk; and a writer that was closed raises in either mode."""
    writer = log.open_writer(run, opened(), on_failure="detach")
    nonsense: Any = "nonsense"
    with pytest.raises(UsageError):
        writer.emit(events.StreamEnded(outcome=nonsense, last_step=1))
    writer.close()
    with pytest.raises(WriterFailed, match="is closed"):
        writer.emit(numbered(1))
    assert [(RANK0, 0, opened())] == recorded(run)
