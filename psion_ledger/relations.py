"""A verified record as DuckDB relations: each event kind under its own name, and the views over them.

Sealed files are read through `log.verified` alone: what is decoded are the bytes that were hashed. Kinds of few rows
are tables in memory, for opening small files is what takes time; the others are scanned, hashed at each opening. SQL
that a person brings runs on a connection of its own, with every door of it closed.
"""

import re
from operator import itemgetter
from pathlib import Path
from typing import Any, get_args

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from psion_ledger import catalog, inventory, limits
from psion_ledger.errors import ContractRefused
from psion_ledger.events import EVENTS_VERSION, KINDS
from psion_ledger.log import columns, contract_files, files, verified
from psion_ledger.log.indexes import INDEXES
from psion_ledger.reading import LedgerFile, Record

SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "disabled_optimizers": "filter_pushdown,statistics_propagation",
    # Nothing of a record may spill to a folder that others read.
    "temp_directory": "",
}
# Opening a small file takes longer than reading it; larger relations are scanned, so that memory stays flat.
TABLE_ROWS_MAX = 20_000
TABLE_BYTES_MAX = 4 << 20
# Of a whole record: what views make of so much, positions of batches above all, fits in memory with ease.
SMALL_ROWS_MAX = 20_000
SMALL_BYTES_MAX = 1 << 20


def tail_table(record: Record, kind: str) -> pa.Table:
    """The unsealed events of one kind."""
    found = [tail.tables[kind] for tail in record.tails if kind in tail.tables]
    return pa.concat_tables([columns.schema(kind).empty_table(), *found])


def quoted(path: Path) -> str:
    """One file as SQL text. DuckDB takes a path for a pattern first, and as it is only where nothing matches."""
    literal = re.sub(r"[*?\[]", r"[\g<0>]", str(path))
    return "'" + literal.replace("'", "''") + "'"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Sealed files of one kind and version of the vocabulary, read whole or through a seq alone."""

    files: list[LedgerFile]
    events_version: int
    through_seq: int | None


def sealed_parts(record: Record, kind: str) -> list[Part]:
    """The sealed files of a kind that hold."""
    held = [f for f in record.files if f.kind == kind and f.holds]
    whole: dict[int, list[LedgerFile]] = {}
    for file in held:
        if file.through_seq is None:
            whole.setdefault(file.events_version, []).append(file)
    parts = [Part(files=found, events_version=version, through_seq=None) for version, found in sorted(whole.items())]
    cut = [f for f in held if f.through_seq is not None]
    return parts + [Part(files=[f], events_version=f.events_version, through_seq=f.through_seq) for f in cut]


def visible(kind: str) -> list[str]:
    """The columns of a kind that queries see."""
    return [name for name in columns.schema(kind).names if name != "durable_through"]


def _rows(source: verified.VerifiedFiles, found: list[LedgerFile], schema: pa.Schema) -> pa.Table | ds.Dataset:
    """Files of one schema: a table in memory, or a dataset to be scanned."""
    promised = [
        verified.Promised(path=f.path, sha256=f.sha256_expected, rows=f.rows or None, schema=schema) for f in found
    ]
    rows_total, bytes_total = (
        sum(sizes) for sizes in zip(*((f.rows, f.bytes_actual or 0) for f in found), strict=True)
    )
    small = rows_total <= TABLE_ROWS_MAX and bytes_total <= TABLE_BYTES_MAX
    return source.table(promised) if small else source.dataset(promised)


def _parts(
    source: verified.VerifiedFiles, record: Record, kind: str
) -> tuple[list[pa.Table], list[tuple[ds.Dataset, int]]]:
    """The events of one kind: what is in memory, and what is to be scanned, with its version of the vocabulary."""
    tables, datasets = [tail_table(record, kind)], list[tuple[ds.Dataset, int]]()
    for part in sealed_parts(record, kind):
        found = _rows(source, part.files, columns.schema(kind, part.events_version))
        chosen = found if part.through_seq is None else found.filter(pc.field("seq") <= part.through_seq)
        if isinstance(chosen, pa.Table):
            tables.append(columns.completed(kind, chosen, part.events_version))
        else:
            datasets.append((chosen, part.events_version))
    return tables, datasets


def _relate_kind(con: duckdb.DuckDBPyConnection, source: verified.VerifiedFiles, record: Record, kind: str) -> None:
    """One table, or a view that is made of relations without names: nothing but the kind can be listed or asked."""
    tables, datasets = _parts(source, record, kind)
    table = pa.concat_tables(tables).select(visible(kind))
    if not datasets:
        con.register(kind, table)
        return
    relation = con.from_arrow(table)
    for dataset, events_version in datasets:
        scanned = con.from_arrow(dataset)
        if (newer := columns.defaults(kind, events_version)).num_columns:
            scanned = scanned.cross(con.from_arrow(newer))
        relation = relation.union(scanned.select(*visible(kind)))
    relation.create_view(kind)


def contract_parts(record: Record, source: verified.VerifiedFiles) -> list[LedgerFile]:
    """The files of the contracts that have any, hashed like any file of the record. A list of files that none of ours
    is has none: a law of the contracts says so."""
    tables, datasets = _parts(source, record, "contract_declared")
    names = ["attempt", "rank", "seq", "stream", "contract_role", "document"]
    parts = [*(table.select(names) for table in tables), *(dataset.to_table(columns=names) for dataset, _ in datasets)]
    first: dict[str, dict[str, Any]] = {}
    for row in sorted(pa.concat_tables(parts).to_pylist(), key=itemgetter("attempt", "rank", "seq")):
        first.setdefault(row["contract_role"], row)
    found = list[LedgerFile]()
    for role in get_args(contract_files.FileContract):
        if (row := first.get(role)) is None:
            continue
        try:
            listed = contract_files.parts_of(role, row["document"])
        except ContractRefused:
            continue
        found += [_contract_file(record, role, row, part) for part in listed]
    return found


def _contract_file(record: Record, role: str, row: dict[str, Any], part: contract_files.Part) -> LedgerFile:
    bytes_actual, sha256_actual = files.measure(record.folder, part.path, part.bytes)
    return LedgerFile(
        path=part.path, entry=None, kind=role, stream=row["stream"], first_seq=row["seq"], last_seq=row["seq"],
        rows=part.rows, events_version=EVENTS_VERSION, bytes_expected=part.bytes, bytes_actual=bytes_actual,
        sha256_expected=part.sha256, sha256_actual=sha256_actual,
    )  # fmt: skip


def connect(record: Record, source: verified.VerifiedFiles, parts: list[LedgerFile]) -> duckdb.DuckDBPyConnection:
    """A connection that holds the event kinds, the indexes and the integrity relations, but no views yet.

    Raises Damaged, Unreadable or LimitHit for a file that is not to be decoded.
    """
    con = duckdb.connect(config=SETTINGS)
    # The rest is Python's and pyarrow's.
    con.execute(f"set memory_limit = '{limits.memory_bytes_max() * 6 // 10} B'")
    for kind in KINDS:
        _relate_kind(con, source, record, kind)
    for role, schema in INDEXES.items():
        index = [part for part in parts if part.kind == role]
        there = bool(index) and all(part.holds for part in index)
        con.register(role, _rows(source, index, schema) if there else schema.empty_table())
    for name, table in inventory.tables(record, parts).items():
        con.register(name, table)
    return con


def is_small(record: Record, parts: list[LedgerFile]) -> bool:
    """Whether the views over a record are made once, as tables."""
    found = [*record.files, *parts]
    rows_total = sum(file.rows for file in found) + sum(tail.events for tail in record.tails)
    return rows_total <= SMALL_ROWS_MAX and sum(file.bytes_actual or 0 for file in found) <= SMALL_BYTES_MAX


def create_views(con: duckdb.DuckDBPyConnection, views: list[catalog.Query], *, small: bool) -> None:
    """The views, in order. Over a small record each is made once, as a table: to bind a text with all the texts that it
    reads takes longer than to read the rows, as often as it is asked, and a second thread costs more than it does."""
    if small:
        con.execute("set threads = 1")
    for view in views:
        what = "table" if small or view.header.get("materialise") == "true" else "view"
        con.execute(f"create temp {what} {view.name} as {view.sql}")
