"""Sealing: exactly what was emitted, once, whatever was interrupted and whoever else was at it."""

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from psion_ledger import log
from psion_ledger.errors import CannotDecide, NewerFormat, Unreadable, UsageError
from psion_ledger.ledger import Run
from psion_ledger.log import claim, frame, seal_in_child
from psion_ledger.log import journal as journals
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from tests.ledgers import RANK0, RUN_ID, opened
from tests.log.processes import live_writer, start
from tests.log.streams import claimed_run, frames, numbered, recorded, written
from tests.log.vocabulary import EXAMPLES, bits

JOURNAL = f"journal/{RANK0}/{0:012}.wal"


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, by its recursive definition, over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def links_of(journal: Path) -> list[bytes]:
    """The link of every frame in a journal, taken apart by hand."""
    data = journal.read_bytes()
    offset = 16 + int.from_bytes(data[8:12], "little")
    links = []
    while offset < len(data):
        end = offset + 8 + int.from_bytes(data[offset : offset + 4], "little")
        links.append(hashlib.sha256(b"\0" + data[offset + 8 : end]).digest())
        offset = end
    return links


def contents(run: Path) -> dict[str, bytes]:
    return {p.relative_to(run).as_posix(): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}


def entry_of(run: Path, number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / f"manifest/{number}.json").read_text())
    return found


def test_sealed_segments_hold_exactly_what_was_emitted(tmp_path: Path) -> None:
    """Every kind, twice, over two journals: the same events with the same seqs, floats by their bits."""
    run = log.create_run(tmp_path, RUN_ID)
    emitted = [event for kind, event in EXAMPLES.items() if kind != "stream_opened"]
    with log.open_writer(run, opened(rank=3), stream=RANK0) as writer:
        for event in emitted:
            writer.emit(event)
        writer.rotate()
        for event in reversed(emitted):
            writer.emit(event)
    before = [(f.seq, f.recorded_at_ns, f.event) for tail in read(run).tails for f in frames(tail)]
    seal_run(run)
    record = read(run)
    rows: dict[int, tuple[str, dict[str, Any]]] = {}
    for file in record.files:
        assert file.holds
        for row in pq.read_table(run / file.path).to_pylist():
            rows[row["seq"]] = (file.kind, row)
    assert list(range(1 + 2 * len(emitted))) == sorted(rows)
    assert record.tails == []
    for seq, recorded_at_ns, event in before:
        kind, row = rows[seq]
        identity = (row["stream"], row["role"], row["attempt"], row["rank"], row["recorded_at_ns"])
        assert (RANK0, "train", 1, 3, recorded_at_ns) == identity
        assert str(event.__struct_config__.tag) == kind
        assert bits(event) == {name: bits(row[name]) for name in event.__struct_fields__}


def test_an_entry_says_what_was_sealed(tmp_path: Path) -> None:
    """Stream, range, links, root and files, each recomputed from the journal's and the files' own bytes."""
    run = written(tmp_path)
    claimed = json.loads((run / "CLAIM").read_text())
    links = links_of(run / JOURNAL)
    seal_run(run)
    files = []
    for kind, rows, seqs in (("batch_replayed", 3, (0, 3)), ("stream_opened", 1, (0, 3))):
        (path,) = (run / "segments" / kind).iterdir()
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        name = f"segments/{kind}/{RANK0}-{seqs[0]:012}-{seqs[1]:012}-{digest[:16]}.parquet"
        assert name == path.relative_to(run).as_posix()
        files.append({"kind": kind, "path": name, "rows": rows, "bytes": len(data), "sha256": digest})
    before = frame.first_link(RUN_ID, RANK0, bytes.fromhex(claimed["nonce"]))
    expected = {
        "type": "seal", "number": 0, "previous_sha256": hashlib.sha256((run / "CLAIM").read_bytes()).hexdigest(),
        "events_version": 1, "stream": RANK0, "role": "train", "attempt": 1, "rank": 0, "first_seq": 0, "last_seq": 3,
        "link_before": before.hex(), "link_after": links[-1].hex(), "events_root": naive_root(links).hex(),
        "files": files,
    }  # fmt: skip
    body = json.dumps(expected, separators=(",", ":"))
    own = hashlib.sha256(body.encode()).hexdigest()
    assert body[:-1] + f',"sha256":"{own}"}}\n' == (run / "manifest/0.json").read_text()


def test_entries_continue_each_other(tmp_path: Path) -> None:
    """Each names the sha256 of the one before, and begins with the link where its stream had ended."""
    run = log.create_run(tmp_path, RUN_ID)
    with log.open_writer(run, opened()) as writer:
        writer.rotate()
        writer.emit(numbered(1))
        writer.rotate()
        writer.emit(numbered(2))
    links = [links_of(path)[-1].hex() for path in sorted((run / "journal" / RANK0).iterdir())]
    assert [entry.number for entry in seal_run(run).entries] == [0, 1, 2]
    entries = [entry_of(run, number) for number in range(3)]
    assert [(e["first_seq"], e["last_seq"]) for e in entries] == [(0, 0), (1, 1), (2, 2)]
    assert links == [e["link_after"] for e in entries]
    assert links[:2] == [e["link_before"] for e in entries[1:]]
    assert [e["sha256"] for e in entries[:2]] == [e["previous_sha256"] for e in entries[1:]]


def test_the_manifests_head_is_the_tree_over_its_entries(tmp_path: Path) -> None:
    """RFC 6962 over the exact bytes of each entry's file."""
    run = log.create_run(tmp_path, RUN_ID)
    with log.open_writer(run, opened()) as writer:
        for step in (1, 2):
            writer.rotate()
            writer.emit(numbered(step))
    seal_run(run)
    leaves = [hashlib.sha256(b"\0" + (run / f"manifest/{n}.json").read_bytes()).digest() for n in range(3)]
    assert [naive_root(leaves[:n]) for n in range(4)] == [read(run, as_of=n).manifest.head() for n in range(4)]


def test_sealing_twice_changes_nothing(tmp_path: Path) -> None:
    """Not a byte, not a name."""
    run = written(tmp_path)
    seal_run(run)
    before = contents(run)
    again = seal_run(run)
    assert ([], [], before) == (again.entries, again.torn, contents(run))


def test_two_copies_seal_to_the_same_bytes(tmp_path: Path) -> None:
    """Parquet, entry and names follow from the journal alone."""
    run = written(tmp_path / "a")
    shutil.copytree(run, tmp_path / "b" / RUN_ID)
    seal_run(run)
    seal_run(tmp_path / "b" / RUN_ID)
    assert contents(run) == contents(tmp_path / "b" / RUN_ID)


@pytest.mark.parametrize("kept", [["segments/batch_replayed"], ["segments/batch_replayed", "segments/stream_opened"]])
def test_a_crash_before_the_entry_is_recovered(tmp_path: Path, kept: list[str]) -> None:
    """Some or all files are there, no entry yet: sealing again ends where an undisturbed one does."""
    run = written(tmp_path / "a")
    crashed = tmp_path / "b" / RUN_ID
    shutil.copytree(run, crashed)
    seal_run(run)
    for folder in kept:
        shutil.copytree(run / folder, crashed / folder)
    assert [entry.number for entry in seal_run(crashed).entries] == [0]
    assert contents(run) == contents(crashed)


def test_a_crash_before_the_journal_is_dropped_is_recovered(tmp_path: Path) -> None:
    """The entry is there and the journal still is: it counts once, and goes away with the next sealing."""
    run = written(tmp_path / "a")
    journal = (run / JOURNAL).read_bytes()
    seal_run(run)
    before = contents(run)
    (run / JOURNAL).write_bytes(journal)
    assert (recorded(run), [entry.number for entry in read(run).manifest.entries]) == ([], [0])
    assert ([], before) == (seal_run(run).entries, contents(run))


def test_a_crash_while_a_file_is_written_leaves_nothing_that_counts(tmp_path: Path) -> None:
    """Half a file in tmp/ has no name that anybody reads."""
    run = written(tmp_path)
    (run / "tmp" / "0123").write_bytes(b"PAR1 and no more")
    seal_run(run)
    assert ([file.holds for file in read(run).files], read(run).manifest.broken) == ([True, True], None)


def test_another_file_under_a_segments_name_is_not_taken_for_it(tmp_path: Path) -> None:
    """Nothing is published, the journal stays, and the file is named."""
    run = written(tmp_path / "a")
    other = tmp_path / "b" / RUN_ID
    shutil.copytree(run, other)
    seal_run(run)
    (path,) = (run / "segments" / "batch_replayed").iterdir()
    occupied = other / "segments" / "batch_replayed" / path.name
    occupied.parent.mkdir(parents=True)
    occupied.write_bytes(b"other bytes")
    with pytest.raises(Unreadable, match=f"{path.name}: stands where a segment belongs"):
        seal_run(other)
    assert (read(other).manifest.entries, (other / JOURNAL).exists()) == ([], True)


def test_sealers_that_race_give_one_entry_a_range(tmp_path: Path) -> None:
    """In three processes of their own, started by one signal; the result is that of one sealer alone."""
    run = log.create_run(tmp_path / "a", RUN_ID)
    for rank in range(3):
        with log.open_writer(run, opened(rank=rank)) as writer:
            for step in range(1, 4):
                writer.emit(numbered(step))
                writer.rotate()
    ranges = [(f"t0001.r{rank:05}", *r) for rank in range(3) for r in ((0, 1), (2, 2), (3, 3))]
    body = """
from psion_ledger.log.segment import seal_run
print("ready", flush=True)
sys.stdin.readline()
seal_run(run)
"""
    processes = [start(body, run) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    assert ends == [("", 0)] * 3
    record = read(run)
    assert ranges == sorted((e.stream, e.first_seq, e.last_seq) for e in record.manifest.entries)
    assert (record.manifest.broken, record.tails, all(f.holds for f in record.files)) == (None, [], True)
    named = sorted(file.path for file in record.files)
    assert named == sorted(p.relative_to(run).as_posix() for p in (run / "segments").rglob("*.parquet"))
    assert list((run / "tmp").iterdir()) == []


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


def test_a_journal_without_events_goes_away(tmp_path: Path) -> None:
    """A writer that rotated and wrote no more leaves a header; nothing is sealed for it."""
    run = log.create_run(tmp_path, RUN_ID)
    with log.open_writer(run, opened()) as writer:
        writer.rotate()
    assert [(entry.first_seq, entry.last_seq) for entry in seal_run(run).entries] == [(0, 0)]
    assert list((run / "journal" / RANK0).iterdir()) == []


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


def read_entries(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "manifest").iterdir())


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


def test_a_live_journal_is_left_alone(tmp_path: Path) -> None:
    """Another process has it: what it rotated away from is sealed, what it writes is read and stays."""
    run = log.create_run(tmp_path, RUN_ID)
    with live_writer(run, rotated=True):
        sealed = seal_run(run)
        assert [(entry.first_seq, entry.last_seq) for entry in sealed.entries] == [(0, 0)]
        assert [f"{1:012}.wal"] == [path.name for path in (run / "journal" / RANK0).iterdir()]
    seal_run(run)
    assert list((run / "journal" / RANK0).iterdir()) == []


def test_sealing_in_a_child_seals(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A process of its own does the same, and what it cut is said on standard error."""
    run = written(tmp_path)
    with (run / JOURNAL).open("ab") as file:
        file.write(b"\x07")
    seal_in_child(run)
    assert [(entry.first_seq, entry.last_seq) for entry in read(run).manifest.entries] == [(0, 3)]
    assert capfd.readouterr().err.startswith(f"torn tail: {JOURNAL}: cut at byte ")


def test_a_child_that_cannot_seal_says_why(tmp_path: Path) -> None:
    """In one line, as an error of ours."""
    run = written(tmp_path)
    (run / JOURNAL).write_bytes(b"not a journal")
    with pytest.raises(CannotDecide, match=f"run {RUN_ID}: sealing failed: .*not a journal") as failed:
        seal_in_child(run)
    assert "\n" not in str(failed.value)


def three_entries(ledger: Path) -> Path:
    run = log.create_run(ledger, RUN_ID)
    with log.open_writer(run, opened()) as writer:
        for step in (1, 2):
            writer.rotate()
            writer.emit(numbered(step))
    seal_run(run)
    return run


def test_each_flipped_byte_of_an_entry_is_found(tmp_path: Path) -> None:
    """Three bits of every byte of the middle entry: the chain breaks there, and what stands before it is kept."""
    run = three_entries(tmp_path)
    path = run / "manifest/1.json"
    data = path.read_bytes()
    _, claim_sha256 = claim.read_claim(run)
    for place in range(len(data)):
        for bit in (0, 5, 7):
            path.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
            found = manifest_of(run, claim_sha256)
            assert found == (1, 1, "manifest/1.json"), (place, bit)
    path.write_bytes(data)
    assert manifest_of(run, claim_sha256) == (3, None, None)


def manifest_of(run: Path, claim_sha256: bytes) -> tuple[int, int | None, str | None]:
    from psion_ledger.log import manifest

    known = manifest.read(run, claim_sha256)
    broken = known.broken
    return len(known.entries), broken.number if broken else None, broken.path if broken else None


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_truncated_entry_is_a_break(tmp_path: Path, cut: int) -> None:
    """An empty file, too."""
    run = three_entries(tmp_path)
    path = run / "manifest/2.json"
    path.write_bytes(path.read_bytes()[:cut])
    broken = read(run).manifest.broken
    assert broken is not None
    assert (broken.number, broken.path) == (2, "manifest/2.json")


def test_an_entry_forged_with_its_own_digest_breaks_the_next(tmp_path: Path) -> None:
    """Whoever knows the algorithm can change an entry, and not what the next one says of it."""
    run = three_entries(tmp_path)
    forge(run, 1, rank=7)
    broken = read(run).manifest.broken
    assert broken is not None
    assert (broken.number, broken.path) == (2, "manifest/2.json")
    assert broken.expected == f"follows {entry_of(run, 1)['sha256']}"


def forge(run: Path, number: int, **changes: Any) -> None:
    """Change an entry and give it the digest that goes with it."""
    fields = entry_of(run, number) | changes
    del fields["sha256"]
    body = json.dumps(fields, separators=(",", ":"))
    own = hashlib.sha256(body.encode()).hexdigest()
    (run / f"manifest/{number}.json").write_text(body[:-1] + f',"sha256":"{own}"}}\n')


def test_another_spelling_of_an_entry_is_a_break(tmp_path: Path) -> None:
    """Equal values with a space more: an entry's bytes are canonical."""
    run = three_entries(tmp_path)
    path = run / "manifest/1.json"
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number": 1'))
    broken = read(run).manifest.broken
    assert broken is not None
    assert (broken.number, broken.actual) == (1, "other bytes")


def test_a_missing_middle_entry_is_a_break(tmp_path: Path) -> None:
    """The entries behind it are not read as if nothing were missing."""
    run = three_entries(tmp_path)
    (run / "manifest/1.json").unlink()
    known = read(run).manifest
    assert known.broken is not None
    assert (len(known.entries), known.broken.number, known.broken.actual) == (1, 1, "missing, 2 is there")


def test_a_manifest_that_belongs_to_another_claim_is_a_break(tmp_path: Path) -> None:
    """Entry 0 names CLAIM."""
    run, other = three_entries(tmp_path / "a"), three_entries(tmp_path / "b")
    shutil.copy(other / "CLAIM", run / "CLAIM")
    broken = read(run).manifest.broken
    assert broken is not None
    assert (broken.number, broken.path) == (0, "manifest/0.json")


def test_nothing_is_sealed_behind_a_break(tmp_path: Path) -> None:
    """The journal stays where it is."""
    run = written(tmp_path)
    shutil.copytree(run / "journal", tmp_path / "journal")
    seal_run(run)
    shutil.rmtree(run / "journal")
    shutil.copytree(tmp_path / "journal", run / "journal")
    (run / "manifest/0.json").write_bytes(b"{}")
    with pytest.raises(Unreadable, match=r"manifest/0\.json is damaged"):
        seal_run(run)
    assert read_entries(run) == ["0.json"]
    assert (run / JOURNAL).exists()


@pytest.mark.parametrize("changes", [{}, {"type": "compact", "replaces": [0]}])
def test_a_newer_entry_is_no_damage(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Whether it can be decoded or not, its version asks for an upgrade."""
    run = three_entries(tmp_path)
    forge(run, 2, events_version=2, **changes)
    with pytest.raises(NewerFormat, match=r"manifest/2\.json: events version 2 is newer than 1: upgrade"):
        read(run)


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


def test_reading_as_of_more_than_there_is_is_unreadable(tmp_path: Path) -> None:
    """It says how many entries there are."""
    run = three_entries(tmp_path)
    with pytest.raises(Unreadable, match=f"run {RUN_ID}: as of 4 entries; the manifest holds 3"):
        read(run, as_of=4)
    assert len(read(run, as_of=2).manifest.entries) == 2


def test_a_changed_or_missing_segment_is_found(tmp_path: Path) -> None:
    """By its sha256, and named."""
    run = written(tmp_path)
    seal_run(run)
    batches, opening = read(run).files
    data = bytearray((run / batches.path).read_bytes())
    data[len(data) // 2] ^= 1
    (run / batches.path).write_bytes(data)
    (run / opening.path).unlink()
    found = [(file.path, file.holds, file.bytes_actual) for file in read(run).files]
    assert [(batches.path, False, batches.bytes_expected), (opening.path, False, None)] == found


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


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "../../precious.parquet"},
        {"path": "/dev/zero"},
        {"path": "segments/batch_replayed/*.parquet"},
        {"kind": "no_such_kind"},
        {"rows": 0},
        {"bytes": 2**63},
        {"sha256": "0" * 63},
        {"sha256": "0" * 64 + "\n"},
    ],
)
def test_an_entry_that_points_anywhere_else_is_a_break(tmp_path: Path, changes: dict[str, Any]) -> None:
    """A segment has one place, below its run's folder: no reader, compactor or pruner goes where a forger points."""
    run = three_entries(tmp_path)
    fields = json.loads((run / "manifest/0.json").read_text())
    fields["files"][0] |= changes
    forge(run, 0, files=fields["files"])
    assert manifest_of(run, log.read_claim(run)[1])[:2] == (0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": "../../evil"}, {"stream": "a/b"}, {"stream": "a\n"}, {"stream": "a\x1b[2J"}, {"stream": "x" * 128},
        {"first_seq": -1}, {"last_seq": 2**63}, {"first_seq": 9}, {"link_after": "zz"}, {"attempt": -1},
    ],
)  # fmt: skip
def test_an_entry_of_no_stream_or_range_is_a_break(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Whoever names a stream names files: the grammar has no slash, no two dots, nothing that a terminal obeys."""
    run = three_entries(tmp_path)
    forge(run, 0, **changes)
    assert manifest_of(run, log.read_claim(run)[1])[:2] == (0, 0)


@pytest.mark.parametrize("stream", ["", "../x", "a/b", "A", "a..b", "a\n", "1", "x" * 128])
def test_a_stream_of_another_grammar_is_not_opened(tmp_path: Path, stream: str) -> None:
    """Refused before a folder is made."""
    run = log.create_run(tmp_path, RUN_ID)
    with pytest.raises(UsageError, match="use 1 to 127 of a-z") if stream else contextlib.nullcontext():
        log.open_writer(run, opened(), stream=stream).close()
    assert [path.name for path in (run / "journal").iterdir()] == ([] if stream else [RANK0])


def test_what_a_writer_took_is_read_however_much_it_shrinks(tmp_path: Path) -> None:
    """Forty million equal letters become a few kilobytes, behind which no reader would look."""
    run = claimed_run(tmp_path)
    document = "x" * 40_000_000
    with log.open_writer(run, opened()) as writer:
        writer.emit(msgspec.structs.replace(EXAMPLES["contract_declared"], document=document))
    seal_run(run)
    with Run(read(run)) as opened_run:
        assert opened_run.first("select length(document), document = repeat('x', 40000000) from contract_declared") == (
            40_000_000,
            True,
        )
