"""The trainer from the command line: one line for a mistake, a report for a run, no loss when killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from psion_ledger import open_run
from psion_ledger.audit import audit
from tests.log.disks import fill
from tests.trainer.tiny import write_corpus
from trainer.__main__ import main

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = ["--context", "16", "--vocab", "300", "--batch", "4", "--steps", "60"]


class Place:
    """A corpus, a ledger and an artifacts folder, and the flags that name them."""

    def __init__(self, folder: Path) -> None:
        self.corpus, self.ledger, self.artifacts = folder / "text", folder / "ledger", folder / "runs"
        self.folders = ["--ledger", str(self.ledger), "--artifacts", str(self.artifacts)]

    def start(self, run_id: str, *flags: str) -> list[str]:
        return ["--run-id", run_id, "--corpus", str(self.corpus), *TINY, *flags, *self.folders]

    def resume(self, run_id: str, *flags: str) -> list[str]:
        return ["--resume", run_id, *flags, *self.folders]

    def final_weights(self, run_id: str) -> bytes:
        query = "select weights_sha256 from checkpoint_promoted"
        with open_run(self.ledger, run_id) as run:
            (row,) = run.sql(query).fetchall()
        return bytes(row[0])

    def attempts(self, run_id: str) -> int:
        with open_run(self.ledger, run_id) as run:
            (row,) = run.sql("select count(*) from attempt_started").fetchall()
        return int(row[0])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    write_corpus(place.corpus)
    return place


def spawned(arguments: list[str], patch: str = "") -> subprocess.Popen[str]:
    end = "from trainer.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    code = f"import os, sys, trainer.emit as emit\n{patch}\n{end}"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )


@pytest.mark.parametrize(
    ("arguments", "exit_code", "line"),
    [
        (["--steps", "0"], 2, "argument --steps: must be a whole number from 1 to 2147483647, not '0'"),
        (["--anchor", "huge"], 2, "argument --anchor: invalid choice: 'huge'"),
        (["--run-id", "A"], 2, "bad run id 'A': use 1 to 64 lowercase letters"),
        (["--resume", "nowhere"], 4, "no run nowhere in"),
        (["--corpus", "missing"], 2, "corpus missing is not a folder; give --corpus a folder of text"),
        (["--batch", "3", "--micro-steps", "2"], 2, "does not divide into 1 ranks x 2 micro steps"),
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
    assert phases in ([], ["loading"], ["loading", "reading the text"])
    assert not place.ledger.exists()
    assert not place.artifacts.exists()


def test_a_refused_corpus_leaves_nothing(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    """Shards that were written before the refusal are gone again."""
    assert main(place.start("r", "--steps", "1", "--batch", "1")) == 2
    assert "would never draw some source family; give --steps 2 or more" in capfd.readouterr().err
    assert not (place.artifacts / "r").exists()
    assert not place.ledger.exists()


def test_a_run_ends_in_its_report(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    """PASS at level replayed; the run id is the last line, and the way to resume was said on stderr.

    Resumed when it is finished, a run makes no new attempt and reports again. Its name is taken, and flags
    that disagree with it are refused.
    """
    assert main(place.start("first")) == 0
    out, err = capfd.readouterr()
    assert "PASS   level replayed (here)" in out
    assert out.splitlines()[-1] == "first"
    assert f"to resume it: python -m trainer --resume first {' '.join(place.folders)}" in err
    assert main(place.resume("first")) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "first"
    assert place.attempts("first") == 1
    assert main(place.start("first")) == 2
    assert "exists; resume the run with --resume, or choose another --run-id" in capfd.readouterr().err
    assert main(place.resume("first", "--steps", "61")) == 2
    assert "run first was started with --steps 60, not 61; resume it without --steps" in capfd.readouterr().err


def test_a_damaged_record_is_not_resumed(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    """A missing segment could hide a checkpoint, so the resume stops and names it."""
    assert main(place.start("r")) == 0
    (segment,) = (place.ledger / "r" / "segments" / "checkpoint_written").iterdir()
    segment.unlink()
    capfd.readouterr()
    assert main(place.resume("r")) == 3
    assert f"{segment.name} is damaged: " in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "line", "exit_code"),
    [
        (signal.SIGKILL, "step 54/60", -9),
        (signal.SIGKILL, "step 6/60", -9),
        (signal.SIGINT, "step 30/60", 130),
        (signal.SIGTERM, "step 30/60", 143),
    ],
)
def test_killed_and_resumed_equals_uninterrupted(
    place: Place, number: signal.Signals, line: str, exit_code: int
) -> None:
    """Two attempts, PASS, and the final weights of a run that nobody disturbed."""
    whole = spawned(place.start("whole"))
    assert (whole.communicate()[0].splitlines()[-1], whole.returncode) == ("whole", 0)
    process = spawned(place.start("parts"))
    assert process.stderr is not None
    for said in process.stderr:
        if said.startswith(line):
            process.send_signal(number)
            break
    _, err = process.communicate()
    assert process.returncode == exit_code
    assert number == signal.SIGKILL or "to go on: python -m trainer --resume parts" in err
    resumed = spawned(place.resume("parts"))
    out, err = resumed.communicate()
    assert (resumed.returncode, "PASS" in out) == (0, True), err
    assert place.attempts("parts") == 2
    assert place.final_weights("parts") == place.final_weights("whole")


@pytest.mark.slow
@pytest.mark.parametrize(
    "dies_at",
    [
        "emit.Recorder.declare",
        "emit.Recorder.attempt_started",
        "emit.Recorder.checkpoint_written",
        "emit.Recorder.checkpoint_promoted",
        "emit._replay_in_child",
        "emit.record_receipt",
        "emit.complete_stage",
        "emit.Recorder.run_finished",
    ],
)
def test_a_resume_does_what_is_left(place: Place, dies_at: str) -> None:
    """Killed just before any of its facts, the run is completed by its next attempt."""
    killed = spawned(place.start("r"), f"{dies_at} = lambda *facts, **named: os._exit(9)")
    killed.communicate()
    assert killed.returncode == 9
    resumed = spawned(place.resume("r"))
    out, err = resumed.communicate()
    assert (resumed.returncode, "PASS   level replayed (here)" in out) == (0, True), err
    assert out.splitlines()[-1] == "r"


def until(process: subprocess.Popen[str], line: str) -> None:
    """Read what the trainer says up to a line."""
    assert process.stderr is not None
    assert any(said.startswith(line) for said in process.stderr), f"it never said {line}"


@pytest.mark.slow
@pytest.mark.parametrize("failing", ["raise", "detach"])
def test_a_full_disk_stops_the_run_or_the_record(tmp_path: Path, small_disk: Path, failing: str) -> None:
    """The ledger's own disk fills at step 30. Either training stops there; or it comes to its end, and the run does
    not. With room again, the run is resumed from its last recorded checkpoint, and passes."""
    place = Place(tmp_path)
    write_corpus(place.corpus)
    place.ledger = small_disk / "ledger"
    place.folders[1] = str(place.ledger)
    process = spawned(place.start("r", "--on-ledger-failure", failing))
    until(process, "step 30/60")
    fill(small_disk / "filler")
    _, err = process.communicate()
    assert (process.returncode, "No space left on device" in err or "came up short" in err) == (3, True), err
    trained = (place.artifacts / "r" / "checkpoints" / "a0001-s000060").exists()
    assert trained == (failing == "detach")
    (small_disk / "filler").unlink()
    with open_run(place.ledger, "r") as run:
        assert audit(run).verdict == "UNPROVEN"
    resumed = spawned(place.resume("r"))
    out, err = resumed.communicate()
    assert (resumed.returncode, "PASS   level replayed (here)" in out) == (0, True), err


@pytest.mark.slow
def test_two_ranks_make_one_run(place: Place) -> None:
    """Under torchrun: stopped by SIGTERM and resumed, two ranks with two micro steps pass every law."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "trainer"]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*torchrun, *place.start("r", "--micro-steps", "2")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=environment,
    )
    assert process.stderr is not None
    for said in process.stderr:
        if said.startswith("step 30/60"):
            process.terminate()
            break
    _, err = process.communicate()
    assert "to go on: torchrun --nproc-per-node 2 -m trainer --resume r" in err
    done = subprocess.run(
        [*torchrun, *place.resume("r")], capture_output=True, text=True, cwd=REPOSITORY, env=environment
    )
    assert (done.returncode, "PASS   level replayed (here)" in done.stdout) == (0, True), done.stderr
    assert place.attempts("r") == 4  # two ranks, twice
