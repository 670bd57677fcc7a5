"""The integrity laws that need more than the record's own digests: its columns encoded again, a head kept outside."""

import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psion_ledger.digest import merkle_root, sha256
from psion_ledger.log import manifest
from psion_ledger.log.segment import parquet_bytes
from psion_ledger.reading import read
from tests.laws import audited, findings_after
from tests.laws.copies import kept
from tests.laws.forging import entries, rewritten, step_file
from tests.ledgers import RANK0, RUN_ID


def with_rows(change: Callable[[pa.Table], pa.Table], kind: str = "step_completed") -> Callable[[Path], None]:
    """Change the rows of a kind in entry 0, and forge every digest over the file: only its events' links are left."""

    def damage(folder: Path) -> None:
        known = entries(folder)
        changed = []
        for file in known[0].files:
            if file.kind == kind:
                data = parquet_bytes(change(pq.read_table(io.BytesIO((folder / file.path).read_bytes()))))
                own = sha256(data).hex()
                path = manifest.segment_path(kind, known[0].stream, known[0].first_seq, known[0].last_seq, own)
                (folder / file.path).unlink()
                (folder / path).write_bytes(data)
                file = msgspec.structs.replace(file, path=path, bytes=len(data), sha256=own)
            changed.append(file)
        rewritten(folder, [msgspec.structs.replace(known[0], files=changed), *known[1:]])

    return damage


def replaced(table: pa.Table, name: str, row: int, value: object) -> pa.Table:
    column = table.column(name).to_pylist()
    column[row] = value
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), pa.array(column, table.schema.field(at).type))


@pytest.mark.parametrize(
    ("name", "value"),
    [("loss_nats", 1.0), ("recorded_at_ns", 1), ("durable_through", 0), ("trace_sha256", bytes(32)), ("pass_id", "x")],
)
def test_a_changed_value_whose_digests_were_forged_is_found(
    tmp_path: Path, good: Path, name: str, value: object
) -> None:
    """One value of one sealed event is another, and file, entry and manifest were made anew around it."""
    last = entries(good)[0].last_seq
    found = findings_after(
        tmp_path, good, with_rows(lambda table: replaced(table, name, 1, value)), "columns_give_their_links"
    )
    actual = f"seqs 0 to {last} do not give the link and root that were sealed"
    assert found == [("manifest/0.json", 0, RANK0, "its links and roots", actual)]


def test_events_that_were_moved_to_another_stream_are_found(tmp_path: Path, good: Path) -> None:
    """The columns that say whose the events are stand in no link: they are held against the entry."""
    moved = with_rows(lambda table: replaced(table, "rank", 0, 1))
    found = findings_after(tmp_path, good, moved, "columns_give_their_links")
    path = step_file(tmp_path / "ledger" / RUN_ID).path
    assert found == [("manifest/0.json", 0, RANK0, "its links and roots", f"{path}: its rows say another rank than 0")]


def test_without_a_deeper_look_a_forged_column_is_not_seen(tmp_path: Path, good: Path) -> None:
    """Which is why there is one: the routine law over files holds on the forged record."""
    found = findings_after(
        tmp_path, good, with_rows(lambda table: replaced(table, "loss_nats", 1, 1.0)), "columns_give_their_links"
    )
    assert (len(found), audited(tmp_path / "ledger" / RUN_ID, "files_hold_their_digests").status) == (1, "held")


def wording(folder: Path, size: int, root: str) -> str:
    claimed = read(folder).claim
    return f"{size} entries of psion-ledger/{claimed.run_id}/{claimed.nonce} with root {root}"


def test_a_history_that_was_cut_is_found(tmp_path: Path, good: Path) -> None:
    """The last entry is gone, file and all; what is left holds by itself, and not against the head that was kept."""
    head = kept(read(good))

    def rolled_back(folder: Path) -> None:
        manifest.path_of(folder, 3).unlink()

    found = findings_after(tmp_path, good, rolled_back, "history_continues_the_kept_head", head)
    expected = wording(good, 4, head.head.root.hex())
    assert found == [("head at 4", None, None, expected, "rolled back: 3 entries")]


def test_a_history_that_was_rewritten_is_found(tmp_path: Path, good: Path) -> None:
    """The second entry says one root more or less: all digests were forged around it."""
    head = kept(read(good))

    def rewrite(folder: Path) -> None:
        known = entries(folder)
        rewritten(folder, [known[0], msgspec.structs.replace(known[1], events_root="0" * 64), *known[2:]])

    found = findings_after(tmp_path, good, rewrite, "history_continues_the_kept_head", head)
    forged = merkle_root(read(tmp_path / "ledger" / RUN_ID).manifest.leaf_hashes).hex()
    expected = wording(good, 4, head.head.root.hex())
    assert found == [("head at 4", None, None, expected, f"another history: 4 entries, with root {forged} at 4")]


def test_another_run_in_the_same_place_is_found(tmp_path: Path, good: Path, two_ranks: Path) -> None:
    """A run of the same name was recorded anew: it has another nonce, so it is another log."""
    head = kept(read(good))
    found = findings_after(tmp_path, two_ranks, lambda folder: None, "history_continues_the_kept_head", head)
    expected = wording(good, 4, head.head.root.hex())
    other = read(two_ranks).claim
    assert found == [("head at 4", None, None, expected, f"the log psion-ledger/{other.run_id}/{other.nonce}")]
