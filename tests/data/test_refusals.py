"""Files that are hostile, cut short, empty or of another format are refused, with their name; nothing is guessed."""

import io
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from psion_ledger import data
from psion_ledger.data import Source, describe
from psion_ledger.errors import CannotDecide, LedgerError, Unreadable, UsageError
from psion_ledger.orders.materialised import decoded
from tests.data.writing import EVEN, UNEVEN, index_of, lists, source, write, write_datasets, write_megatron

IDX_HEADER = 34


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def saved(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    said = text.encode() + b"\n"
    width = "<H" if version == b"\x01\x00" else "<I"
    return b"\x93NUMPY" + version + struct.pack(width, len(said)) + said


GOOD = header("{'descr': '<u2', 'fortran_order': False, 'shape': (4,), }")
NPY: dict[str, bytes] = {
    "a pickle": saved(np.array([{"a": 1}], dtype=object)),
    "a zip of arrays": b"PK\x03\x04" + bytes(60),
    "floats": saved(np.zeros(8, "<f4")),
    "booleans": saved(np.zeros(8, bool)),
    "int16": saved(np.zeros(8, "<i2")),
    "big-endian": saved(np.zeros(8, ">u2")),
    "three dimensions": saved(np.zeros((2, 2, 2), "<u2")),
    "no dimension": saved(np.uint16(3)),
    "columns first": saved(np.asfortranarray(np.zeros((3, 4), "<u2"))),
    "no row": saved(np.zeros((0, 4), "<u2")),
    "rows of nothing": saved(np.zeros((4, 0), "<u2")),
    "no token": saved(np.zeros(0, "<u2")),
    "cut": GOOD + bytes(7),
    "longer": GOOD + bytes(9),
    "a size that is made up": header("{'descr': '<u2', 'fortran_order': False, 'shape': (999999999999999999,), }"),
    "two sizes that are": header(
        "{'descr': '<u2', 'fortran_order': False, 'shape': (999999999999999999, 9999999999), }"
    ),
    "two headers": GOOD[:8] + struct.pack("<H", 4) + GOOD[10:] + bytes(8),
    "a header and nothing": GOOD[:-1],
    "nothing": b"",
    "a negative id": saved(np.array([1, -1], "<i4")),
    "an id beyond uint32": saved(np.array([[1, 2**32]], "<u8")),
    "text": b"1 2 3\n",
}


@pytest.mark.parametrize("name", NPY)
def test_what_is_no_npy_of_ids_is_unreadable(tmp_path: Path, name: str) -> None:
    """No pickle is loaded, no size is believed, and every id is looked at."""
    path = put(tmp_path / "a.npy", NPY[name])
    with pytest.raises(Unreadable, match=str(path)):
        describe(data.npy(path), sequence_tokens=1)


def test_an_order_file_is_read_as_strictly(tmp_path: Path) -> None:
    """By the same reader, of one dimension."""
    for name in ("three dimensions", "columns first", "cut", "longer", "two headers", "a pickle", "floats"):
        with pytest.raises(CannotDecide):
            decoded(NPY[name], "order.npy")
    with pytest.raises(CannotDecide):
        decoded(saved(np.zeros((2, 2), "<u4")), "order.npy")


@pytest.mark.parametrize(("content", "dtype"), [(b"", "uint16"), (bytes(5), "uint16"), (b"\xff" * 8, "int64")])
def test_raw_files_of_half_an_id_or_of_none_are_unreadable(tmp_path: Path, content: bytes, dtype: Any) -> None:
    """Empty, cut, and of another type than they are said to be."""
    path = put(tmp_path / "a.bin", content)
    with pytest.raises(Unreadable, match=str(path)):
        describe(data.shards(path, dtype), sequence_tokens=1)


def parquet_bytes(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def column(values: Any, kind: Any) -> bytes:
    return parquet_bytes(pa.table({"input_ids": pa.array(values, kind)}))


WHOLE = parquet_bytes(lists(UNEVEN, "int32"))
PARQUET: dict[str, bytes] = {
    "nothing": b"",
    "text": b"input_ids\n1\n",
    "cut": WHOLE[:-9],
    "its pages flipped": WHOLE[:4] + bytes(byte ^ 0xFF for byte in WHOLE[4:200]) + WHOLE[200:],
    "no such column": parquet_bytes(pa.table({"tokens": pa.array([[1]])})),
    "numbers and no lists": column([1, 2], pa.int32()),
    "lists of text": column([["a"]], pa.list_(pa.string())),
    "lists of floats": column([[1.0]], pa.list_(pa.float32())),
    "lists of int16": column([[1]], pa.list_(pa.int16())),
    "lists of lists": column([[[1]]], pa.list_(pa.list_(pa.int32()))),
    "a null row": column([[1], None], pa.list_(pa.int32())),
    "a null id": column([[1], [None, 2]], pa.list_(pa.int32())),
    "a negative id": column([[1], [2, -7]], pa.list_(pa.int64())),
    "an id beyond uint32": column([[2**32]], pa.list_(pa.int64())),
    "an empty row": column([[1], []], pa.list_(pa.int32())),
    "no row": column([], pa.list_(pa.int32())),
}


@pytest.mark.parametrize("name", PARQUET)
def test_what_is_no_column_of_ids_is_unreadable(tmp_path: Path, name: str) -> None:
    """By its schema, its pages or its values."""
    path = put(tmp_path / "a.parquet", PARQUET[name])
    with pytest.raises(Unreadable, match=str(path)):
        describe(data.parquet(path))


def broken_index(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def make(prefix: Path) -> None:
        write_megatron(prefix, EVEN)
        put(prefix.with_suffix(".idx"), change(prefix.with_suffix(".idx").read_bytes()))

    return make


def at(place: int, kind: str, value: int) -> Callable[[bytes], bytes]:
    def change(index: bytes) -> bytes:
        changed = struct.pack(kind, value)
        return index[:place] + changed + index[place + len(changed) :]

    return change


POINTERS = IDX_HEADER + 4 * len(EVEN)
DOCUMENTS = POINTERS + 8 * len(EVEN)
MEGATRON: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda index: b"",
    "another magic": lambda index: b"TNTIDX\x00\x00\x00" + index[9:],
    "half a header": lambda index: index[:20],
    "another version": at(9, "<Q", 2),
    "a type of no number": at(17, "<B", 77),
    "floats": at(17, "<B", 7),
    "int16": at(17, "<B", 3),
    "more sequences than there are": at(18, "<Q", 2**60),
    "fewer documents than there are": at(26, "<Q", 3),
    "cut": lambda index: index[:-1],
    "with modes behind it": lambda index: index + bytes(len(EVEN)),
    "a negative length": at(IDX_HEADER, "<i", -5),
    "a length of nothing": at(IDX_HEADER, "<i", 0),
    "a length too long": at(IDX_HEADER, "<i", 6),
    "a pointer that goes back": at(POINTERS + 8, "<q", 0),
    "a pointer beyond the file": at(POINTERS + 72, "<q", 2**40),
    "a negative pointer": at(POINTERS, "<q", -20),
    "documents that go back": at(DOCUMENTS + 8, "<q", 9),
    "documents that do not begin": at(DOCUMENTS, "<q", 1),
    "documents that do not end": at(DOCUMENTS + 80, "<q", 9),
    "of a longer file": lambda index: index_of([*EVEN, [1]]),
    "of a shorter file": lambda index: index_of(EVEN[:-1]),
}


@pytest.mark.parametrize("name", MEGATRON)
def test_an_index_that_is_not_the_file_s_is_unreadable(tmp_path: Path, name: str) -> None:
    """Its header, its counts, its pointers or its documents are wrong."""
    broken_index(MEGATRON[name])(tmp_path / "a")
    with pytest.raises(Unreadable, match=str(tmp_path / "a")):
        describe(data.megatron(tmp_path / "a"))


def test_negative_ids_of_a_pair_are_unreadable(tmp_path: Path) -> None:
    """Ids of four bytes with a sign."""
    write_megatron(tmp_path / "a", [[1, -1]])
    with pytest.raises(Unreadable):
        describe(data.megatron(tmp_path / "a"))


def changed(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def lying_offsets(content: bytes) -> bytes:
    """The second row of the first batch ends far behind its values."""
    first, second = len(UNEVEN[0]), len(UNEVEN[0]) + len(UNEVEN[1])
    offsets = struct.pack("<iii", 0, first, second)
    assert content.count(offsets) == 1
    return content.replace(offsets, struct.pack("<iii", 0, first, 10**8))


DATASETS: dict[str, Callable[[Path], object]] = {
    "an empty file": lambda own: put(own / "data-00000-of-00002.arrow", b""),
    "a file that is text": lambda own: put(own / "data-00000-of-00002.arrow", b"rows\n" * 9),
    "a file that is cut": lambda own: changed(own / "data-00000-of-00002.arrow", lambda content: content[:300]),
    "offsets that leave the ids": lambda own: changed(own / "data-00000-of-00002.arrow", lying_offsets),
    "a state that is no JSON": lambda own: put(own / "state.json", b"{"),
    "a state without files": lambda own: put(own / "state.json", b"{}"),
    "a file outside": lambda own: put(own / "state.json", b'{"_data_files": [{"filename": "../a.arrow"}]}'),
    "chosen rows": lambda own: put(
        own / "state.json",
        json.dumps({"_data_files": [], "_indices_data_files": [{"filename": "indices.arrow"}]}).encode(),
    ),
    "null rows": lambda own: write_datasets(own, [[1], None, [2], [3]]),
}


@pytest.mark.parametrize("name", DATASETS)
def test_a_folder_that_save_to_disk_did_not_write_is_unreadable(tmp_path: Path, name: str) -> None:
    """Its state or its files."""
    write_datasets(tmp_path, UNEVEN)
    DATASETS[name](tmp_path)
    with pytest.raises(Unreadable, match=str(tmp_path)):
        describe(data.hf_dataset(tmp_path))


# --- what the caller asked for --------------------------------------------------------------------------------------

USAGE: dict[str, Callable[[Path], Source | list[Source]]] = {
    "no such file": lambda own: data.npy(own / "none.npy"),
    "no such folder": lambda own: data.folders(own / "none"),
    "no file matches": lambda own: data.shards(str(own / "none-*.bin")),
    "a folder without such files": lambda own: data.parquet(own),
    "a folder without splits": lambda own: data.folders(own),
    "no folder of datasets": lambda own: data.hf_dataset(own),
    "no such dataset": lambda own: data.hf_dataset(own / "none"),
    "no index beside it": lambda own: data.megatron(write(own / "lone", "raw", EVEN).with_suffix("")),
    "one file twice": lambda own: [data.npy(own / "a.npy"), data.npy(own / "a.npy", family="b")],
    "no source": lambda own: [],
    "a split that says nothing": lambda own: data.npy(own / "a.npy", split="mine"),
    "a name with a line break": lambda own: data.npy(write(own, "npy rows", EVEN, "a\nb")),
}


@pytest.mark.parametrize("name", USAGE)
def test_a_source_that_makes_no_sense_is_a_usage_error(tmp_path: Path, name: str) -> None:
    """Before or after it is looked for."""
    write(tmp_path, "npy rows", EVEN)
    with pytest.raises(UsageError):
        describe(USAGE[name](tmp_path))


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("raw", {}),
        ("raw", {"sequence_tokens": 51}),
        ("raw", {"sequence_tokens": 0}),
        ("npy rows", {"sequence_tokens": 4}),
        ("parquet", {"sequence_tokens": 5}),
        ("raw", {"unit": "window"}),
        ("raw", {"unit": "window", "sequence_tokens": 51}),
        ("npy rows", {"dataset": "no version"}),
        ("npy rows", {"dataset": "@1"}),
        ("npy rows", {"split_kinds": {"train": "something"}}),
    ],
)
def test_what_is_asked_of_files_must_fit_them(tmp_path: Path, kind: str, asked: dict[str, Any]) -> None:
    """Lengths, units, names and kinds of splits."""
    path = write(tmp_path, kind, UNEVEN if kind == "parquet" else EVEN)
    with pytest.raises(UsageError):
        describe(source(kind, path), **asked)


def test_a_type_that_ids_do_not_have_is_refused_at_once() -> None:
    """Before any file is."""
    kind: Any = "float32"
    with pytest.raises(UsageError):
        data.shards("a.bin", kind)


def test_links_pipes_and_what_is_closed_are_refused(tmp_path: Path) -> None:
    """None of them is followed, waited for or guessed at."""
    path = write(tmp_path, "npy rows", EVEN)
    (tmp_path / "link.npy").symlink_to(path)
    os.mkfifo(tmp_path / "pipe.npy")
    (tmp_path / "folder.npy").mkdir()
    for name in ("link.npy", "pipe.npy"):
        with pytest.raises(Unreadable, match=name):
            describe(data.npy(tmp_path / name))
    with pytest.raises(LedgerError):
        describe(data.npy(tmp_path / "folder.npy"))
