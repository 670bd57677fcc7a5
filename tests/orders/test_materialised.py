"""An order in files: what is read of each format, and what of files that somebody made to harm."""

import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psion_ledger.contracts import Contracts
from psion_ledger.digest import sha256
from psion_ledger.errors import CannotDecide
from psion_ledger.log.contract_files import Part
from psion_ledger.orders.materialised import NOWHERE, Materialised, decoded
from tests.orders.plans import contracts_of, train_family

ENTRIES = [4, 0, 3, 1, 2, 2, 0]
FAMILIES = [train_family("library_code", 10, 3), train_family("library_docstrings", 20, 2)]
IDS = {0: 10, 1: 11, 2: 12, 3: 20, 4: 21}


def npy(values: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    np.save(sink, values, **options)
    return sink.getvalue()


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, **options)
    return bytes(sink.getvalue())


def contracts() -> Contracts:
    return contracts_of("materialised here", 5, families=FAMILIES)


def materialised(files: list[tuple[str, bytes, int]]) -> Materialised:
    """The order of these files: suffix, bytes and rows."""
    parts, first, data = list[Part](), 0, dict[str, bytes]()
    for number, (suffix, content, rows) in enumerate(files):
        path = f"contracts/order_files-{number:016x}.{suffix}"
        parts.append(Part(path=path, bytes=len(content), rows=rows, first=first, sha256=sha256(content).hex()))
        data[path] = content
        first += rows
    return Materialised(contracts(), parts, lambda part: data[part.path])


Write = Callable[[list[int]], bytes]


def npy_of(kind: str, version: int = 1) -> Write:
    def write(ids: list[int]) -> bytes:
        sink = io.BytesIO()
        np.lib.format.write_array(sink, np.array(ids, kind), version=(version, 0))
        return sink.getvalue()

    return write


def parquet_of(kind: pa.DataType) -> Write:
    return lambda ids: parquet({"id": pa.array(ids, kind)})


FORMATS: dict[str, tuple[str, Write]] = {
    "raw of 4 bytes": ("u4", lambda ids: struct.pack(f"<{len(ids)}I", *ids)),
    "raw of 8 bytes": ("u8", lambda ids: struct.pack(f"<{len(ids)}Q", *ids)),
    **{f"npy of {kind}": ("npy", npy_of(kind)) for kind in ("u1", "i1", "<i2", "<u4", ">u4", "<i8", ">i8", "<u8")},
    **{f"npy of version {version}": ("npy", npy_of("<u4", version)) for version in (2, 3)},
    **{
        f"parquet of {kind}": ("parquet", parquet_of(kind))
        for kind in (pa.uint8(), pa.int16(), pa.uint32(), pa.int64(), pa.uint64())
    },
    "parquet in groups": ("parquet", lambda ids: parquet({"id": ids}, row_group_size=2, use_dictionary=False)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_entries_of_each_format_are_read(name: str) -> None:
    """As int64, whatever their width."""
    suffix, write = FORMATS[name]
    found = decoded(write(ENTRIES), f"a.{suffix}")
    assert found.tolist() == ENTRIES
    assert str(found.dtype) == "int64"


@pytest.mark.parametrize("name", FORMATS)
def test_entries_are_the_train_sequences_by_their_ids(name: str) -> None:
    """Number 3 is the first sequence of the second family."""
    suffix, write = FORMATS[name]
    order = materialised([(suffix, write(ENTRIES), len(ENTRIES))])
    assert [IDS[entry] for entry in ENTRIES] == order.sequence_ids(0, len(ENTRIES)).tolist()
    assert len(ENTRIES) == order.positions


@pytest.mark.parametrize(
    ("suffix", "data", "expected"),
    [
        ("u4", struct.pack("<3I", 4, 5, 2**32 - 1), [21, NOWHERE, NOWHERE]),
        ("u8", struct.pack("<4Q", 4, 2**63 - 1, 2**63, 2**64 - 1), [21, NOWHERE, NOWHERE, NOWHERE]),
        ("npy", npy(np.array([-1, 4, -(2**63), 5])), [NOWHERE, 21, NOWHERE, NOWHERE]),
        ("npy", npy(np.array([-128, 4, 127], "i1")), [NOWHERE, 21, NOWHERE]),
        ("parquet", parquet({"id": [-1, 4, 2**40]}), [NOWHERE, 21, NOWHERE]),
        ("parquet", parquet({"id": pa.array([2**64 - 1, 4], pa.uint64())}), [NOWHERE, 21]),
    ],
)
def test_an_id_outside_the_data_is_nowhere(suffix: str, data: bytes, expected: list[int]) -> None:
    """Negative, beyond the last, and beyond what an int64 holds: never the id of another sequence."""
    assert expected == materialised([(suffix, data, len(expected))]).sequence_ids(0, len(expected)).tolist()


def zipped() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("a.npy", npy(np.arange(3)))
    return sink.getvalue()


def headed(header: str, data: bytes = b"", version: int = 1) -> bytes:
    """An npy file of this header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text + data


SHAPE = "{{'descr': '<u4', 'fortran_order': False, 'shape': ({},), }}"
PLAIN = parquet({"id": pa.array(range(1000), pa.int64())}, compression="none", use_dictionary=False)
HOSTILE: dict[str, tuple[str, bytes]] = {
    "u4 that is cut": ("u4", b"\0" * 7),
    "u8 that is cut": ("u8", b"\0" * 12),
    "npy of floats": ("npy", npy(np.array([1.0, 2.0]))),
    "npy of truths": ("npy", npy(np.array([True]))),
    "npy of texts": ("npy", npy(np.array(["1", "2"]))),
    "npy of times": ("npy", npy(np.array([1], "M8[s]"))),
    "npy of records": ("npy", npy(np.array([(1, 2)], [("a", "u4"), ("b", "u4")]))),
    "npy of two dimensions": ("npy", npy(np.arange(4).reshape(2, 2))),
    "npy of no dimension": ("npy", npy(np.array(3))),
    "npy of pickles": ("npy", npy(np.array([1, None], dtype=object), allow_pickle=True)),
    "npy that is a pickle": ("npy", b"\x80\x04K\x01."),
    "npy that is an archive": ("npy", zipped()),
    "npy that is a broken archive": ("npy", b"PK\3\4" + b"\0" * 40),
    "npy that is empty": ("npy", b""),
    "npy that is cut in its header": ("npy", npy(np.arange(3))[:40]),
    "npy that is cut": ("npy", npy(np.arange(3))[:-1]),
    "npy that is longer": ("npy", npy(np.arange(3)) + b"\0"),
    "npy of more rows than it has": ("npy", headed(SHAPE.format(10**17))),
    "npy of fewer rows than none": ("npy", headed(SHAPE.format(-1))),
    "npy of no type": ("npy", headed("{'descr': (), 'fortran_order': False, 'shape': (0,), }")),
    "npy of code": ("npy", headed("__import__('os').getpid()")),
    "npy of an endless header": ("npy", headed("(" * 5000)),
    "npy of a header without end": ("npy", headed("{'descr': '<u4', \"\"\"", version=2)),
    "npy of a key that is none": ("npy", headed("{[]: 1}")),
    "npy of another version": ("npy", headed(SHAPE.format(0), version=9)),
    "parquet with nulls": ("parquet", parquet({"id": [1, None]})),
    "parquet of nothing but nulls": ("parquet", parquet({"id": pa.nulls(3)})),
    "parquet of floats": ("parquet", parquet({"id": [1.0]})),
    "parquet of texts": ("parquet", parquet({"id": ["1"]})),
    "parquet of lists": ("parquet", parquet({"id": [[1], [2]]})),
    "parquet of decimals": ("parquet", parquet({"id": pa.array([1], pa.decimal128(9, 0))})),
    "parquet of times": ("parquet", parquet({"id": pa.array([1], pa.timestamp("s"))})),
    "parquet of two columns": ("parquet", parquet({"id": [1], "other": [1]})),
    "parquet of no column": ("parquet", parquet({})),
    "parquet that is none": ("parquet", b"PAR1" + b"\0" * 40 + b"PAR1"),
    "parquet that is empty": ("parquet", b""),
    "parquet that is cut": ("parquet", PLAIN[:-20]),
    "parquet whose footer is longer than it": ("parquet", PLAIN[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1"),
    "parquet without its rows": ("parquet", PLAIN[:4] + PLAIN[4000:]),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_order_file_cannot_decide(name: str) -> None:
    """One line, with the file's name; nothing of it is executed, and nothing is made as large as it says."""
    suffix, data = HOSTILE[name]
    with pytest.raises(CannotDecide, match=rf"\Acontracts/a\.{suffix}: not an order file: .") as refused:
        decoded(data, f"contracts/a.{suffix}")
    assert "\n" not in str(refused.value)


@settings(database=None, max_examples=150)
@given(place=st.integers(0, len(PLAIN) - 1), byte=st.integers(0, 255), cut=st.none() | st.integers(0, len(PLAIN)))
@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_a_file_with_one_byte_changed_is_read_or_refused(suffix: str, place: int, byte: int, cut: int | None) -> None:
    """Never anything else: whatever stands in it, somebody may have declared it."""
    whole = PLAIN if suffix == "parquet" else npy(np.arange(1000))
    place %= len(whole)
    data = (whole[:place] + bytes([byte]) + whole[place + 1 :])[:cut]
    try:
        found = decoded(data, f"a.{suffix}")
    except CannotDecide:
        return
    assert (found.ndim, str(found.dtype)) == (1, "int64")


# --- several files -------------------------------------------------------------------------------------------------


def in_files(sizes: list[int]) -> tuple[Materialised, list[int]]:
    """Files of these sizes, each of another format, and the ids that they name."""
    entries = [(7 * place + place // 5) % 5 for place in range(sum(sizes))]
    files, first = [], 0
    for size, (suffix, write) in zip(sizes, list(FORMATS.values()) * len(sizes), strict=False):
        files.append((suffix, write(entries[first : first + size]), size))
        first += size
    return materialised(files), [IDS[entry] for entry in entries]


@settings(database=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 120), min_size=1, max_size=5),
)
def test_an_order_is_the_same_in_whatever_ranges_it_is_read(sizes: list[int], cuts: list[int]) -> None:
    """Across the borders of its files, to and fro."""
    order, expected = in_files(sizes)
    assert expected == order.sequence_ids(0, order.positions).tolist()
    for first, end in zip(cuts, [*cuts[1:], cuts[0]], strict=True):
        first, end = sorted((min(first, order.positions), min(end, order.positions)))
        assert expected[first:end] == order.sequence_ids(first, end).tolist()


def test_positions_behind_the_last_file_cannot_be_decided() -> None:
    """The order ends there."""
    order, expected = in_files([3, 4])
    assert expected == order.sequence_ids(0, 7).tolist()
    with pytest.raises(CannotDecide, match="the order files end at position 7, and 8 are asked for"):
        order.sequence_ids(7, 8)


@pytest.mark.parametrize("rows", [2, 4])
def test_a_file_of_other_rows_than_its_contract_says_cannot_decide(rows: int) -> None:
    """Each file behind it would stand at other positions."""
    order = materialised([("u4", struct.pack("<3I", 0, 1, 2), rows)])
    with pytest.raises(CannotDecide, match=rf"order_files-0+\.u4: 3 ids, and its contract says {rows}"):
        order.sequence_ids(0, 1)


def test_a_file_is_read_once_while_its_positions_are_asked_for() -> None:
    """And not before."""
    asked: list[str] = []
    data = {f"contracts/order_files-{n:016x}.u4": struct.pack("<4I", *[n] * 4) for n in range(3)}
    parts = [
        Part(path=path, bytes=16, rows=4, first=4 * n, sha256="0" * 64) for n, path in enumerate(sorted(data))
    ]  # fmt: skip

    def read(part: Part) -> bytes:
        asked.append(part.path)
        return data[part.path]

    order = Materialised(contracts(), parts, read)
    assert [order.sequence_ids(position, position + 1).tolist() for position in (4, 5, 7, 8)] == [
        [11],
        [11],
        [11],
        [12],
    ]
    assert asked == sorted(data)[1:]
