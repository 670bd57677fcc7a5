"""Entries that point elsewhere: whatever a forger writes, no command reads, writes or deletes outside of the run."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from psion_ledger import log
from psion_ledger.digest import leaf_hash, merkle_root
from psion_ledger.log import columns, frame, manifest
from psion_ledger.log.compact import compact_run
from psion_ledger.log.segment import seal_run, write_segment
from tests.hostile import RUN_ID, Commands
from tests.hostile.forging import header
from tests.laws.forging import entries, rewritten
from tests.ledgers import opened
from tests.log.streams import numbered


@pytest.fixture
def compacted(tmp_path: Path) -> Path:
    """A run of three sealed ranges that are compacted, and not pruned."""
    run = log.create_run(tmp_path / "compacted" / "ledger", RUN_ID)
    with log.open_writer(run, opened()) as writer:
        for step in range(1, 4):
            writer.emit(numbered(step))
            writer.rotate()
            seal_run(run)
    compact_run(run)
    return run


def first_file(run: Path, **values: Any) -> None:
    """The first entry says this of its first file."""
    first, *more = entries(run)
    changed = [msgspec.structs.replace(first.files[0], **values), *first.files[1:]]
    rewritten(run, [msgspec.structs.replace(first, files=changed), *more])


def first_entry(run: Path, **values: Any) -> None:
    first, *more = entries(run)
    rewritten(run, [msgspec.structs.replace(first, **values), *more])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("absolute", [False, True], ids=["a path that leads out", "an absolute path"])
def test_pruning_deletes_nothing_that_a_forger_names(commands: Commands, compacted: Path, absolute: bool) -> None:
    """An entry that is replaced, so that its files are what is pruned, names a file beside the ledger."""
    precious = compacted.parents[1] / "precious.txt"
    precious.write_text("x", encoding="utf-8")
    first_file(compacted, path=str(precious) if absolute else "../../precious.txt")
    before = contents(compacted.parents[1])
    commands.ends(compacted.parent, 3, "compact", RUN_ID, "--prune")
    assert before == contents(compacted.parents[1])


def forged_range(run: Path, stream: str, first_seq: int, link: bytes) -> manifest.Entry:
    """An entry of two events whose columns give its links, in a file below the run's folder."""
    before, links, frames = link, [], []
    for seq in range(first_seq, first_seq + 2):
        frames.append(frame.Frame(seq, 1, link, frame.NOTHING_DURABLE, numbered(seq)))
        link = leaf_hash(frame.encode((seq, 1, link, frame.NOTHING_DURABLE, numbered(seq))))
        links.append(link)
    made = pa.Table.from_batches([columns.batch("batch_replayed", frames, stream, "train", 1, 0)])
    file = write_segment(run, "batch_replayed", made, "x", first_seq, first_seq + 1)
    return manifest.Entry(
        type="seal", number=0, previous_sha256="", events_version=1, stream=stream, role="train", attempt=1, rank=0,
        first_seq=first_seq, last_seq=first_seq + 1, link_before=before.hex(), link_after=link.hex(),
        events_root=merkle_root(links).hex(), files=[file],
    )  # fmt: skip


@pytest.mark.parametrize("absolute", [False, True], ids=["a name that leads out", "an absolute name"])
def test_compacting_writes_nothing_where_a_forger_points(commands: Commands, tmp_path: Path, absolute: bool) -> None:
    """Two ranges of a stream whose name leads out of the run, and whose events are all right."""
    run = log.create_run(tmp_path / "forged" / "ledger", RUN_ID)
    stream = f"{tmp_path}/evil" if absolute else "../../../../evil"
    first = forged_range(run, stream, 0, header(run, stream).link_before)
    rewritten(run, [first, forged_range(run, stream, 2, bytes.fromhex(first.link_after))])
    before = contents(tmp_path)
    commands.ends(run.parent, 3, "compact", RUN_ID)
    assert before == contents(tmp_path)


# What the first entry says of its first file; there it is in no command's way, and is not what was sealed.
FILES: dict[str, dict[str, Any]] = {
    "a path that leads out": {"path": "../../x"},
    "an absolute path": {"path": "/etc/passwd"},
    "a device": {"path": "/dev/zero"},
    "no path": {"path": ""},
    "a path with a zero byte": {"path": "segments/a\0b"},
    "a path with an escape sequence": {"path": "segments/\x1b[31m\nb"},
    "a path of 4 MB": {"path": "x" * (4 << 20)},
    "a pattern": {"path": "segments/batch_replayed/*.parquet"},
    "an unknown kind": {"kind": "no_such_kind"},
    "another kind": {"kind": "run_finished"},
    "a kind that leads out": {"kind": "../x"},
    "no row": {"rows": 0},
    "less than no row": {"rows": -1},
    "a digest in capitals": {"sha256": "A" * 64},
    "a digest that is none": {"sha256": ""},
}
ENTRIES: dict[str, dict[str, Any]] = {
    "a stream of 10 MB": {"stream": "s" * (10 << 20)},
    "a stream with an escape sequence": {"stream": "a\n\x1b]0;x\x07\u202e/../.."},
    "links that are no digests": {"link_before": "zz", "link_after": "zz", "events_root": "zz"},
    "a range that ends before it begins": {"first_seq": 5, "last_seq": 3},
    "a range below zero": {"first_seq": -5, "last_seq": -1},
    "a range without an end": {"last_seq": 2**62},
    "a range beyond all numbers": {"last_seq": 2**80},
    "another attempt": {"attempt": 2**62},
    "itself for what it replaces": {"type": "compact", "replaces": [0]},
    "the same twice": {"type": "compact", "replaces": [0, 0, 0]},
}


def assert_damaged(commands: Commands, run: Path) -> None:
    """A violation to those who judge, undecided to those who would go on from here; and nothing is changed."""
    before = contents(run)
    for command, codes in {"audit": (1, 3), "fsck": (1,), "compact": (0, 3), "show": (0, 3), "head": (0, 2, 3)}.items():
        more = {"compact": ["--prune"], "fsck": ["--deep"]}.get(command, [])
        commands.ends(run.parent, codes, command, RUN_ID, *more)
    assert before == contents(run)


@pytest.mark.slow
@pytest.mark.parametrize("what", FILES)
def test_an_entry_names_its_own_files_alone(commands: Commands, run: Path, what: str) -> None:
    """The file's place, its kind, its digest: whatever else is said, no command follows it."""
    first_file(run, **FILES[what])
    assert_damaged(commands, run)


@pytest.mark.slow
@pytest.mark.parametrize("what", ENTRIES)
def test_an_entry_says_what_can_be(commands: Commands, run: Path, what: str) -> None:
    """A stream, a range, the links: what cannot be is damage, and no crash of ours."""
    first_entry(run, **ENTRIES[what])
    assert_damaged(commands, run)


@pytest.mark.slow
def test_a_file_that_is_called_like_a_pattern_brings_no_others_in(commands: Commands, run: Path) -> None:
    """DuckDB expands patterns; beside the segment lies a file of somebody's with other rows."""
    (file,) = (file for file in entries(run)[0].files if file.kind == "batch_replayed")
    shutil.copy(run / file.path, (run / file.path).with_name("other.parquet"))
    (run / file.path).rename((run / file.path).with_name("*.parquet"))
    first, *more = entries(run)
    named = msgspec.structs.replace(file, path="segments/batch_replayed/*.parquet")
    changed = [named if known == file else known for known in first.files]
    rewritten(run, [msgspec.structs.replace(first, files=changed), *more])
    commands.ends(run.parent, (1, 3), "audit", RUN_ID)


@pytest.mark.slow
def test_the_folders_above_a_ledger_may_be_called_anything(commands: Commands, run: Path, tmp_path: Path) -> None:
    """Such as a pattern that fits a folder beside it, in which other bytes have the same names."""
    odd, plain = tmp_path / "runs[1]*", tmp_path / "runs1"
    for folder in (odd, plain):
        shutil.copytree(run.parent, folder / "ledger")
        shutil.copytree(run.parents[1] / "artifacts", folder / "artifacts")
    for path in plain.glob("ledger/*/segments/*/*"):
        path.write_bytes(b"other bytes")
    commands.ends(odd / "ledger", 0, "audit", RUN_ID)
    commands.ends(odd / "ledger", 0, "query", RUN_ID, "select count(*) from batch_replayed")


@pytest.mark.slow
def test_entries_that_replace_each_other_5000_times_are_read_in_time(commands: Commands, run: Path) -> None:
    """Each stands for the one before it, which is allowed and helps nobody."""
    kept = entries(run)
    for number in range(len(kept), len(kept) + 5_000):
        before = kept[-1]
        kept.append(
            msgspec.structs.replace(manifest.replacing([before], before.files, before.events_root), number=number)
        )
    rewritten(run, kept)
    for command in ("audit", "fsck"):
        commands.ends(run.parent, 0, command, RUN_ID)
