"""The writer: what it accepts is there after a kill, what it calls durable is, and nobody else writes its stream."""

import os
import signal
import threading
import time
from itertools import takewhile
from pathlib import Path

import pytest

from psion_ledger import events, log, open_run
from psion_ledger.errors import EventRefused, UsageError, WriterBusy, WriterFailed
from psion_ledger.log import frame, journal, liveness, sealer
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from tests.ledgers import RANK0, RUN_ID, opened
from tests.log.disks import fill
from tests.log.processes import finished, live_writer, start
from tests.log.streams import claimed_run, frames, numbered, recorded
from tests.log.vocabulary import EXAMPLES

DURABLE = {
    "stream_opened", "run_started", "contract_declared", "stage_started", "stage_completed", "stage_advanced",
    "attempt_started", "checkpoint_written", "checkpoint_loaded", "checkpoint_removed", "checkpoint_promoted",
    "verification_started", "verification_completed", "receipt_recorded", "stream_ended", "run_finished",
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return claimed_run(tmp_path)


@pytest.fixture
def no_background_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SYNC_EVERY_S", 3600.0)


@pytest.mark.parametrize("acknowledged", [1, 50])
def test_what_was_accepted_is_there_after_sigkill(run: Path, acknowledged: int) -> None:
    """A process that emits and says so is killed; every event of which it had time to say so is in the record."""
    body = """
writer = log.open_writer(run, opened())
step = 0
while True:
    step += 1
    print(writer.emit(numbered(step)), flush=True)
"""
    with start(body, run) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(acknowledged)]
        process.send_signal(signal.SIGKILL)
        # The last line may have been cut by the kill.
        said += takewhile(lambda line: line.endswith("\n"), process.stdout.readlines())
    assert process.returncode == -signal.SIGKILL
    assert list(range(1, len(said) + 1)) == [int(line) for line in said]
    found = recorded(run)
    assert len(found) > len(said)
    expected = [(RANK0, seq, numbered(seq)) for seq in range(1, len(found))]
    assert expected == found[1:]


def test_seqs_are_dense_from_zero(run: Path) -> None:
    """`emit` returns the event's seq; stream_opened is seq 0."""
    with log.open_writer(run, opened()) as writer:
        assert [writer.emit(numbered(step)) for step in (1, 2, 3)] == [1, 2, 3]
    assert [(RANK0, 0, opened()), *((RANK0, n, numbered(n)) for n in (1, 2, 3))] == recorded(run)


@pytest.mark.usefixtures("no_background_sync")
@pytest.mark.parametrize("kind", EXAMPLES)
def test_events_that_others_rest_on_are_durable_on_return(run: Path, kind: str) -> None:
    """The next frame's watermark names the event itself; for any other kind, what was durable before it."""
    with log.open_writer(run, opened()) as writer:
        seq = writer.emit(opened() if kind == "stream_opened" else EXAMPLES[kind])
        writer.emit(numbered(1))
    found = frames(read(run).tails[0])
    expected = [-1, 0, seq if kind in DURABLE else 0]
    assert expected == [f.durable_through for f in found]


@pytest.mark.usefixtures("no_background_sync")
def test_a_sync_that_is_asked_for_advances_the_watermark(run: Path) -> None:
    """All that was accepted before it is durable."""
    with log.open_writer(run, opened()) as writer:
        writer.emit(numbered(1))
        seq = writer.emit(numbered(2))
        writer.sync()
        writer.emit(numbered(3))
    assert [-1, 0, 0, seq] == [f.durable_through for f in frames(read(run).tails[0])]


def test_the_thread_syncs_without_being_asked(run: Path) -> None:
    """Within ten seconds at the latest, a later frame says that the first batch is durable."""
    with log.open_writer(run, opened()) as writer:
        first = writer.emit(numbered(1))
        give_up = time.monotonic() + 10
        while frames(read(run).tails[0])[-1].durable_through < first and time.monotonic() < give_up:
            time.sleep(0.02)
            writer.emit(numbered(2))
    assert first <= frames(read(run).tails[0])[-1].durable_through


@pytest.mark.parametrize("rotated", [False, True])
def test_a_second_writer_is_refused_while_the_first_lives(run: Path, rotated: bool) -> None:
    """It is told who holds the stream, and writes nothing."""
    with live_writer(run, rotated) as holder:
        before = recorded(run)
        with pytest.raises(WriterBusy, match=f"stream {RANK0}: .*pid {holder.pid} on node-a.*stop it"):
            log.open_writer(run, opened())
        assert before == recorded(run)


def test_a_holder_whose_first_journal_is_sealed_is_still_a_holder(run: Path) -> None:
    """Its pid is not read from Parquet; that it lives is said."""
    with live_writer(run, rotated=True):
        assert [entry.first_seq for entry in seal_run(run).entries] == [0]
        with pytest.raises(WriterBusy, match="a process whose first journal is sealed already"):
            log.open_writer(run, opened())


def test_a_stream_whose_writer_is_gone_is_not_taken_over(run: Path) -> None:
    """After a kill, too: a new attempt has a stream of its own."""
    with live_writer(run):
        pass
    with pytest.raises(UsageError, match=f"stream {RANK0} exists .* start a new attempt") as refused:
        log.open_writer(run, opened())
    assert not isinstance(refused.value, WriterBusy)
    with log.open_writer(run, opened(attempt=2)) as writer:
        assert writer.stream == "t0002.r00000"


def test_a_live_run_is_not_resumed(run: Path) -> None:
    """Whoever resumes is told which process still writes; once it is gone nothing stands in the way."""
    with live_writer(run) as holder, pytest.raises(WriterBusy, match=f"pid {holder.pid} on node-a still writes"):
        log.refuse_if_live(run)
    log.refuse_if_live(run)


def test_the_child_of_a_fork_cannot_write(run: Path) -> None:
    """It raises and adds nothing; its parent goes on and still holds the stream after the child's end."""
    body = """
writer = log.open_writer(run, opened(pid=os.getpid()))
child = os.fork()
if child == 0:
    for attempt in (lambda: writer.emit(numbered(7)), writer.sync, writer.rotate):
        try:
            attempt()
        except LedgerError as error:
            print(type(error).__name__, error, flush=True)
    writer.close()
    os._exit(0)
os.waitpid(child, 0)
print(os.getpid(), writer.emit(numbered(1)), log.liveness.live_holder(run / "journal" / RANK0 / f"{0:012}.wal"))
"""
    *child, parent = finished(body, run).splitlines()
    pid = parent.split()[0]
    refusal = f"WriterFailed stream {RANK0} belongs to the process that forked this one (pid {pid})"
    assert ([refusal] * 3, f"{pid} 1 pid {pid} on node-a") == (child, parent)
    assert [(RANK0, 1, numbered(1))] == recorded(run)[1:]


def test_a_forked_child_does_not_keep_a_dead_writers_stream(run: Path) -> None:
    """A data worker that outlives its killed trainer holds no lock."""
    body = """
writer = log.open_writer(run, opened())
if os.fork() == 0:
    print("forked", flush=True)
    os.kill(os.getppid(), 9)
    sys.stdin.read()
    os._exit(0)
os.wait()
"""
    with start(body, run) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "forked\n"
        assert process.wait(timeout=60) == -signal.SIGKILL
        assert liveness.live_holder(run / "journal" / RANK0 / f"{0:012}.wal") is None


def test_threads_share_a_writer(run: Path) -> None:
    """Each seq is given out once, and the chain holds from the first frame to the last."""
    given: list[int] = []

    def emit(writer: log.Writer, first: int) -> None:
        given.extend([writer.emit(numbered(first + step)) for step in range(100)])

    with log.open_writer(run, opened()) as writer:
        threads = [threading.Thread(target=emit, args=(writer, 1000 * n)) for n in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    (tail,) = read(run).tails
    assert (list(range(1, 401)), None) == (sorted(given), tail.damage)
    steps = sorted(f.event.step for f in frames(tail) if isinstance(f.event, events.BatchReplayed))
    assert sorted(1000 * n + step for n in range(1, 5) for step in range(100)) == steps


def test_a_full_journal_is_sealed_by_a_process_of_its_own(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit the writer goes on in a new journal; no event is lost or doubled."""
    monkeypatch.setattr(journal, "ROTATE_AT_BYTES", 1000)
    with log.open_writer(run, opened()) as writer:
        for step in range(1, 31):
            writer.emit(numbered(step))
        writer.rotate()
    seal_run(run)
    entries = read(run).manifest.entries
    ranges = [(entry.first_seq, entry.last_seq) for entry in entries]
    assert len(ranges) > 3
    assert [0, *(last + 1 for _, last in ranges)] == [*(first for first, _ in ranges), 31]
    with open_run(run.parent, RUN_ID) as opened_run:
        steps = opened_run.sql("select step from batch_replayed order by seq").fetchall()
    assert [(step,) for step in range(1, 31)] == steps


def test_a_sealer_that_falls_behind_is_waited_for(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more journals wait than the limit says: the ninth waits for the sealer, and nothing is dropped."""
    monkeypatch.setattr(sealer, "JOURNALS_AHEAD_MAX", 2)
    monkeypatch.setattr(journal, "ROTATE_AT_BYTES", 600)
    most = 0
    with log.open_writer(run, opened()) as writer:
        for step in range(1, 41):
            writer.emit(numbered(step))
            most = max(most, len(list((run / "journal" / RANK0).iterdir())))
    # The limit, what the running sealer was started for, and the one being written.
    assert most <= 2 + 2 + 1
    seal_run(run)
    with open_run(run.parent, RUN_ID) as opened_run:
        assert opened_run.sql("select step from batch_replayed order by seq").fetchall() == [(n,) for n in range(1, 41)]


def test_a_rotated_journal_is_synced(run: Path) -> None:
    """The first frame of the next journal says that all before it is durable, and links to it."""
    with log.open_writer(run, opened()) as writer:
        writer.emit(numbered(1))
        writer.rotate()
        writer.emit(numbered(2))
    before, after = read(run).tails
    assert (before.link_after, 1) == (after.link_before, frames(after)[0].durable_through)


def test_a_closed_writer_refuses(run: Path) -> None:
    """And can be closed again."""
    writer = log.open_writer(run, opened())
    writer.close()
    writer.close()
    for attempt in (lambda: writer.emit(numbered(1)), writer.sync, writer.rotate):
        with pytest.raises(WriterFailed, match=f"^stream {RANK0} is closed$"):
            attempt()
    assert [(RANK0, 0, opened())] == recorded(run)


def test_an_opening_event_that_is_refused_leaves_nobody_behind(run: Path) -> None:
    """No lock is held for a stream that never began; what was refused is not in the record."""
    with pytest.raises(EventRefused):
        log.open_writer(run, opened(rank=-1), stream="t0001.r00001")
    log.refuse_if_live(run)
    assert (recorded(run), seal_run(run).entries, seal_run(run).torn) == ([], [], [])


def assert_poisoned(said: str, run: Path) -> None:
    """The child printed the seq of each accepted event, then three failures: the first and two after it."""
    *accepted, first, second, third = said.splitlines()
    seqs = [int(line) for line in accepted]
    failure = f"WriterFailed run {RUN_ID}, stream {RANK0}, seq {len(seqs) + 1}: write failed: "
    assert first.startswith(failure), first
    assert first.endswith("what was accepted before is kept: free the disk and try again, then resume the run")
    assert (first, first) == (second, third)
    assert [(RANK0, seq, numbered(seq)) for seq in range(1, len(seqs) + 1)] == recorded(run)[1:]
    assert list(range(1, len(seqs) + 1)) == seqs


FILL = """
writer = log.open_writer(run, opened())
failures = 0
for step in range(1, 100_000):
    try:
        print(writer.emit(numbered(step)))
    except LedgerError as error:
        print(type(error).__name__, error)
        failures += 1
        if failures == 2:
            break
try:
    writer.rotate()
except LedgerError as error:
    print(type(error).__name__, error)
writer.close()
"""


def test_a_write_that_fails_poisons_the_writer(run: Path) -> None:
    """A limit on the file's size: the write comes up short. What was accepted is kept, and the rest is cut."""
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    said = finished(limit + FILL, run)
    assert_poisoned(said, run)
    accepted = len(said.splitlines()) - 3
    assert accepted > 50
    sealed = seal_run(run)
    assert [(0, accepted)] == [(entry.first_seq, entry.last_seq) for entry in sealed.entries]
    assert [f"journal/{RANK0}/{0:012}.wal"] == [line.split(":")[0] for line in sealed.torn]


def test_a_full_disk_poisons_the_writer(small_disk: Path) -> None:
    """A real one. Once there is room the record is sealed whole."""
    filler = small_disk / "filler"
    run = log.create_run(small_disk, RUN_ID)
    filler.write_bytes(bytes(930_000))
    said = finished(FILL, run)
    assert "No space left on device" in said or "came up short" in said
    assert_poisoned(said, run)
    filler.unlink()
    (entry,) = seal_run(run).entries
    assert len(said.splitlines()) - 3 == entry.last_seq


def test_a_stream_that_cannot_begin_says_what_to_do(small_disk: Path) -> None:
    """The disk is full before the first byte."""
    run = log.create_run(small_disk, RUN_ID)
    fill(small_disk / "filler")
    with pytest.raises(WriterFailed, match=f"stream {RANK0}: cannot be opened: .*free the disk"):
        log.open_writer(run, opened())


def test_a_rotation_that_fails_poisons_the_writer(small_disk: Path) -> None:
    """There is no room for the next journal; the one before is kept, and the lock is let go on closing."""
    run = log.create_run(small_disk, RUN_ID)
    writer = log.open_writer(run, opened())
    writer.emit(numbered(1))
    fill(small_disk / "filler")
    with pytest.raises(WriterFailed, match="rotation failed: "):
        writer.rotate()
    with pytest.raises(WriterFailed, match="rotation failed: "):
        writer.emit(numbered(2))
    writer.close()
    log.refuse_if_live(run)
    assert [(RANK0, 0, opened()), (RANK0, 1, numbered(1))] == recorded(run)


def test_an_on_disk_frame_is_length_crc_body(run: Path) -> None:
    """The journal is the header, then the frames, and nothing else."""
    with log.open_writer(run, opened()) as writer:
        writer.emit(numbered(1))
    path = run / "journal" / RANK0 / f"{0:012}.wal"
    data = path.read_bytes()
    header, offset = frame.read_header(data, path)
    bodies = []
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 4], "little")
        bodies.append(data[offset + 8 : offset + 8 + length])
        offset += 8 + length
    assert (len(data), 2) == (offset, len(bodies))
    assert (
        header.run_id, header.stream, header.first_seq, header.format_version, header.events_version,
    ) == (RUN_ID, RANK0, 0, 1, 1)  # fmt: skip
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_rotating_an_empty_journal_changes_nothing(run: Path) -> None:
    """There is nothing in it to leave to the sealer; the writer goes on in it."""
    with log.open_writer(run, opened()) as writer:
        for _ in range(3):
            writer.rotate()
        writer.emit(numbered(1))
    names = sorted(path.name for path in (run / "journal" / RANK0).iterdir())
    assert names == [f"{0:012}.wal", f"{1:012}.wal"]
    assert recorded(run) == [(RANK0, 0, opened()), (RANK0, 1, numbered(1))]


def test_a_stream_is_opened_by_one_identity(run: Path) -> None:
    """Role, attempt and rank stand in every sealed row: a second opening cannot say others."""
    with log.open_writer(run, opened()) as writer:
        with pytest.raises(EventRefused, match=r"opened as \('train', 1, 0\), and now as \('train', 2, 0\)"):
            writer.emit(opened(attempt=2))
        writer.emit(opened())
    assert recorded(run) == [(RANK0, 0, opened()), (RANK0, 1, opened())]


def test_a_stream_that_could_not_begin_can_be_begun_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk was full; nothing of the first try is in the way of the second."""

    def refuse(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(WriterFailed, match="cannot be opened: No space left on device; free the disk"):
            log.open_writer(run, opened(), on_failure="detach")
    log.open_writer(run, opened()).close()
    assert recorded(run) == [(RANK0, 0, opened())]
