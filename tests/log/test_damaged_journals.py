"""Journals that are torn, damaged or foreign: what is sealed of them, and what is refused."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from psion_ledger import log
from psion_ledger.errors import NewerFormat, Unreadable
from psion_ledger.log import frame
from psion_ledger.log import journal as journals
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from tests.ledgers import RANK0, RUN_ID, opened
from tests.log.streams import JOURNAL, contents, frames, links_of, numbered, read_entries, written
from tests.log.vocabulary import EXAMPLES


def test_a_torn_tail_is_cut_at_the_last_whole_frame(tmp_path: Path) -> None:
    """For every length that the last frame can be cut to: the frames before it are sealed, and the cut is reported."""
    run = log.create_run(tmp_path / "whole", RUN_ID)
    with log.open_writer(run, opened()) as writer:
        writer.emit(numbered(1))
        whole = (run / JOURNAL).stat().st_size
        writer.emit(EXAMPLES["run_finished"])
    data = (run / JOURNAL).read_bytes()
    for cut in range(whole + 1, len(data)):
        torn = tmp_path / "torn" / RUN_ID
        shutil.copytree(run, torn)
        (torn / JOURNAL).write_bytes(data[:cut])
        (tail,) = read(torn).tails
        assert [f.seq for f in frames(tail)] == [0, 1]
        sealed = seal_run(torn)
        reason = "cut inside a frame's length" if cut < whole + 8 else "cut inside a frame"
        damage = frame.Damage(offset=whole, seq=2, what=reason, durable_through=-1, tampered=False)
        assert ([f"{JOURNAL}: cut at byte {whole} of {cut}: {reason}"], damage) == (sealed.torn, tail.damage)
        assert [(entry.first_seq, entry.last_seq) for entry in sealed.entries] == [(0, 1)]
        shutil.rmtree(torn)


@pytest.mark.parametrize("place", [0, 4, 8, 40, -1])
def test_a_flipped_byte_in_the_last_frame_is_a_torn_tail(tmp_path: Path, place: int) -> None:
    """In its length, its crc or its body: it is not an event, and what stands before it is."""
    run = written(tmp_path)
    data = bytearray((run / JOURNAL).read_bytes())
    whole = len(data) - len(frame.enveloped(frame.encode((3, 10**18, bytes(32), 0, numbered(3)))))
    data[whole + place if place >= 0 else place] ^= 1
    (run / JOURNAL).write_bytes(data)
    sealed = seal_run(run)
    assert [(entry.first_seq, entry.last_seq) for entry in sealed.entries] == [(0, 2)]
    assert [f"{JOURNAL}: cut at byte {whole} of {len(data)}"] == [":".join(t.split(":")[:2]) for t in sealed.torn]


@pytest.mark.parametrize("foreign", ["run", "stream"])
def test_a_journal_of_another_run_or_stream_is_refused(tmp_path: Path, foreign: str) -> None:
    """A run of the same name has another nonce. Nothing is sealed and nothing is deleted."""
    run = written(tmp_path / "a")
    if foreign == "run":
        other = written(tmp_path / "b")
        shutil.copy(other / JOURNAL, run / JOURNAL)
        where = JOURNAL
    else:
        where = JOURNAL.replace("r00000", "r00001")
        (run / where).parent.mkdir()
        shutil.move(run / JOURNAL, run / where)
    with pytest.raises(Unreadable, match=f"{where}: it belongs to stream {RANK0} of run {RUN_ID}; move it away"):
        seal_run(run)
    assert (read_entries(run), (run / where).exists()) == ([], True)


def test_a_journal_that_does_not_continue_what_is_sealed_is_refused(tmp_path: Path) -> None:
    """The middle journal of three is lost after the first was sealed: the third is not sealed behind it."""
    run = log.create_run(tmp_path, RUN_ID)
    with log.open_writer(run, opened()) as writer:
        writer.rotate()
        seal_run(run)
        for step in (1, 2):
            writer.emit(numbered(step))
            writer.rotate()
        writer.emit(numbered(3))
    (run / f"journal/{RANK0}/{1:012}.wal").unlink()
    with pytest.raises(Unreadable, match=f"{2:012}.wal: does not continue {RANK0} as sealed through seq 0"):
        seal_run(run)
    assert read_entries(run) == ["0.json"]


def test_a_journal_that_lacks_what_its_successor_continues_is_refused(tmp_path: Path) -> None:
    """It was synced before the next one had a name, so that no crash shortened it: nothing is sealed or deleted."""
    run = log.create_run(tmp_path, RUN_ID)
    with log.open_writer(run, opened()) as writer:
        whole = (run / JOURNAL).stat().st_size
        writer.emit(numbered(1))
        writer.rotate()
        writer.emit(numbered(2))
    os.truncate(run / JOURNAL, whole)
    said = f"{JOURNAL}: the journal ends at seq 1, byte {whole}: changed after it was written; nothing of it"
    with pytest.raises(Unreadable, match=said):
        seal_run(run)
    assert (read_entries(run), len(list((run / JOURNAL).parent.iterdir()))) == ([], 2)


def test_a_stream_that_does_not_begin_is_refused(tmp_path: Path) -> None:
    """The first journal is lost and nothing of the stream is sealed."""
    run = log.create_run(tmp_path, RUN_ID)
    with log.open_writer(run, opened()) as writer:
        writer.rotate()
        writer.emit(numbered(1))
    (run / JOURNAL).unlink()
    with pytest.raises(Unreadable, match=f"stream {RANK0}, seq 1: a stream begins with stream_opened"):
        seal_run(run)
    assert read_entries(run) == []


@pytest.mark.parametrize("changes", [{"format_version": 2}, {"events_version": 2}])
def test_a_newer_journal_is_no_damage(tmp_path: Path, changes: dict[str, int]) -> None:
    """Reading and sealing ask for an upgrade; the journal stays."""
    run = written(tmp_path)
    data = (run / JOURNAL).read_bytes()
    header, offset = frame.read_header(data, JOURNAL)
    newer = frame.encode_header(msgspec.structs.replace(header, **changes))
    (run / JOURNAL).write_bytes(newer + data[offset:])
    for attempt in (read, seal_run):
        with pytest.raises(NewerFormat, match=f"{JOURNAL}: .*upgrade"):
            attempt(run)
    assert (run / JOURNAL).exists()


def test_a_frame_whose_text_is_not_utf8_is_damage(tmp_path: Path) -> None:
    """Its crc32 is right, as a forger would have it: what stands before it is kept."""
    run = written(tmp_path)
    link = links_of(run / JOURNAL)[-1]
    body = frame.encode((4, 10**18, link, 3, numbered(4))).replace(b"train", b"tra\xff\xfe")
    with (run / JOURNAL).open("ab") as file:
        file.write(frame.enveloped(body))
    (tail,) = read(run).tails
    assert [f.seq for f in frames(tail)] == [0, 1, 2, 3]
    assert tail.damage is not None
    assert (tail.damage.seq, tail.damage.tampered, tail.damage.what[:10]) == (4, True, "no event: ")


@pytest.mark.parametrize(
    "change", ["another link", "another seq", "a frame changed", "a frame left out", "two swapped"]
)
def test_a_chain_that_does_not_hold_ends_what_is_read(tmp_path: Path, change: str) -> None:
    """Lengths and crc32 are right, as a forger would have them: the links show it, at that frame or the next."""
    run = written(tmp_path)
    data = (run / JOURNAL).read_bytes()
    _, offset = frame.read_header(data, JOURNAL)
    head, bodies = data[:offset], []
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 4], "little")
        bodies.append(data[offset + 8 : offset + 8 + length])
        offset += 8 + length
    seq, at, previous, durable, event = msgspec.msgpack.decode(bodies[2])
    kept = {"another link": 2, "another seq": 2, "a frame changed": 3, "a frame left out": 2, "two swapped": 2}[change]
    forged = {
        "another link": [*bodies[:2], frame.encode((seq, at, bytes(32), durable, event)), bodies[3]],
        "another seq": [*bodies[:2], frame.encode((seq + 1, at, previous, durable, event)), bodies[3]],
        "a frame changed": [*bodies[:2], frame.encode((seq, at + 1, previous, durable, event)), bodies[3]],
        "a frame left out": [*bodies[:2], bodies[3]],
        "two swapped": [*bodies[:2], bodies[3], bodies[2]],
    }[change]
    (run / JOURNAL).write_bytes(head + b"".join(map(frame.enveloped, forged)))
    (tail,) = read(run).tails
    assert [f.seq for f in frames(tail)] == list(range(kept))
    assert tail.damage is not None
    assert (kept, True) == (tail.damage.seq, tail.damage.tampered)
    assert tail.damage.what.endswith("does not follow: the chain is broken")


@pytest.mark.parametrize("damage", ["flipped", "zeros", "cut out"])
def test_damage_below_a_surviving_watermark_is_no_torn_tail(tmp_path: Path, damage: str) -> None:
    """Seq 1 was synced, as the frame of seq 3 says: nothing is sealed, nothing is deleted, the journal is named."""
    run = log.create_run(tmp_path, RUN_ID)
    with log.open_writer(run, opened()) as writer:
        first = (run / JOURNAL).stat().st_size
        writer.emit(numbered(1))
        end = (run / JOURNAL).stat().st_size
        writer.sync()
        for step in (2, 3):
            writer.emit(numbered(step))
    data = (run / JOURNAL).read_bytes()
    changed = {"flipped": bytes([data[first + 20] ^ 1]), "zeros": bytes(end - first - 20), "cut out": b""}[damage]
    behind = first + 21 if damage == "flipped" else end
    (run / JOURNAL).write_bytes(data[: first + 20] + changed + data[behind:])
    said = f"at seq 1, byte {first}: changed after it was written; nothing of it is sealed: "
    before = contents(run)
    with pytest.raises(Unreadable, match=said):
        seal_run(run)
    assert before == contents(run)
    (tail,) = read(run).tails
    assert tail.damage is not None
    assert (tail.damage.durable_through, tail.damage.tampered) == (1, True)


def test_damage_above_every_watermark_is_a_torn_tail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages reach the disk in any order: whole frames may stand behind a hole that was never synced."""
    monkeypatch.setattr(journals, "SYNC_EVERY_S", 3600)
    run = log.create_run(tmp_path, RUN_ID)
    with log.open_writer(run, opened()) as writer:
        first = (run / JOURNAL).stat().st_size
        for step in (1, 2, 3):
            writer.emit(numbered(step))
    data = (run / JOURNAL).read_bytes()
    (run / JOURNAL).write_bytes(data[:first] + bytes(20) + data[first + 20 :])
    sealed = seal_run(run)
    assert [(entry.first_seq, entry.last_seq) for entry in sealed.entries] == [(0, 0)]
    assert [f"{JOURNAL}: cut at byte {first} of {len(data)}: zeros in a frame's place"] == sealed.torn
