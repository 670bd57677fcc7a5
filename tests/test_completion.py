"""The end of a run in a stream of its own: what it pins, that one process has it, and that the next goes on after a
kill."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from psion_ledger import events, log, open_run
from psion_ledger.auditing import Audit, audit
from psion_ledger.completion import finish_run, open_completion
from psion_ledger.digest import sha256
from psion_ledger.errors import UsageError, WriterBusy
from psion_ledger.log.segment import seal_run
from psion_ledger.program import complete_stage
from psion_ledger.reading import read
from psion_ledger.receipts import record_receipt
from tests.corpora import real_contracts
from tests.edits import place
from tests.laws import audited, rows, violations
from tests.laws.forging import entries, rewritten
from tests.ledgers import (
    COMPLETION,
    RANK0,
    RUN_ID,
    Script,
    good_run,
    opened,
    seal,
    trained_run,
    verification,
    write_ledger,
)
from tests.log.processes import finished, go_at_once, live_writer, start
from tests.log.streams import numbered

CONTRACTS = real_contracts()
RANK1 = "t0001.r00001"
FOLLOWING = "c.2"
# What a process does that completes a run, up to the receipt.
COMPLETES = """
from psion_ledger.completion import finish_run, open_completion
from psion_ledger.errors import WriterBusy
from psion_ledger.program import complete_stage
from psion_ledger.receipts import record_receipt
"""
RECORDS = f"""{COMPLETES}
writer = open_completion(run, 1)
record_receipt(run, writer)
print("recorded", flush=True)
sys.stdin.read()
"""


def not_completed(world: int = 1) -> Script:
    """A run that was trained and replayed twice, all of it sealed; its completion has not begun."""
    return [(stream, step) for stream, step in good_run(CONTRACTS, world) if stream != COMPLETION]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ledger(tmp_path_factory.mktemp("whole"), not_completed())


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / RUN_ID)
    return tmp_path / RUN_ID


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


def completed(run: Path, *, receipt: bool = True) -> None:
    """The rest of a run, as its trainer does it."""
    with open_completion(run, 1) as writer:
        if receipt:
            record_receipt(run, writer)
        complete_stage(run, writer)
        finish_run(writer, "completed")
    seal_run(run)


def judged(run: Path) -> Audit:
    with open_run(run.parent, RUN_ID) as reading:
        return audit(reading)


def ends(run: Path) -> dict[str, tuple[int, str]]:
    """The last seq and link that are sealed of each stream."""
    known = read(run).manifest
    last = {entry.stream: known.last_of(entry.stream) for entry in known.entries}
    return {stream: (end.last_seq, end.link_after) for stream, end in last.items() if end is not None}


def pins(run: Path, stream: str) -> list[tuple[str, tuple[int, str]]]:
    with open_run(run.parent, RUN_ID) as reading:
        row = reading.first("select previous from stream_opened where stream = ? and seq = 0", [stream])
    assert row is not None
    return [(end["stream"], (end["last_seq"], end["chain_head"].hex())) for end in row[0]]


@contextmanager
def completing(run: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that has recorded the receipt, and holds its completion stream until it is killed."""
    with start(RECORDS, run) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "recorded\n"
            yield process
        finally:
            process.kill()


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


# ---- A dead one ----


def test_a_completion_that_was_killed_is_gone_on_with(run: Path) -> None:
    """Killed behind receipt_recorded: the next seals and pins it, and completes the stage by that receipt. The run
    then passes."""
    with completing(run) as other:
        other.send_signal(signal.SIGKILL)
        other.wait(timeout=60)
    assert list((run / "journal" / COMPLETION).iterdir()) != []
    completed(run, receipt=False)
    there = ends(run)
    assert there[COMPLETION][0] == 1
    assert pins(run, FOLLOWING) == sorted((name, end) for name, end in there.items() if name != FOLLOWING)
    result = judged(run)
    assert ([law.name for law in result.laws if law.status == "violated"], result.verdict) == ([], "PASS")
    with open_run(run.parent, RUN_ID) as reading:
        found = reading.sql(
            "select stream from receipt_recorded union all select stream from stage_completed "
            "union all select stream from run_finished order by 1"
        )
        assert found.fetchall() == [(COMPLETION,), (FOLLOWING,), (FOLLOWING,)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "dies",
    [
        "behind its first event",
        pytest.param("before its journal", marks=pytest.mark.slow),
        pytest.param("behind its stage", marks=pytest.mark.slow),
    ],
)
def test_a_completion_that_was_killed_anywhere_is_gone_on_with(run: Path, dies: str) -> None:
    """The folder alone was made; or nothing but stream_opened stands in it; or all but the end of the run."""
    if dies == "before its journal":
        (run / "journal" / COMPLETION).mkdir(mode=0o700)
    else:
        body = "writer = open_completion(run, 1)\n"
        body += "" if dies == "behind its first event" else "record_receipt(run, writer)\ncomplete_stage(run, writer)\n"
        finished(f"{COMPLETES}\n{body}print(1, flush=True)\nos._exit(0)", run)
    with open_completion(run, 1) as writer:
        assert writer.stream == FOLLOWING
        if dies != "behind its stage":
            record_receipt(run, writer)
            complete_stage(run, writer)
        finish_run(writer, "completed")
    seal_run(run)
    assert (COMPLETION in dict(pins(run, FOLLOWING))) == (dies != "before its journal")
    assert judged(run).verdict == "PASS"


@pytest.mark.slow
def test_a_torn_completion_is_cut_pinned_and_gone_on_with(run: Path) -> None:
    """The kill cut its receipt in two."""
    with completing(run):
        pass
    (journal,) = (run / "journal" / COMPLETION).iterdir()
    journal.write_bytes(journal.read_bytes()[:-5])
    completed(run)
    assert dict(pins(run, FOLLOWING))[COMPLETION] == (0, ends(run)[COMPLETION][1])
    assert judged(run).verdict == "PASS"


@pytest.mark.slow
def test_the_third_pins_the_second_which_pins_the_first(run: Path) -> None:
    """Each rests on the one before it alone."""
    for _ in range(2):
        open_completion(run, 1).close()
    completed(run)
    for stream, before in ((FOLLOWING, COMPLETION), ("c.3", FOLLOWING)):
        assert [name for name, _ in pins(run, stream)] == [before, RANK0, "v.first", "v.second"]
    assert judged(run).verdict == "PASS"


@pytest.mark.slow
def test_a_copy_without_its_empty_folders_is_gone_on_with(run: Path) -> None:
    """Archives and Git keep none: the name of a completion that is sealed is taken all the same, or its events would be
    dropped as sealed already."""
    open_completion(run, 1).close()
    seal_run(run)
    for folder in (run / "journal").iterdir():
        folder.rmdir()
    completed(run)
    assert [(stream, end[0]) for stream, end in ends(run).items() if stream.startswith("c")] == [
        (COMPLETION, 0), (FOLLOWING, 3),
    ]  # fmt: skip
    assert judged(run).verdict == "PASS"


# ---- What the laws find ----


def test_a_verification_that_was_cut_after_it_was_pinned_is_found(tmp_path: Path) -> None:
    """The verification was sealed in two parts, and the second was taken away, with all digests forged."""
    passed = verification(CONTRACTS, "first")
    at = len(passed) - 2
    script = good_run(CONTRACTS)
    first = place(script, events.StreamOpened, stream="v.first")
    script[first : first + len(passed)] = [
        *passed[:at], ("v.first", lambda folder, writer: writer.rotate()), (RANK0, seal), *passed[at:],
    ]  # fmt: skip
    run = write_ledger(tmp_path / "ledger", script)
    assert rows(audited(run, "streams_have_ends")) == []
    known = entries(run)
    whole = [entry for entry in known if entry.stream == "v.first"]
    rewritten(run, [entry for entry in known if entry is not whole[-1]])
    expected, actual = (f"seq {entry.last_seq}, link {entry.link_after}" for entry in reversed(whole))
    assert violations(run, "streams_have_ends") == [
        ("v.first", whole[0].last_seq, "v.first", expected, actual),
    ]  # fmt: skip


def test_a_verification_that_was_taken_away_after_it_was_pinned_is_found(tmp_path: Path) -> None:
    """All of it, entry and files."""
    run = write_ledger(tmp_path / "ledger", good_run(CONTRACTS))
    known = entries(run)
    (gone,) = (entry for entry in known if entry.stream == "v.second")
    rewritten(run, [entry for entry in known if entry is not gone])
    expected = f"seq {gone.last_seq}, link {gone.link_after}"
    assert violations(run, "streams_have_ends") == [("v.second", gone.last_seq, "v.second", expected, "no such stream")]


@pytest.mark.slow
@pytest.mark.parametrize("stream", [RANK0, "v.first", COMPLETION])
def test_a_stream_of_another_claim_is_found(tmp_path: Path, stream: str) -> None:
    """Its first event has the digest of the claim of another run's attempt, or of none."""
    others = sha256(b"the claim of another run's first attempt")
    script = good_run(CONTRACTS)
    at = place(script, events.StreamOpened, stream=stream)
    first = script[at][1]
    assert isinstance(first, events.StreamOpened)
    script[at] = (stream, msgspec.structs.replace(first, attempt_sha256=others))
    run = write_ledger(tmp_path / "ledger", script)
    own = sha256((run / "attempts" / "1.json").read_bytes())
    assert violations(run, "attempts_are_claimed") == [
        ("attempts/1.json", 0, stream, f"sha256 {own.hex()}", f"sha256 {others.hex()}")
    ]


def test_a_claim_that_was_exchanged_is_found_by_every_stream(tmp_path: Path) -> None:
    """Somebody claims the attempt anew, with all that a claim says: the streams name the one that was there."""
    run = write_ledger(tmp_path / "ledger", trained_run(CONTRACTS))
    (run / "attempts" / "1.json").unlink()
    assert log.claim_attempt(run) == 1
    found = violations(run, "attempts_are_claimed")
    assert [(row[0], row[2]) for row in found] == [("attempts/1.json", COMPLETION), ("attempts/1.json", RANK0)]
