"""Compaction: fewer files, the same events, every old border kept; pruning deletes what nothing needs any more."""

import io
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from psion_ledger import log, open_run
from psion_ledger.errors import Unreadable
from psion_ledger.fsck import fsck
from psion_ledger.log import canonical, manifest, reread
from psion_ledger.log.compact import compact_run, prune_run
from psion_ledger.log.segment import parquet_bytes, seal_run
from psion_ledger.reading import read
from tests.ledgers import RANK0, RUN_ID, opened
from tests.log.streams import claimed_run, contents, numbered

RANK1 = "t0001.r00001"
EVERYTHING = "select stream, seq, step, sequence_ids, hex(token_sha256) from batch_replayed order by stream, seq"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Rank 0 was sealed three times, rank 1 once; seven batches in all."""
    run = claimed_run(tmp_path)
    with log.open_writer(run, opened()) as writer, log.open_writer(run, opened(rank=1)) as other:
        other.emit(numbered(10))
        for step in range(1, 7):
            writer.emit(numbered(step))
            if step % 2 == 0:
                writer.rotate()
                seal_run(run)
    seal_run(run)
    return run


def rows(run: Path, as_of: int | None = None) -> list[tuple[object, ...]]:
    with open_run(run.parent, RUN_ID, as_of) as opened_run:
        found: list[tuple[object, ...]] = opened_run.sql(EVERYTHING).fetchall()
        assert found == opened_run.con.sql(EVERYTHING).fetchall()
    return found


def test_a_compacted_stream_has_the_same_events_in_fewer_files(run: Path) -> None:
    """Natively and in the sandbox; a stream of one segment is left as it is; nothing is deleted."""
    before, stood = rows(run), contents(run)
    (entry,) = compact_run(run)
    assert before == rows(run)
    assert stood == {name: data for name, data in contents(run).items() if name in stood}
    replaced = [e for e in read(run).manifest.entries[:4] if e.stream == RANK0]
    assert (entry.type, entry.number, entry.stream, entry.first_seq, entry.last_seq) == ("compact", 4, RANK0, 0, 6)
    assert [e.number for e in replaced] == entry.replaces
    assert [(e.number, e.last_seq, e.link_after) for e in replaced] == [
        (border.entry, border.last_seq, border.link_after) for border in entry.borders
    ]
    assert (replaced[0].link_before, replaced[-1].link_after) == (entry.link_before, entry.link_after)
    assert sorted(file.kind for file in entry.files) == ["batch_replayed", "stream_opened"]


def test_a_compacted_entry_gives_every_old_root(run: Path) -> None:
    """Its columns are encoded again, and each range in them has the root that was sealed."""
    (entry,) = compact_run(run)
    assert reread.fault(run, read(run).manifest, entry) is None


@pytest.mark.slow
def test_pruning_deletes_what_was_replaced_and_no_more(run: Path) -> None:
    """Before and after, the record is the same, now and as of every entry before."""
    known = [rows(run, entries) for entries in range(1, 5)]
    now = rows(run)
    replaced = {file.path for e in read(run).manifest.entries if e.stream == RANK0 for file in e.files}
    assert prune_run(run) == []
    compact_run(run)
    assert (sorted(replaced), []) == (prune_run(run), prune_run(run))
    assert [path for path in replaced if (run / path).exists()] == []
    assert (known, now) == ([rows(run, entries) for entries in range(1, 5)], rows(run))
    assert fsck(run.parent, RUN_ID, deep=True).findings == []


def test_compacting_twice_changes_nothing(run: Path) -> None:
    """There is nothing left to put together; what is sealed later is put together with it."""
    compact_run(run)
    before = contents(run)
    assert (compact_run(run), contents(run)) == ([], before)
    with log.open_writer(run, opened(attempt=2)) as writer:
        writer.rotate()
        writer.emit(numbered(7))
    seal_run(run)
    (entry,) = compact_run(run)
    assert (entry.stream, entry.replaces) == ("t0002.r00000", [5, 6])


def test_compacting_a_compacted_range_keeps_the_first_borders(tmp_path: Path) -> None:
    """A stream is sealed twice, compacted, sealed again, compacted again: three borders, all of seals."""
    run = claimed_run(tmp_path)
    with log.open_writer(run, opened()) as writer:
        writer.rotate()
        seal_run(run)
        for step in (1, 2):
            writer.emit(numbered(step))
            writer.rotate()
            seal_run(run)
            compact_run(run)
    entry = read(run).manifest.entries[-1]
    assert (entry.replaces, [border.entry for border in entry.borders]) == ([2, 3], [0, 1, 3])
    prune_run(run)
    assert [row[:3] for row in rows(run)] == [(RANK0, 1, 1), (RANK0, 2, 2)]
    assert fsck(tmp_path, RUN_ID, deep=True).findings == []


def test_a_range_that_does_not_hold_is_not_compacted(run: Path) -> None:
    """A flipped bit must not be handed on under a new digest: nothing is written."""
    file = next(f for f in read(run).manifest.entries[0].files if f.kind == "batch_replayed")
    data = bytearray((run / file.path).read_bytes())
    data[len(data) // 2] ^= 1
    (run / file.path).write_bytes(data)
    with pytest.raises(Unreadable, match="is damaged: expected sha256"):
        compact_run(run)
    assert len(read(run).manifest.entries) == 4


def test_nothing_is_pruned_while_its_replacement_is_damaged(run: Path) -> None:
    """The old files are then the only whole ones."""
    (entry,) = compact_run(run)
    (run / entry.files[0].path).unlink()
    before = contents(run)
    with pytest.raises(Unreadable, match="missing, or not the bytes that were sealed; restore it from a copy"):
        prune_run(run)
    assert before == contents(run)


def test_a_compact_entry_that_replaces_what_it_may_not_is_a_break(run: Path) -> None:
    """Another stream's entry, one that is replaced already, a hole, fewer rows: each is refused by every reader."""
    compact_run(run)
    claim_sha256 = log.read_claim(run)[1]
    known = manifest.read(run, claim_sha256)
    good = known.entries[4]
    other = next(entry.number for entry in known.entries if entry.stream == RANK1)
    refused: dict[str, dict[str, Any]] = {
        "another stream's": {"replaces": [*good.replaces[:-1], other]},
        "replaced already": {"replaces": good.replaces, "number": 5},
        "a hole": {"replaces": [good.replaces[0], good.replaces[2]]},
        "fewer rows": {"files": good.files[:1]},
        "nothing": {"replaces": []},
    }
    for name, changes in refused.items():
        path = manifest.path_of(run, changes.get("number", 4))
        before = path.read_bytes() if path.exists() else None

        previous = known.last_sha256 if "number" in changes else good.previous_sha256
        path.write_bytes(canonical.encode(msgspec.structs.replace(good, previous_sha256=previous, **changes))[0])
        broken = manifest.read(run, claim_sha256).broken
        assert broken is not None, name
        assert broken.number == changes.get("number", 4)
        path.unlink() if before is None else path.write_bytes(before)


def test_compacted_bytes_follow_from_the_events_alone(run: Path) -> None:
    """Two who compact at once write the same files, so that either may be first."""
    (entry,) = compact_run(run)
    for file in entry.files:
        table = pq.read_table(io.BytesIO((run / file.path).read_bytes()))
        assert (run / file.path).read_bytes() == parquet_bytes(table).to_pybytes()
