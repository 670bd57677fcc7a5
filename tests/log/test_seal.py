"""Sealing: exactly what was emitted, once, whatever was interrupted and whoever else was at it."""

import contextlib
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from psion_ledger import log
from psion_ledger.errors import CannotDecide, Unreadable, UsageError
from psion_ledger.ledger import Run
from psion_ledger.log import frame, seal_in_child
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from tests.ledgers import RANK0, RUN_ID, opened
from tests.log.processes import go_at_once, live_writer, start
from tests.log.streams import (
    JOURNAL,
    claimed_run,
    contents,
    entry_of,
    frames,
    links_of,
    numbered,
    recorded,
    three_entries,
    written,
)
from tests.log.vocabulary import EXAMPLES, bits


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
    run = three_entries(tmp_path)
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
    go_at_once(processes)
    ends = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    assert ends == [("", 0)] * 3
    record = read(run)
    assert ranges == sorted((e.stream, e.first_seq, e.last_seq) for e in record.manifest.entries)
    assert (record.manifest.broken, record.tails, all(f.holds for f in record.files)) == (None, [], True)
    named = sorted(file.path for file in record.files)
    assert named == sorted(p.relative_to(run).as_posix() for p in (run / "segments").rglob("*.parquet"))
    assert list((run / "tmp").iterdir()) == []


def test_a_journal_without_events_goes_away(tmp_path: Path) -> None:
    """A writer that rotated and wrote no more leaves a header; nothing is sealed for it."""
    run = log.create_run(tmp_path, RUN_ID)
    with log.open_writer(run, opened()) as writer:
        writer.rotate()
    assert [(entry.first_seq, entry.last_seq) for entry in seal_run(run).entries] == [(0, 0)]
    assert list((run / "journal" / RANK0).iterdir()) == []


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
