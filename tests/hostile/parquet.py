"""Parquet as somebody writes it who wants its reader to fall: bombs, lies, nests. Its manifest entry names it, digest
and all, so that nothing but what is inside can give it away."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from psion_ledger.digest import sha256_file
from psion_ledger.log import columns, manifest
from tests.laws.forging import entries, rewritten

MAGIC = b"PAR1"
MIB = 1 << 20


def kept_file(run: Path, kind: str) -> tuple[manifest.Entry, manifest.SegmentFile]:
    return next((entry, file) for entry in entries(run) for file in entry.files if file.kind == kind)


def planted(run: Path, kind: str, made: Path, rows: int | None = None) -> Path:
    """Put a file in the place of the first segment of a kind, and forge the manifest to match it; where it is now."""
    entry, old = kept_file(run, kind)
    digest = sha256_file(made).hex()
    name = f"{entry.stream}-{entry.first_seq:012}-{entry.last_seq:012}-{digest[:16]}.parquet"
    path = run / "segments" / kind / name
    (run / old.path).unlink()
    made.rename(path)
    new = manifest.SegmentFile(
        kind=kind, path=f"segments/{kind}/{name}", rows=old.rows if rows is None else rows,
        bytes=path.stat().st_size, sha256=digest,
    )  # fmt: skip
    forged = msgspec.structs.replace(entry, files=[new if file == old else file for file in entry.files])
    rewritten(run, [forged if other == entry else other for other in entries(run)])
    return path


def like(run: Path, kind: str) -> pa.Table:
    """The rows of the first segment of a kind."""
    return pq.ParquetFile(run / kept_file(run, kind)[1].path).read()


def with_document(table: pa.Table, document: pa.Array) -> pa.Table:
    """Contract declarations with these documents; the first row's other values in all of them."""
    rows = pa.concat_tables([table.slice(0, 1)] * len(document))
    return rows.set_column(rows.schema.get_field_index("document"), rows.schema.field("document"), document)


def write_bomb(path: Path, row: pa.Table, gibibytes: int = 10, megabytes_a_value: int = 16) -> int:
    """A file of kilobytes whose documents are so many GiB of nothing; how many rows it has."""
    values = 1024 // megabytes_a_value
    part = with_document(row, pa.array(["\0" * (megabytes_a_value * MIB)] * values))
    with pq.ParquetWriter(path, row.schema, compression="zstd", use_dictionary=False, write_statistics=False) as file:
        for _ in range(gibibytes):
            file.write_table(part)
    return gibibytes * values


def write_dictionary_bomb(path: Path, row: pa.Table, rows: int = 1024, megabytes_a_value: int = 10) -> int:
    """The same by a dictionary of one value: the footer counts it once."""
    indices = pa.array([0] * rows, pa.int32())
    document = pa.DictionaryArray.from_arrays(indices, pa.array(["\0" * (megabytes_a_value * MIB)]))
    fields = row.schema
    place = fields.get_field_index("document")
    plain = pa.concat_tables([row.slice(0, 1)] * rows)
    table = plain.set_column(place, fields.field(place).with_type(document.type), document)
    with pq.ParquetWriter(
        path, table.schema, compression="zstd", use_dictionary=True, dictionary_pagesize_limit=64 * MIB,
        write_statistics=False, store_schema=False,
    ) as file:  # fmt: skip
        file.write_table(table)
    return rows


def varint(number: int) -> bytes:
    """A Thrift compact integer: zigzag, seven bits a byte."""
    rest, out = number << 1, bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


def with_footer(data: bytes, change: dict[int, int]) -> bytes:
    """A Parquet file whose footer says other numbers."""
    length = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - length : -8]
    for old, new in change.items():
        assert varint(old) in footer, old
        footer = footer.replace(varint(old), varint(new))
    return data[: -8 - length] + footer + len(footer).to_bytes(4, "little") + MAGIC


def numbers(data: bytes) -> Iterator[int]:
    """The sizes that a footer claims for what its pages decode to."""
    footer = pq.read_metadata(pa.BufferReader(data))
    for group in map(footer.row_group, range(footer.num_row_groups)):
        yield group.total_byte_size
        for column in range(group.num_columns):
            yield group.column(column).total_uncompressed_size


def nested_schema(depth: int) -> bytes:
    """A file without a row whose one column is a group in a group in a group."""
    group = b"\x35\x00\x18\x01g\x15\x02\x00"  # repetition, name, one child
    leaf = b"\x15\x0c\x25\x00\x18\x01v\x00"  # type, repetition, name
    root = b"\x48\x01r\x15\x02\x00"
    elements = depth + 2
    size = bytes([0xFC]) + _plain_varint(elements)
    footer = b"\x15\x02\x19" + size + root + group * depth + leaf + b"\x16\x00\x19\x0c\x00"
    return MAGIC + footer + len(footer).to_bytes(4, "little") + MAGIC


def _plain_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def table_of(kind: str) -> pa.Table:
    """No row of a kind."""
    return columns.schema(kind).empty_table()
