"""Faults: the seeded tenth, that a writer which goes on after a failure would be found out, and a real full disk."""

from pathlib import Path

import pytest

from psion_ledger import events, log
from psion_ledger.errors import WriterFailed
from psion_ledger.log import journal
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from tests.campaigns.faults import Case, calls, faults, run_case
from tests.ledgers import RANK0, RUN_ID, opened
from tests.log.disks import fill
from tests.log.streams import numbered, recorded


@pytest.mark.slow
def test_a_tenth_of_the_faults_does_no_harm() -> None:
    """`python -m tests.campaigns faults --full` is every one."""
    result = faults(0.1, seed=1)
    assert result.failures == []
    assert result.cases > 1000


def test_a_writer_that_goes_on_after_a_failure_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The write that failed once is tried again with the next event: the journal then holds half a frame inside."""

    def unmindful(self: journal.Writer, what: str, error: Exception) -> None:
        raise WriterFailed(f"{what} failed: {error}")

    writes = [at for at, call in enumerate(calls("raise")) if call == ("write", "emit")]

    def found() -> list[str]:
        return [line for at in writes[:8] for line in run_case(Case(at, "EIO", False, "raise"), audited=False)[0]]

    assert found() == []
    monkeypatch.setattr(journal.Writer, "_poison", unmindful)
    assert any("a call went through after the writer had failed" in line for line in found())


def test_sealing_on_a_full_disk_keeps_every_journal(small_disk: Path) -> None:
    """It raises; once there is room the same call seals everything, and its scratch files are in nobody's way."""
    run = log.create_run(small_disk, RUN_ID)
    with log.open_writer(run, opened()) as writer:
        for step in range(1, 301):
            writer.emit(numbered(step))
    filler = small_disk / "filler"
    fill(filler)
    before = recorded(run)
    with pytest.raises(WriterFailed, match="No space left on device"):
        seal_run(run)
    assert (301, before) == (len(before), recorded(run))
    filler.unlink()
    assert [(entry.first_seq, entry.last_seq) for entry in seal_run(run).entries] == [(0, 300)]
    assert (recorded(run), all(file.holds for file in read(run).files)) == ([], True)


def detached_on_a_full_disk(disk: Path) -> tuple[Path, log.Writer, int]:
    """A writer that has lost its last ten events, and how many it had accepted."""
    run = log.create_run(disk, RUN_ID)
    writer = log.open_writer(run, opened(), on_failure="detach")
    fill(disk / "filler")
    step = 1
    while writer.emit(numbered(step)) != log.NOT_RECORDED:
        step += 1
    answers = [writer.emit(numbered(step + n)) for n in range(1, 10)]
    assert answers == [log.NOT_RECORDED] * 9
    return run, writer, step


def test_a_detached_writer_says_what_a_full_disk_cost(small_disk: Path) -> None:
    """Once there is room again: in a stream of its own, how many events after which one."""
    run, writer, accepted = detached_on_a_full_disk(small_disk)
    (small_disk / "filler").unlink()
    writer.close()
    found = recorded(run)
    assert found[:accepted] == [(RANK0, 0, opened()), *((RANK0, n, numbered(n)) for n in range(1, accepted))]
    opening, (stream, seq, gap) = found[accepted:]
    assert (f"v.gap-{RANK0}", 0, opened(role="verify")) == opening
    assert isinstance(gap, events.GapRecorded)
    assert (f"v.gap-{RANK0}", 1, RANK0, accepted - 1, 10) == (
        stream, seq, gap.gap_stream, gap.after_seq, gap.events_lost
    )  # fmt: skip
    seal_run(run)
    assert recorded(run) == []


def test_a_gap_that_cannot_be_recorded_is_said_aloud(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The disk is still full at the end: closing raises nothing, and what was accepted is there."""
    run, writer, accepted = detached_on_a_full_disk(small_disk)
    writer.close()
    assert f"the gap in stream {RANK0} could not be recorded" in capsys.readouterr().err
    assert accepted == len(recorded(run))
