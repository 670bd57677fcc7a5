"""Token files of each format, written as their owners write them.

Of the `datasets` library and of megatron-core neither is needed: what they write is laid out here by hand, Arrow's by
pyarrow as `save_to_disk` does it, Megatron's by the documented layout of its index.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from psion_ledger.data import Source, hf_dataset, megatron, npy, parquet, shards
from psion_ledger.digest import sha256

Row = list[int]
LENGTH = 5
# Ten rows of one length, and ten of several: what a row's place is, its ids say.
EVEN = [[1000 * row + place for place in range(LENGTH)] for row in range(10)]
UNEVEN = [[1000 * row + place for place in range(1 + row * 7 % 6)] for row in range(10)]
FORMATS = ("raw", "npy stream", "npy rows", "parquet", "megatron", "arrow")
STREAMS = ("raw", "npy stream")
OF_ONE_LENGTH = (*STREAMS, "npy rows")


def rows_for(kind: str) -> list[Row]:
    """Rows that a format can hold: of one length where it has no other."""
    return EVEN if kind in OF_ONE_LENGTH else UNEVEN


def digest(*rows: Row) -> bytes:
    """By hand: sha256 over the ids as little-endian u4."""
    ids = [token for row in rows for token in row]
    return sha256(struct.pack(f"<{len(ids)}I", *ids))


def flat(rows: Sequence[Row], dtype: str) -> "np.ndarray[Any, Any]":
    return np.array([token for row in rows for token in row], dtype)


def write(folder: Path, kind: str, rows: Sequence[Row], name: str = "a", dtype: str | None = None) -> Path:
    """The rows as a file (or folder) of a format; what to give to its source."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if kind == "raw":
        path = path.with_suffix(".bin")
        flat(rows, dtype or "<u2").tofile(path)
    elif kind == "npy stream":
        path = path.with_suffix(".npy")
        np.save(path, flat(rows, dtype or "<u2"))
    elif kind == "npy rows":
        path = path.with_suffix(".npy")
        np.save(path, np.array(rows, dtype or "<u4"))
    elif kind == "parquet":
        path = path.with_suffix(".parquet")
        pq.write_table(lists(rows, dtype or "int32"), path, row_group_size=3)
    elif kind == "megatron":
        write_megatron(path, rows, dtype or "<i4")
    else:
        write_datasets(path, rows, dtype or "int64")
    return path


def lists(rows: Sequence[Row | None], dtype: str) -> pa.Table:
    kind = pa.list_(getattr(pa, dtype)())
    return pa.table({"attention_mask": pa.array([[1]] * len(rows)), "input_ids": pa.array(rows, kind)})


def write_megatron(prefix: Path, rows: Sequence[Row], dtype: str = "<i4", documents: Sequence[int] = ()) -> None:
    """`documents` are the first rows of documents and their end; each row is one where none are given."""
    flat(rows, dtype).tofile(prefix.with_suffix(".bin"))
    prefix.with_suffix(".idx").write_bytes(index_of(rows, dtype, documents))


def index_of(rows: Sequence[Row], dtype: str = "<i4", documents: Sequence[int] = ()) -> bytes:
    code = {"<u1": 1, "<i4": 4, "<i8": 5, "<u2": 8}[dtype]
    lengths = np.array([len(row) for row in rows], "<i4")
    pointers = (np.cumsum(lengths, dtype="<i8") - lengths) * np.dtype(dtype).itemsize
    firsts = np.array(documents or range(len(rows) + 1), "<i8")
    header = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, len(rows), len(firsts))
    parts: list[bytes] = [header, lengths.tobytes(), pointers.astype("<i8").tobytes(), firsts.tobytes()]
    return b"".join(parts)


def write_datasets(folder: Path, rows: Sequence[Row | None], dtype: str = "int64", split: str | None = None) -> None:
    """A Dataset of two Arrow files, in batches of two rows; of one file where there is one row."""
    folder.mkdir(parents=True, exist_ok=True)
    table, names = lists(rows, dtype), [f"data-0000{n}-of-00002.arrow" for n in range(2)]
    half = len(rows) // 2
    parts = [table.slice(0, half), table.slice(half)] if half else [table]
    for name, part in zip(names, parts, strict=False):
        with pa.ipc.new_stream(folder / name, table.schema) as stream:
            for batch in part.to_batches(max_chunksize=2):
                stream.write_batch(batch)
    state: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in names[: len(parts)]], "_fingerprint": "0",
        "_format_columns": None,
        "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False, "_split": split,
    }  # fmt: skip
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
    (folder / "dataset_info.json").write_text("{}", encoding="utf-8")


def source(kind: str, path: Path, **names: Any) -> Source:
    """The source of what `write` wrote."""
    if kind == "raw":
        return shards(path, **names)
    if kind.startswith("npy"):
        return npy(path, **names)
    if kind == "parquet":
        return parquet(path, **names)
    return megatron(path, **names) if kind == "megatron" else hf_dataset(path, **names)
