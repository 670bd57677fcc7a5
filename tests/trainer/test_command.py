"""The trainer from the command line: one line for a mistake, a report for a run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from psion_ledger import open_run
from psion_ledger.auditing import audit
from tests.trainer.command import REMINDER, REPOSITORY, Place, shown, spawned
from tests.trainer.tiny import write_corpus
from trainer.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "exit_code", "line"),
    [
        (["--steps", "0"], 2, "argument --steps: must be a whole number from 1 to 2147483647, not '0'"),
        (["--anchor", "huge"], 2, "argument --anchor: invalid choice: 'huge'"),
        (["--run-id", "A"], 2, "bad run id 'A': use 1 to 64 lowercase letters"),
        (["--resume", "nowhere"], 4, "no run nowhere in"),
        (["--corpus", "missing"], 2, "corpus missing is not a folder; give --corpus a folder of text"),
    ],
)
def test_a_mistake_gets_one_line(
    place: Place, capfd: pytest.CaptureFixture[str], arguments: list[str], exit_code: int, line: str
) -> None:
    """On stderr, with the exit code of its kind; stdout stays empty and nothing is made."""
    assert main([*arguments, *place.folders]) == exit_code
    out, err = capfd.readouterr()
    assert out == ""
    *phases, told = err.splitlines()
    assert told.startswith("python -m trainer: ")
    assert line in told
    assert [phase for phase in phases if not REMINDER.search(phase)] in (
        [], ["reading the text"], ["loading", "reading the record"]
    )  # fmt: skip
    assert not place.ledger.exists()
    assert not place.artifacts.exists()


def test_a_refused_corpus_leaves_nothing(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    """Shards that were written before the refusal are gone again: a family of one sequence is drawn last."""
    (place.corpus / "rare").mkdir()
    for number in range(3):
        (place.corpus / "rare" / f"{number}.txt").write_text(f"rare{number} " * 8, encoding="utf-8")
    assert main(place.start("r", "--steps", "1", "--batch", "4")) == 2
    assert re.search("would never draw some source family; give --steps [0-9]+ or more", capfd.readouterr().err)
    assert not (place.artifacts / "r").exists()
    assert not place.ledger.exists()


@dataclass(frozen=True)
class Finished:
    """Run `first`, trained to its end by a process of its own, and what that said."""

    place: Place
    exit_code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    place = Place(tmp_path_factory.mktemp("finished"))
    write_corpus(place.corpus)
    process = spawned(place.start("first"))
    out, err = process.communicate()
    return Finished(place, process.returncode, out, err)


PHASES = [
    "reading the text", "loading", "writing the shards", "building the model", "training", "sealing",
    "replaying order and content", "deriving the receipt", "finishing the record", "auditing",
]  # fmt: skip


def test_a_run_ends_in_its_report(finished: Finished) -> None:
    """PASS at level replayed; the run id is the last line. On stderr every phase, and the command that resumes it."""
    assert finished.exit_code == 0, finished.err
    assert "PASS   level replayed (here)" in finished.out
    assert finished.out.splitlines()[-1] == "first"
    said = finished.err.splitlines()
    assert [line for line in said if line in PHASES] == PHASES
    words = ["-m", "trainer", "--resume", "first", "--corpus", str(finished.place.corpus), *finished.place.folders]
    assert f"run first, attempt 1; to resume it: {shlex.join([shown('python'), *words])}" in said


def test_a_finished_run_is_resumed_to_its_report(finished: Finished, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a new attempt. Its name is taken, and flags that disagree with it are refused."""
    place = finished.place
    assert main(place.resume("first")) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "first"
    assert place.attempts("first") == 1
    assert main(place.start("first")) == 2
    again = f"{shown('python')} -m trainer --resume first --corpus {place.corpus} {' '.join(place.folders)}"
    assert f"exists; go on with `{again}`, or choose another --run-id" in capfd.readouterr().err
    assert main(place.resume("first", "--steps", "61")) == 2
    assert "run first was started with --steps 60, not 61; resume it without --steps" in capfd.readouterr().err


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(finished: Finished) -> None:
    """`python -m trainer | head`: the exit code is that of the run, and nothing is told but the phases."""
    done = piped_to_nobody(finished.place.resume("first"), stderr=subprocess.PIPE)
    told = {REMINDER.sub("", line) for line in done.stderr.splitlines()}
    assert (done.returncode, told - {"auditing first ..."}) == (0, {"loading", "reading the record", "auditing"})


@pytest.mark.slow
def test_a_reader_that_leaves_does_not_stop_the_training(place: Place) -> None:
    """`python -m trainer 2>&1 | head`: it is trained, and passes."""
    assert piped_to_nobody(place.start("r"), stderr=subprocess.STDOUT).returncode == 0
    with open_run(place.ledger, "r") as run:
        assert audit(run).verdict == "PASS"


def piped_to_nobody(arguments: list[str], stderr: int) -> subprocess.CompletedProcess[str]:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        return subprocess.run(
            [sys.executable, "-m", "trainer", *arguments], stdout=write_end, stderr=stderr, text=True, cwd=REPOSITORY,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        )  # fmt: skip
    finally:
        os.close(write_end)


def test_a_damaged_record_is_not_resumed(finished: Finished, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A missing segment could hide a checkpoint, so the resume stops and names it."""
    shutil.copytree(finished.place.ledger, tmp_path / "ledger")
    (segment,) = (tmp_path / "ledger" / "first" / "segments" / "checkpoint_written").iterdir()
    segment.unlink()
    assert main(["--resume", "first", "--ledger", str(tmp_path / "ledger")]) == 3
    assert f"{segment.name} is damaged: " in capfd.readouterr().err


def test_a_crash_of_ours_is_not_a_violation(
    place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3, in one line."""
    monkeypatch.setattr("trainer.__main__.read_text", lambda settings: 1 // 0)
    assert main(place.start("r")) == 3
    assert capfd.readouterr().err == (
        "python -m trainer: cannot go on, ZeroDivisionError: integer division or modulo by zero "
        "(PSION_LEDGER_DEBUG=1 shows where). Nothing was recorded yet.\n"
    )
