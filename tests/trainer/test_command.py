"""The trainer from the command line: one line for a mistake, a report for a run, no loss when killed."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from psion_ledger import open_run
from psion_ledger.auditing import audit
from tests.log.disks import fill
from tests.trainer.tiny import write_corpus
from trainer import talk
from trainer.__main__ import main

REPOSITORY = Path(__file__).resolve().parents[2]
# What a phase says again when it takes long, as on a busy machine.
REMINDER = re.compile(r" \(\d+ s\)$")
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
        query = "select object_sha256 from checkpoint_promoted"
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
    code = f"import os, sys\n{patch}\n{end}"
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


def shown(program: str) -> str:
    """As a program of this environment is typed: by its name, where that is enough, and else from here."""
    own = Path(sys.executable).with_name(program)
    if shutil.which(program) == str(own):
        return program
    return str(own.relative_to(REPOSITORY) if own.is_relative_to(REPOSITORY) else own)


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


@pytest.mark.slow
def test_nothing_is_silent_for_more_than_two_seconds(place: Place) -> None:
    """The whole of a run of the smoke anchor's own size, with room for a busy machine."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", "--run-id", "r", "--steps", "40", *place.folders],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )  # fmt: skip
    assert process.stderr is not None
    last_s, longest_s = time.monotonic(), 0.0
    for _ in process.stderr:
        longest_s, last_s = max(longest_s, time.monotonic() - last_s), time.monotonic()
    process.communicate()
    assert (process.returncode, longest_s < 3) == (0, True), longest_s


@pytest.mark.slow
def test_a_phase_is_said_again_when_nothing_else_is(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the seconds that it has taken; a line in between puts it off, and its end ends it."""
    monkeypatch.setattr(talk, "SILENT_S_MAX", 0.4)
    with talk.phase("thinking"):
        time.sleep(1)
    said = capfd.readouterr().err.splitlines()
    assert (said[0], len(said) > 1) == ("thinking", True)
    assert {REMINDER.sub("", line) for line in said} == {"thinking"}
    with talk.phase("speaking"):
        for _ in range(12):
            time.sleep(0.05)
            talk.say("a word")
    time.sleep(0.5)
    assert capfd.readouterr().err.splitlines() == ["speaking", *["a word"] * 12]


def test_what_is_said_is_one_line_that_no_terminal_obeys(capfd: pytest.CaptureFixture[str]) -> None:
    """Escapes, line breaks and bidi overrides are spelled; letters are left as they are."""
    talk.say("é \x1b[2J \n \r \u202e \x9b")
    assert capfd.readouterr().err == "é \\x1b[2J \\x0a \\x0d \\u202e \\x9b\n"


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
