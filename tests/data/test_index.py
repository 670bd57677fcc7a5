"""The index is made in parts: a killed one is gone on with, and one that its owner made is taken as it is."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psion_ledger import data
from psion_ledger.data import Data, describe, indexing
from psion_ledger.data.sources import guessed
from psion_ledger.errors import CannotDecide, LedgerError, UsageError
from psion_ledger.log.indexes import SEQUENCE_INDEX_SCHEMA
from tests.data.test_describing import index_of
from tests.data.writing import EVEN, UNEVEN, digest, write

ROWS = [[10 * row, 10 * row + 1] for row in range(23)]


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "PART_ROWS", 4)


def cached(folder: Path, **changes: Any) -> Data:
    """Two files in one family, and one in another; their index is kept."""
    own = [
        data.npy(write(folder, "npy rows", ROWS[:9], "b"), family="b"),
        data.npy(write(folder, "npy rows", ROWS[9:20], "a"), family="b"),
        data.npy(write(folder, "npy rows", ROWS[20:], "z"), family="c"),
    ]
    return describe(own, cache=folder / "cache", **changes)


def test_parts_are_told_as_they_are_made(tmp_path: Path) -> None:
    """Rows done and rows in all, behind each part."""
    told = list[tuple[int, int]]()
    parts = list(cached(tmp_path, progress=lambda done, total: told.append((done, total))).index_parts())
    assert [rows for _, rows in parts] == [4, 4, 4, 4, 4, 3]
    assert told == [(4, 23), (8, 23), (12, 23), (16, 23), (20, 23), (23, 23)]


def test_finished_parts_are_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was left: nothing is read for them, and the bytes are the same."""
    whole = list(cached(tmp_path).index_parts())
    killed = cached(tmp_path).index_parts()
    for path in sorted((tmp_path / "cache").glob("*"))[6:]:
        path.unlink()
    read = list[int]()
    part = indexing._Reader.part

    def counted(reader: Any, first: int, end: int) -> bytes:
        read.append(first)
        return part(reader, first, end)

    monkeypatch.setattr(indexing._Reader, "part", counted)
    assert list(killed) == whole
    assert read == [12, 16, 20]
    assert list(cached(tmp_path).index_parts()) == whole
    assert read == [12, 16, 20]


@pytest.mark.parametrize("suffix", ["parquet", "sha256"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"\xff"), lambda path: path.unlink()])
def test_a_part_that_is_not_whole_is_made_again(tmp_path: Path, suffix: str, damage: Callable[[Path], object]) -> None:
    """As a crash can leave it, or anybody."""
    whole = list(cached(tmp_path).index_parts())
    damage(sorted((tmp_path / "cache").glob(f"*.{suffix}"))[2])
    assert list(cached(tmp_path).index_parts()) == whole


def test_parts_of_other_data_are_not_taken(tmp_path: Path) -> None:
    """One byte of one file, or another cut of the same: the names differ."""
    list(cached(tmp_path).index_parts())
    before = set((tmp_path / "cache").iterdir())
    write(tmp_path, "npy rows", [[1, 2], *ROWS[21:]], "z")
    own = data.npy([tmp_path / "b.npy", tmp_path / "a.npy", tmp_path / "z.npy"])
    other = describe(own, cache=tmp_path / "cache")
    assert [row["token_sha256"] for row in index_of(other)][20] == digest([1, 2])
    assert before <= set((tmp_path / "cache").iterdir())
    assert not {path.name.split("-")[1] for path in before} & {
        path.name.split("-")[1] for path in set((tmp_path / "cache").iterdir()) - before
    }


def test_a_file_that_changed_meanwhile_cannot_decide(tmp_path: Path) -> None:
    """Between its description and its index."""
    found = describe(data.npy(write(tmp_path, "npy rows", EVEN)))
    write(tmp_path, "npy rows", EVEN[::-1])
    with pytest.raises(CannotDecide, match=r"a\.npy"):
        list(found.index_parts())


KILLED = """
import os, signal, sys
from psion_ledger import data
from psion_ledger.data import indexing

indexing.PART_ROWS = 4
found = data.describe(data.npy(sys.argv[1]), cache=sys.argv[2] and __import__("pathlib").Path(sys.argv[2]))
for number, _ in enumerate(found.index_parts()):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_is_gone_on_with(tmp_path: Path) -> None:
    """By the next one, which makes what is missing."""
    path, cache = write(tmp_path, "npy rows", ROWS), tmp_path / "cache"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), str(cache)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(cache.glob("*.sha256"))) == 3
    found = describe(data.npy(path), cache=cache)
    assert list(found.index_parts()) == list(describe(data.npy(path)).index_parts())
    assert not [own for own in cache.iterdir() if own.name.startswith(".")]


# --- an index of one's own ------------------------------------------------------------------------------------------


def own_rows() -> list[dict[str, Any]]:
    named = [("train", "a"), ("train", "b"), ("validation", "a")]
    return [
        {
            "sequence_id": n, "split_name": named[n // 4][0], "source_family_id": named[n // 4][1],
            "tokens": len(row), "token_sha256": digest(row),
            "documents": [
                {"source_id": "archive", "document_id": f"d{n}", "first_token": 0, "tokens": len(row)},
            ],
        }
        for n, row in enumerate(UNEVEN)
    ]  # fmt: skip


def written(folder: Path, rows: list[dict[str, Any]], schema: Any = SEQUENCE_INDEX_SCHEMA) -> Path:
    path = folder / "index.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def test_an_index_of_one_s_own_is_taken_row_by_row(tmp_path: Path) -> None:
    """Its families are the plan's; there are no files, so that nobody can replay it."""
    found = describe(data.index(written(tmp_path, own_rows())))
    assert [(f.split_name, f.source_family_id, f.sequences, f.tokens, f.shard_ids) for f in found.families] == [
        ("train", "a", 4, 10, []), ("train", "b", 4, 14, []), ("validation", "a", 2, 7, []),
    ]  # fmt: skip
    assert (found.token_data, found.sequence_tokens, found.unit) == (None, None, "sequence")
    assert index_of(found) == own_rows()


def changed_row(place: int, **changes: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda rows: [row | (changes if n == place else {}) for n, row in enumerate(rows)]


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [], lambda rows: rows[1:], lambda rows: [*rows[:2], rows[3], rows[2], *rows[4:]],
        changed_row(3, sequence_id=2), changed_row(3, token_sha256=None), changed_row(3, tokens=0),
        changed_row(1, split_name="validation"), changed_row(9, split_name="another"),
        changed_row(3, source_family_id="c"),
    ],
)  # fmt: skip
def test_an_index_that_no_plan_has_is_refused(
    tmp_path: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
) -> None:
    """Ids with a gap or twice, no digest, no token, families in pieces, a split that says nothing, no row."""
    with pytest.raises(LedgerError):
        describe(data.index(written(tmp_path, change(own_rows()))))


def test_an_index_of_other_columns_is_refused(tmp_path: Path) -> None:
    """One is missing, or of another type."""
    rows = [{name: value for name, value in row.items() if name != "documents"} for row in own_rows()]
    with pytest.raises(CannotDecide):
        describe(data.index(written(tmp_path, rows, SEQUENCE_INDEX_SCHEMA.remove(5))))
    wrong = SEQUENCE_INDEX_SCHEMA.set(0, pa.field("sequence_id", pa.string()))
    texts = [row | {"sequence_id": "x"} for row in own_rows()]
    with pytest.raises(CannotDecide):
        describe(data.index(written(tmp_path, texts, wrong)))


def test_an_index_stands_alone(tmp_path: Path) -> None:
    """Beside files nobody could say which of them holds what; it has no windows; it must not change meanwhile."""
    path = written(tmp_path, own_rows())
    for sources, unit in (([data.index(path), data.npy(path)], "sequence"), ([data.index(path)], "window")):
        asked: Any = unit
        with pytest.raises(UsageError):
            describe(sources, unit=asked, sequence_tokens=4)
    found = describe(data.index(path))
    written(tmp_path, own_rows()[:4])
    with pytest.raises(CannotDecide):
        list(found.index_parts())


# --- the command ----------------------------------------------------------------------------------------------------


def command(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    done = [sys.executable, "-m", "psion_ledger", "data", *map(str, words)]
    return subprocess.run(done, capture_output=True, text=True, check=False)


def test_the_command_says_what_the_api_finds(tmp_path: Path) -> None:
    """To machines by the same names; for people a line a split and family."""
    write(tmp_path / "train" / "web", "npy stream", [*ROWS, [7]])
    write(tmp_path / "test", "parquet", UNEVEN)
    done = command(tmp_path, "--sequence-tokens", "5", "--format", "json")
    said = json.loads(done.stdout)
    found = describe(data.folders(tmp_path), sequence_tokens=5)
    assert (done.returncode, said["schema"]) == (0, "psion_ledger.data.v1")
    assert (said["dataset_identity"], said["tail_tokens"]) == (found.dataset_identity, 2)
    assert [family["sequences"] for family in said["families"]] == [len(UNEVEN), 9]
    assert [file["tokens"] for file in said["files"]] == [sum(map(len, UNEVEN)), 47]
    shown = command(tmp_path, "--sequence-tokens", "5")
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["train", "web", "1", "npy", "uint16", "9", "47", "5", "5", "2"] in lines


def test_what_a_path_means_is_told_by_its_name(tmp_path: Path) -> None:
    """Files, a glob, a prefix, a folder of datasets, a folder of one format, of splits; or nothing tells it."""
    asked = {"raw": "a.bin", "npy rows": "a.npy", "parquet": "*.parquet", "megatron": "a", "arrow": "a"}
    for kind, name in asked.items():
        folder = tmp_path / "own" / kind.replace(" ", "-")
        write(folder, kind, EVEN)
        for path in (folder / name, folder) if kind != "arrow" else (folder / name,):
            found = data.look([guessed(str(path), None, "test", "uint16", "input_ids")])
            assert sum(file.tokens for file in found) == 50
            assert {file.format for file in found} == {kind.split()[0]}
            assert {file.split_name for file in found} == ({"train"} if kind == "arrow" else {"test"})
    write(tmp_path / "splits" / "train" / "web", "npy rows", EVEN)
    assert guessed(str(tmp_path / "splits"), None, "test", "uint16", "input_ids").kind == "folders"
    with pytest.raises(UsageError):
        guessed(str(tmp_path / "tokens.u16"), None, "test", "uint16", "input_ids")
    assert guessed(str(tmp_path / "tokens.u16"), "raw", "test", "uint16", "input_ids").kind == "raw"


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [("a.npy", b"", 3), ("a.npy", None, 2), ("a.txt", b"ids", 2), ("a.parquet", b"PAR1", 3)],
)
def test_the_command_ends_as_errors_do(tmp_path: Path, name: str, content: bytes | None, code: int) -> None:
    """2 for what makes no sense, 3 for what cannot be read; the file is named, once."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = command(tmp_path / name)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert str(tmp_path / name) in done.stderr


def test_the_public_names_load_nothing_heavy() -> None:
    """Sources are values; numpy and pyarrow are for files."""
    code = "import sys; from psion_ledger import data; data.npy('a'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "pyarrow", "duckdb"} & set(done.stdout.split())
