"""A run that was killed, stopped or out of disk is resumed, and nothing of it is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from psion_ledger import open_run
from psion_ledger.auditing import audit
from tests.log.disks import fill
from tests.trainer.command import REPOSITORY, TINY, Place, shown, spawned
from tests.trainer.tiny import write_corpus


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
    assert number == signal.SIGKILL or f"to go on: {shown('python')} -m trainer --resume parts" in err
    resumed = spawned(place.resume("parts"))
    out, err = resumed.communicate()
    assert (resumed.returncode, "PASS" in out) == (0, True), err
    assert place.attempts("parts") == 2
    assert place.final_weights("parts") == place.final_weights("whole")


DIES = "lambda *facts, **named: os._exit(9)"
EMITTING = """
from psion_ledger import log
emit = log.Writer.emit
log.Writer.emit = lambda writer, event: os._exit(9) if type(event).__name__ == {kind!r} else emit(writer, event)
"""
PARTS = [
    "record_replay", "record_receipt", "complete_stage", "completion.open_completion", "completion.finish_run",
]  # fmt: skip


def goes_on(place: Place) -> None:
    """The next attempt completes the run."""
    # Before everything is promised, it is said once more.
    resumed = spawned(place.resume("r", "--corpus", str(place.corpus), *TINY))
    out, err = resumed.communicate()
    assert (resumed.returncode, "PASS   level replayed (here)" in out) == (0, True), err
    assert out.splitlines()[-1] == "r"
    with open_run(place.ledger, "r") as run:
        assert run.sql("select max(step) from train_steps").fetchall() == [(60,)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["RunStarted", "ContractDeclared", "AttemptStarted", "CheckpointWritten", "CheckpointPromoted", "StreamEnded"],
)
def test_a_resume_does_what_is_left(place: Place, kind: str) -> None:
    """Killed just before any of its facts, the run is completed by its next attempt."""
    killed = spawned(place.start("r"), EMITTING.format(kind=kind))
    killed.communicate()
    assert killed.returncode == 9
    goes_on(place)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_resume_finishes_what_was_killed(place: Place, part: str) -> None:
    """The process that finishes the run is killed before each of its parts."""
    words = f"'finish', 'r', '--ledger', {str(place.ledger)!r}, '--corpus', {str(place.artifacts / 'r' / 'corpus')!r}"
    never = spawned(place.start("r"), "from psion_ledger.recording import session\nsession.Session._finish = " + DIES)
    never.communicate()
    assert never.returncode == 9
    patch = f"from psion_ledger.recording import finishing\nfinishing.{part} = {DIES}\n"
    code = f"import os, sys\n{patch}from psion_ledger.cli import app\napp([{words}])"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 9
    goes_on(place)


@pytest.mark.slow
def test_a_run_that_had_promised_nothing_is_told_what_it_began_with(place: Place) -> None:
    """Killed while it declared its contracts: a resume without its flags would promise something else."""
    spawned(place.start("r"), f"from psion_ledger import log\nlog.add_files = {DIES}").communicate()
    resumed = spawned(place.resume("r", "--corpus", str(place.corpus)))
    _, err = resumed.communicate()
    told = "run r was stopped before it promised what it trains, and had begun with vocab '300', not '4096'; give the"
    assert (resumed.returncode, told in err) == (2, True), err


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
    assert f"to go on: {shown('torchrun')} --nproc-per-node 2 -m trainer --resume r" in err
    done = subprocess.run(
        [*torchrun, *place.resume("r")], capture_output=True, text=True, cwd=REPOSITORY, env=environment
    )
    assert (done.returncode, "PASS   level replayed (here)" in done.stdout) == (0, True), done.stderr
    assert place.attempts("r") == 4  # two ranks, twice
