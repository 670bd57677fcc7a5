"""The index of token data, in parts: made as a stream, and kept in a folder so that a killed process goes on."""

import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from psion_ledger.contracts.sampling_plan import PlanFamily, Unit
from psion_ledger.contracts.token_data import TokenData, TokenFile
from psion_ledger.data.held import HELD_BYTES_MAX, Room
from psion_ledger.data.megatron_files import Pair
from psion_ledger.data.reading import opened, pieces_of
from psion_ledger.data.rows import Places, Rows, token_sha256, widened
from psion_ledger.digest import canonical_json, sha256
from psion_ledger.errors import CannotDecide
from psion_ledger.log import files
from psion_ledger.log.contract_files import PART_BYTES_MAX
from psion_ledger.log.indexes import DOCUMENT_INDEX_SCHEMA, SEQUENCE_INDEX_SCHEMA

PART_ROWS = 250_000
# Ids of so many neighbouring rows are taken at once.
BLOCK_TOKENS = 1 << 20
_KEY_VERSION = 1
Part = tuple[bytes, int]


class Stretch(msgspec.Struct, frozen=True):
    """Rows of one file: the family, the file, its first sequence id, and of its rows the first and the end."""

    family: PlanFamily
    file: TokenFile
    first_id: int
    first: int
    end: int


class Index:
    """The index of a plan's families over their files. `cache` is a folder for finished parts."""

    def __init__(self, families: list[PlanFamily], data: TokenData, root: Path, cache: Path | None) -> None:
        self._families, self._data, self._root, self._cache = families, data, root, cache

    def rows(self, unit: Unit) -> int:
        """How many rows there will be."""
        return len(self._data.files) if unit == "window" else self._families[-1].end_sequence_id

    def sequences(self) -> Iterator[Part]:
        """Parts of the sequence index. Raises CannotDecide for a file that is no longer the described one."""
        total, key = self.rows("sequence"), self._key()
        reader = _Reader(self._families, self._data, self._root)
        try:
            for first in range(0, total, PART_ROWS):
                end = min(first + PART_ROWS, total)
                name = f"sequence_index-{key}-{first:012}-{end:012}"
                yield _kept(self._cache, name, functools.partial(reader.part, first, end)), end - first
        finally:
            reader.close()

    def documents(self) -> Iterator[Part]:
        """Parts of the document index: each file is a document of its family's tokens."""
        sizes = {file.file_id: file.tokens for file in self._data.files}
        rows = list[dict[str, Any]]()
        for family in self._families:
            begins = accumulate((sizes[file_id] for file_id in family.shard_ids), initial=0)
            for number, (file_id, begin) in enumerate(zip(family.shard_ids, begins, strict=False)):
                name = f"{family.split_name}/{family.source_family_id}/{number}"
                rows.append(
                    {
                        "split_name": family.split_name, "source_family_id": family.source_family_id,
                        "source_id": file_id, "document_id": name, "first_token": begin, "tokens": sizes[file_id],
                    }
                )  # fmt: skip
        for first in range(0, len(rows), PART_ROWS):
            part = rows[first : first + PART_ROWS]
            yield _parquet(pa.Table.from_pylist(part, schema=DOCUMENT_INDEX_SCHEMA)), len(part)

    def _key(self) -> str:
        """Of everything that the index is made from: parts of other data have other names."""
        made = [_KEY_VERSION, PART_ROWS, msgspec.to_builtins(self._families), msgspec.to_builtins(self._data)]
        return sha256(canonical_json(made)).hex()[:16]


class _Reader:
    """Reads the files of the data one after another; at most one is open."""

    def __init__(self, families: list[PlanFamily], data: TokenData, root: Path) -> None:
        self._families, self._root, self._pieces = families, root, pieces_of(data)
        self._files = {file.file_id: file for file in data.files}
        self._open: tuple[str, Rows] | None = None

    def part(self, first: int, end: int) -> bytes:
        tables = [self._table(stretch) for stretch in self._stretches(first, end)]
        return _parquet(pa.concat_tables(tables))

    def _stretches(self, first: int, end: int) -> Iterator[Stretch]:
        for family in self._families:
            own = [self._files[file_id] for file_id in family.shard_ids]
            begins = accumulate((file.sequences for file in own), initial=family.first_sequence_id)
            for file, begin in zip(own, begins, strict=False):
                low, high = max(first, begin), min(end, begin + file.sequences)
                if low < high:
                    yield Stretch(family, file, begin, low - begin, high - begin)

    def _table(self, stretch: Stretch) -> pa.Table:
        rows = self._rows(stretch.file.file_id)
        borders = rows.borders(stretch.first, stretch.end)
        family, lengths = stretch.family, np.diff(borders)
        count, begin = stretch.end - stretch.first, stretch.first_id + stretch.first
        columns = [
            pa.array(np.arange(begin, begin + count)),
            pa.repeat(pa.scalar(family.split_name), count),
            pa.repeat(pa.scalar(family.source_family_id), count),
            pa.array(lengths.astype(np.int32)),
            pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), count, [None, pa.py_buffer(_digests(rows, borders))]),
            self._documents(stretch, rows, lengths),
        ]
        return pa.table(columns, schema=SEQUENCE_INDEX_SCHEMA)

    def _documents(self, stretch: Stretch, rows: Rows, lengths: Places) -> pa.Array:
        """One document a row: the row itself, or for Megatron the one that its index names."""
        family, count = stretch.family, stretch.end - stretch.first
        first_id = stretch.first_id - family.first_sequence_id
        numbers = np.arange(first_id + stretch.first, first_id + stretch.end)
        places, names = np.zeros(count, np.int64), f"{family.split_name}/{family.source_family_id}"
        if isinstance(rows, Pair):
            numbers, places = rows.documents_of(stretch.first, stretch.end)
            names = f"{names}/{stretch.file.file_id}"
        kind = SEQUENCE_INDEX_SCHEMA.field("documents").type
        structs = pa.StructArray.from_arrays(
            [
                pa.repeat(pa.scalar(stretch.file.file_id), count),
                pa.array([f"{names}/{number}" for number in numbers.tolist()], pa.string()),
                pa.array(places),
                pa.array(lengths.astype(np.int32)),
            ],
            fields=list(kind.value_type),
        )
        return pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32)), structs, type=kind)

    def _rows(self, file_id: str) -> Rows:
        if self._open is None or self._open[0] != file_id:
            self.close()
            self._open = file_id, opened(self._root, self._pieces[file_id], "sequence", Room(HELD_BYTES_MAX))
        return self._open[1]

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


def _digests(rows: Rows, borders: Places) -> bytes:
    """The sha256 of each row's ids, one after another; a few rows are taken at once."""
    made, row, count = bytearray(), 0, len(borders) - 1
    while row < count:
        upto = max(row + 1, int(np.searchsorted(borders, borders[row] + BLOCK_TOKENS, "right")) - 1)
        ids = rows.ids(int(borders[row]), int(borders[upto]))
        if upto == row + 1:
            made += token_sha256(ids)
        else:
            view, places = widened(ids).cast("B"), ((borders[row : upto + 1] - borders[row]) * 4).tolist()
            for first, end in pairwise(places):
                made += hashlib.sha256(view[first:end]).digest()
        row = upto
    return bytes(made)


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def _kept(cache: Path | None, name: str, make: Callable[[], bytes]) -> bytes:
    """The bytes of a part: those in the folder, if their digest is the one beside them, or made and kept there."""
    if cache is None:
        return make()
    path, beside = cache / f"{name}.parquet", cache / f"{name}.sha256"
    try:
        data = files.read_regular(path, PART_BYTES_MAX)
        if files.read_regular(beside).decode() == sha256(data).hex():
            return data
    except (FileNotFoundError, CannotDecide, UnicodeDecodeError):
        pass
    data = make()
    with files.reported(cache):
        files.make_folder(cache)
        for place, content in ((path, data), (beside, sha256(data).hex().encode())):
            scratch = cache / f".{place.name}.{os.getpid()}"
            scratch.unlink(missing_ok=True)
            files.write_durable(scratch, content)
            os.replace(scratch, place)
        files.sync_folder(cache)
    return data
