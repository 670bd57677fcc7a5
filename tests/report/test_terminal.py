"""The terminal report: what a reader finds in it, and that hostile text stays text."""

import contextlib
import io
import os
from pathlib import Path

import pytest

from psion_ledger import events
from psion_ledger.auditing import audit, commands
from psion_ledger.escape import plain
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from psion_ledger.report import terminal
from psion_ledger.report.console import console
from psion_ledger.report.facts import gather
from tests.corpora import real_contracts
from tests.edits import edited, place
from tests.ledgers import RANK0, Script, good_run, resumed_run, write_ledger


def report(folder: Path) -> str:
    with Run(read(folder)) as run:
        found = audit(run, artifacts=folder.parent)
        facts = gather(run, found, commands(run, folder.parent))
    out = io.StringIO()
    terminal.show_audit(console(out), found, facts)
    return out.getvalue()


def test_a_violation_shows_expected_found_stream_and_seq(tmp_path: Path) -> None:
    """A sequence is consumed a second time, in the place of another of its family."""
    script = good_run(real_contracts())
    at = place(script, events.BatchReplayed)
    first = script[at][1]
    assert isinstance(first, events.BatchReplayed)
    assert first.sequence_ids == [56, 27, 71, 43]
    ids = [56, 27, 71, 27]
    seq = sum(stream == RANK0 for stream, _ in script[:at])
    shown = report(write_ledger(tmp_path, edited(script, events.BatchReplayed, sequence_ids=ids), strict=False))
    assert "FAIL" in shown
    assert "VIOLATED replay/batches_follow_the_order" in shown
    words = " ".join(shown.split())
    where = f"where position 3 stream {RANK0}, seq {seq}, step 1"
    assert f"{where} expected sequence 43 found sequence 27 in step 1 of rank 0" in words


def test_a_finding_about_an_event_shows_its_step(tmp_path: Path) -> None:
    """The loss of step 2 is not a number."""
    script = edited(good_run(real_contracts()), events.StepCompleted, 1, loss_nats=float("nan"))
    shown = report(write_ledger(tmp_path, script, strict=False))
    assert "where     step 2 of rank 0   stream t0001.r00000, seq 21, step 2" in shown


def test_a_resumed_run_shows_attempts_superseded_steps_and_the_tree(tmp_path: Path) -> None:
    """Killed after step 3, resumed from step 2."""
    shown = report(write_ledger(tmp_path, resumed_run(real_contracts())))
    assert "attempts   2, 1 steps superseded" in shown
    lines = shown.splitlines()
    at = next(number for number, line in enumerate(lines) if line.split()[:2] == ["checkpoint", "parent"])
    assert [line.split()[:3] for line in lines[at + 1 : at + 4]] == [
        ["a0001-s000000", "-", "0"], ["a0001-s000002", "a0001-s000000", "2"], ["a0002-s000004", "a0001-s000002", "4"],
    ]  # fmt: skip


def test_each_open_line_names_the_command_that_closes_it(tmp_path: Path) -> None:
    """The run stopped after its checkpoint was promoted, before any replay."""
    script = good_run(real_contracts())
    cut: Script = script[: place(script, events.CheckpointPromoted) + 1]
    lines = [line.strip() for line in report(write_ledger(tmp_path, cut)).splitlines()]
    opened = [(line.split("  ")[1], lines[at + 1]) for at, line in enumerate(lines) if line.startswith("[ ]")]
    given = f"--artifacts {tmp_path} --ledger {tmp_path}"
    resume = "trainer --resume  # as the run says"
    assert opened == [
        ("replays of order and content", f"psion-ledger replay run-small --record {given}"),
        ("receipt verified", resume),
        ("stage completed", resume),
    ]


def test_hostile_text_from_a_ledger_is_spelled_out(tmp_path: Path) -> None:
    """A gap's reason holds terminal codes, Rich markup and a bidi override."""
    reason = "\x1b[2J[bold red]gone[/] \u202egnp.exe"
    script = good_run(real_contracts())
    at = place(script, events.CheckpointPromoted)
    gap = events.GapRecorded(gap_stream=RANK0, after_seq=1, events_lost=None, reason=reason)
    folder = write_ledger(tmp_path, [*script[:at], (RANK0, gap), *script[at:]], strict=False)
    shown = report(folder)
    assert "\\x1b[2J[bold red]gone[/] \\u202egnp.exe" in " ".join(shown.split())
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("na\u00efve \u03bb", "na\u00efve \u03bb"),
        ("a\nb\tc", "a\\x0ab\\x09c"),
        ("\x7f\x85\u200b\u2028\u2066\ufeff", "\\x7f\\x85\\u200b\\u2028\\u2066\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_plain_spells_out_what_a_terminal_might_obey(text: str, shown: str) -> None:
    """Controls, separators, zero widths, bidi and tag characters."""
    assert plain(text) == shown


def test_a_reader_that_leaves_is_no_violation() -> None:
    """Rich ends a process with exit code 1 then, which says that a law is violated: ours says BrokenPipeError."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    file = os.fdopen(write_end, "w")
    with pytest.raises(BrokenPipeError):
        console(file).print("a report " * 20_000)
    with contextlib.suppress(BrokenPipeError):
        file.close()
