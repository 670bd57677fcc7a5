"""Parquet files with a column of lists of token ids. Its pages are compressed, so that a row in the middle costs all of
its row group: what is to be read at any place is unpacked into a temporary file first (4 bytes a token)."""

import mmap
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from psion_ledger.data.held import Held
from psion_ledger.data.lists import Lists, parts_of, type_in
from psion_ledger.data.rows import Ids, Places, widened
from psion_ledger.errors import CannotDecide

# So many tokens are unpacked at once, or one row of more.
BATCH_TOKENS = 1 << 22


def opened(held: Held, column: str) -> Lists:
    """A sequence a row. Raises Unreadable for other contents, now or as they are read."""
    try:
        dtype = type_in(held, _file(held).schema_arrow, column)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise held.broken(f"no Parquet file that can be read: {str(error).splitlines()[0]}") from error
    return Lists(held, dtype, lambda: _walk(held, column), unpacked)


def _file(held: Held) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(pa.py_buffer(held.data)), memory_map=False)


def _walk(held: Held, column: str) -> Iterator[tuple[Ids, Places]]:
    row, place = 0, 0
    try:
        file = _file(held)
        for group in range(file.num_row_groups):
            size = _batch_rows(file.metadata.row_group(group), column)
            for batch in file.iter_batches(size, row_groups=[group], columns=[column], use_threads=False):
                ids, borders = parts_of(held, batch.column(0), row, place)
                row, place = row + batch.num_rows, place + len(ids)
                yield ids, borders
    except (pa.ArrowException, OSError, ValueError) as error:
        raise held.broken(f"its pages cannot be read: {str(error).splitlines()[0]}") from error


def _batch_rows(group: Any, column: str) -> int:
    """Rows of a group that are unpacked at once, by how many tokens they have on average."""
    columns = (group.column(number) for number in range(group.num_columns))
    tokens = sum(own.num_values for own in columns if own.path_in_schema.split(".")[0] == column)
    return int(max(1, min(group.num_rows, BATCH_TOKENS * group.num_rows // max(tokens, 1))))


def unpacked(parts: Iterator[tuple[Ids, Places]]) -> list[tuple[Ids, Places]]:
    """All of them as one, in temporary files without a name. Raises CannotDecide where there is no room."""
    try:
        with tempfile.TemporaryFile() as ids_file, tempfile.TemporaryFile() as borders_file:
            place, rows = 0, 0
            borders_file.write(np.zeros(1, np.int64).tobytes())
            for ids, borders in parts:
                ids_file.write(widened(ids))
                borders_file.write((borders[1:] + place).tobytes())
                place, rows = place + len(ids), rows + len(borders) - 1
            ids_file.flush()
            borders_file.flush()
            found: Ids = np.empty(0, "<u4")
            if place:
                found = np.frombuffer(mmap.mmap(ids_file.fileno(), 0, access=mmap.ACCESS_READ), "<u4")
            kept = np.frombuffer(mmap.mmap(borders_file.fileno(), 0, access=mmap.ACCESS_READ), np.int64)
    except OSError as error:
        folder = tempfile.gettempdir()
        raise CannotDecide(
            f"{folder}: no room to unpack Parquet: {error.strerror}; name another with TMPDIR"
        ) from error
    return [(found, kept)]
