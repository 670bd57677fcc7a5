"""A look at the footer of a Parquet file of a record before anything decodes it.

A manifest can name a hostile file, digest and all. What its footer claims must be what the entry says, and what a file
of that size can hold: a billion rows in a kilobyte, or gigabytes behind a megabyte, are refused before they are read.
"""

import pyarrow as pa
import pyarrow.parquet as pq

from psion_ledger.errors import LimitHit, Unreadable

# What comes in numbers has a digest, which nothing shrinks; what people write shrinks to a hundredth at best.
BYTES_A_ROW_MIN = 2
ALLOWANCE_ROWS = 100_000
SHRINKS_TO_MAX = 1000
ALLOWANCE_BYTES = 16 << 20


def screen(data: pa.Buffer, name: str, schema: pa.Schema, rows: int | None) -> None:
    """Look at the bytes of one file, which are those that its digest promises, before they are decoded: its columns,
    its rows (null: as many as it says), its size. Raises Unreadable or LimitHit when it is not to be."""
    try:
        footer = pq.read_metadata(pa.BufferReader(data))
        found = footer.schema.to_arrow_schema().remove_metadata()
        groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
        rows_total = sum(group.num_rows for group in groups)
        bytes_decoded = sum(group.total_byte_size for group in groups)
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"{name}: cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    if not found.equals(schema):
        raise Unreadable(f"{name}: not the columns that belong there")
    if footer.num_rows != rows_total or rows not in (None, rows_total):
        raise Unreadable(f"{name}: its footer says {footer.num_rows:,} rows, the manifest {rows or rows_total:,}")
    if rows_total > ALLOWANCE_ROWS + data.size // BYTES_A_ROW_MIN:
        raise LimitHit(f"{name}: {rows_total:,} rows in {data.size:,} bytes, which no segment holds")
    if not 0 <= bytes_decoded <= ALLOWANCE_BYTES + SHRINKS_TO_MAX * data.size:
        raise LimitHit(f"{name}: {bytes_decoded:,} bytes behind {data.size:,}, which no segment has")
