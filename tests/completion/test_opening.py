"""A completion stream is opened: what it pins, and that one process has it."""

import shutil
from pathlib import Path

import pytest

from psion_ledger import events, log
from psion_ledger.completion import finish_run, open_completion
from psion_ledger.digest import sha256
from psion_ledger.errors import UsageError, WriterBusy
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from tests.completion.runs import COMPLETES, CONTRACTS, FOLLOWING, completing, ends, not_completed, pins
from tests.edits import place
from tests.ledgers import COMPLETION, RANK0, RUN_ID, opened, trained_run, write_ledger
from tests.log.processes import go_at_once, live_writer, start
from tests.log.streams import numbered

RANK1 = "t0001.r00001"


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    script = trained_run(CONTRACTS)
    return write_ledger(
        tmp_path_factory.mktemp("quick"), script[: place(script, events.StreamOpened, stream=COMPLETION)]
    )


@pytest.fixture
def trained(quick: Path, tmp_path: Path) -> Path:
    """Quicker than `run`, for what asks for no receipt."""
    shutil.copytree(quick, tmp_path / RUN_ID)
    return tmp_path / RUN_ID


# ---- What it pins ----


def test_a_completion_pins_all_that_it_rests_on(tmp_path: Path) -> None:
    """Both ranks' streams and both verifications, by name, each with the last seq and link that are sealed."""
    run = write_ledger(tmp_path, not_completed(world=2))
    there = ends(run)
    open_completion(run, 1).close()
    assert pins(run, COMPLETION) == sorted(there.items())
    assert sorted(there) == [RANK0, RANK1, "v.first", "v.second"]


def test_a_completion_says_who_it_is(trained: Path) -> None:
    """Role, attempt and rank, and the sha256 of its attempt's claim; it is named by its number."""
    with open_completion(trained, 1) as writer:
        assert writer.stream == COMPLETION
    (tail,) = (tail for tail in read(trained).tails if tail.stream == COMPLETION)
    assert tail.opened is not None
    claim = sha256((trained / "attempts" / "1.json").read_bytes())
    assert (tail.opened.role, tail.opened.attempt, tail.opened.rank, tail.opened.attempt_sha256) == (
        "complete", 1, 0, claim,
    )  # fmt: skip


def test_only_the_last_attempt_is_pinned(trained: Path) -> None:
    """The one before it is pinned by rank 0 of the last."""
    log.claim_attempt(trained)
    claimed = log.attempt_sha256(trained, 2)
    with log.open_writer(trained, opened(2, attempt_sha256=claimed, previous=log.previous_ends(trained, 2))):
        pass
    open_completion(trained, 2).close()
    assert [stream for stream, _ in pins(trained, COMPLETION)] == ["t0002.r00000"]


def test_a_verification_that_is_still_written_is_not_pinned(run: Path) -> None:
    """It may end later; its end is no part of what the run's end rests on."""
    claimed = log.attempt_sha256(run, 1)
    with log.open_writer(run, opened(role="verify", attempt_sha256=claimed), stream="v.third") as writer:
        writer.rotate()
        seal_run(run)
        open_completion(run, 1).close()
    seal_run(run)
    assert [stream for stream, _ in pins(run, COMPLETION)] == [RANK0, "v.first", "v.second"]
    assert "v.third" in ends(run)


def test_what_a_dead_writer_left_is_sealed_and_pinned(trained: Path) -> None:
    """A rank that was killed behind rank 0: its journal stands there, unsealed, when the run is completed."""
    claimed = log.attempt_sha256(trained, 1)
    with log.open_writer(trained, opened(rank=1, attempt_sha256=claimed)) as writer:
        writer.emit(numbered(1))
    open_completion(trained, 1).close()
    assert pins(trained, COMPLETION) == [(RANK0, ends(trained)[RANK0]), (RANK1, ends(trained)[RANK1])]


# ---- One process has it ----


def test_a_second_process_that_completes_at_the_same_time_is_refused(run: Path) -> None:
    """It is told which process does, and writes nothing."""
    with completing(run) as other:
        before = sorted(path.name for path in (run / "journal").iterdir())
        with pytest.raises(WriterBusy, match=f"run {RUN_ID}: pid {other.pid} .* completes it just now; wait until"):
            open_completion(run, 1)
        assert before == sorted(path.name for path in (run / "journal").iterdir())


@pytest.mark.slow
def test_of_processes_that_begin_at_once_one_wins(trained: Path) -> None:
    """Six of them: one opens the first completion stream, and the others are told that it is busy."""
    body = f"""{COMPLETES}
print("ready", flush=True)
sys.stdin.readline()
try:
    writer = open_completion(run, 1)
    print(writer.stream, flush=True)
    sys.stdin.readline()
except WriterBusy:
    print("busy", flush=True)
"""
    seal_run(trained)
    processes = [start(body, trained) for _ in range(6)]
    try:
        go_at_once(processes)
        said = sorted(process.stdout.readline().strip() for process in processes if process.stdout is not None)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert said == ["busy"] * 5 + [COMPLETION]
    assert [path.name for path in (trained / "journal").glob("c.*")] == [COMPLETION]


def test_a_name_that_was_taken_meanwhile_is_busy(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process began, finished and sealed its completion after this one had looked for one."""
    open_writer = log.open_writer

    def late(run: Path, event: events.StreamOpened, stream: str) -> log.Writer:
        with open_writer(run, event, stream=stream) as writer:
            finish_run(writer, "completed")
        seal_run(run)
        return open_writer(run, event, stream=stream)

    monkeypatch.setattr(log, "open_writer", late)
    with pytest.raises(WriterBusy, match=f"run {RUN_ID}: another process completes it just now"):
        open_completion(trained, 1)
    assert pins(trained, COMPLETION)[0][0] == RANK0


def test_a_run_that_still_trains_is_not_completed(tmp_path: Path) -> None:
    """Where its stream will end is not known yet."""
    run = log.create_run(tmp_path, RUN_ID)
    log.claim_attempt(run)
    with (
        live_writer(run) as trainer,
        pytest.raises(WriterBusy, match=f"pid {trainer.pid} on node-a still writes {RANK0}"),
    ):
        open_completion(run, 1)
    assert not (run / "journal" / COMPLETION).exists()


def test_a_finished_run_is_not_completed_again(trained: Path) -> None:
    """What would follow its end would spoil it; a later attempt has an end of its own."""
    with open_completion(trained, 1) as writer:
        finish_run(writer, "completed")
    for _ in range(2):  # Not sealed yet, and sealed.
        with pytest.raises(UsageError, match=f"run {RUN_ID}: attempt 1 is finished already"):
            open_completion(trained, 1)
        seal_run(trained)
    log.claim_attempt(trained)
    with open_completion(trained, 2) as writer:
        assert writer.stream == FOLLOWING
