"""What DuckDB must not get wrong on the ledger's own files: NULLs, NaN, digests, and views over Parquet or Arrow.

DuckDB 2.0 answers `is null` wrongly on a plain column whose statistics show one value and some nulls, and `isnan` on
a float column with statistics; the files are written and the connections set so that neither can happen.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from psion_ledger import catalog, relations
from psion_ledger.digest import sha256
from psion_ledger.events import KINDS
from psion_ledger.log import columns
from psion_ledger.log.indexes import INDEXES
from psion_ledger.log.segment import parquet_bytes
from psion_ledger.log.verified import VerifiedFiles
from psion_ledger.reading import read
from tests.suites import sampled

ROWS = 6
NULLABLE = [(kind, field.name) for kind in KINDS for field in columns.schema(kind) if field.nullable]


def constant(kind: pa.DataType) -> Any:
    """One value of a type, the same in every row."""
    if pa.types.is_list(kind):
        return [constant(kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: constant(field.type) for field in kind}
    if pa.types.is_fixed_size_binary(kind):
        return sha256(b"constant")
    return {pa.string(): "same", pa.int64(): 7, pa.float64(): 0.5, pa.bool_(): True}[kind]


def segment(path: Path, kind: str, values: dict[str, list[Any]]) -> Path:
    """A segment of six events, written as sealing writes it; columns that are not given are constant."""
    arrays = [
        pa.array(values.get(field.name, [constant(field.type)] * ROWS), field.type) for field in columns.schema(kind)
    ]
    path.write_bytes(parquet_bytes(pa.table(arrays, schema=columns.schema(kind))))
    return path


def counted(path: Path, condition: str) -> int:
    """How many rows of a segment the laws' connection finds."""
    with duckdb.connect(config=relations.SETTINGS) as con:
        (row,) = con.execute(f"select count(*) from read_parquet('{path}') where {condition}").fetchall()
    return int(row[0])


BESIDE = [(*column, nulls) for column in NULLABLE for nulls in (1, ROWS - 1, ROWS)]


@pytest.mark.parametrize(("kind", "column", "nulls"), sampled(BESIDE, 4, lambda case: "-".join(map(str, case))))
def test_nulls_beside_one_value_are_seen(tmp_path: Path, kind: str, column: str, nulls: int) -> None:
    """A nullable column of a sealed file holds one value, or none, and some nulls."""
    value = constant(columns.schema(kind).field(column).type)
    path = segment(tmp_path / "s.parquet", kind, {column: [None] * nulls + [value] * (ROWS - nulls)})
    found = [counted(path, f'"{column}" is {word}') for word in ("null", "not null", "distinct from null")]
    assert found == [nulls, ROWS - nulls, ROWS - nulls]


@pytest.mark.parametrize("name", ["total_memory_bytes", "free_memory_bytes", "topology_key"])
def test_nulls_inside_a_list_are_seen(tmp_path: Path, name: str) -> None:
    """A field of a device that is known in one row and not in the others."""
    device = constant(columns.schema("attempt_started").field("devices").type)[0]
    devices = [[device]] + [[{**device, name: None}]] * (ROWS - 1)
    path = segment(tmp_path / "s.parquet", "attempt_started", {"devices": devices})
    unnested = f"list_contains(list_transform(devices, lambda d: d.{name} is null), true)"
    assert counted(path, unnested) == ROWS - 1


FLOATS = [(kind, f.name) for kind in KINDS for f in columns.schema(kind) if pa.types.is_floating(f.type)]


@pytest.mark.parametrize(("kind", "column"), FLOATS, ids=lambda part: str(part))
def test_a_number_that_is_none_is_seen(tmp_path: Path, kind: str, column: str) -> None:
    """NaN and infinities stand among finite losses, and comparisons do not lose them."""
    values = [0.5, math.nan, 1.5, math.inf, -math.inf, 0.5]
    path = segment(tmp_path / "s.parquet", kind, {column: values})
    conditions = (f"isnan({column})", f"not isfinite({column})", f"isinf({column})", f"{column} = 0.5", f"{column} > 1")
    # NaN is the greatest number of DuckDB's order, as of PostgreSQL's.
    assert [counted(path, condition) for condition in conditions] == [1, 3, 2, 2, 3]


def test_digests_compare_and_join_as_bytes(tmp_path: Path) -> None:
    """Digests are found by equality and by a join, with zero bytes and high bytes in them."""
    digests = [bytes(32), b"\xff" * 32, sha256(b"a"), sha256(b"b"), sha256(b"a"), bytes(31) + b"\x01"]
    one = segment(tmp_path / "one.parquet", "checkpoint_promoted", {"object_sha256": digests})
    other = segment(tmp_path / "other.parquet", "checkpoint_loaded", {"object_sha256": digests[::-1]})
    with duckdb.connect(config=relations.SETTINGS) as con:
        equal = [
            con.execute(f"select count(*) from read_parquet('{one}') where object_sha256 = ?", [digest]).fetchall()
            for digest in digests
        ]
        joined = con.execute(
            f"select count(*) from read_parquet('{one}') as a join read_parquet('{other}') as b "
            "on a.object_sha256 = b.object_sha256"
        ).fetchall()
        shown = con.execute(f"select lower(hex(object_sha256)) from read_parquet('{one}')").fetchall()
    assert [row[0][0] for row in equal] == [1, 1, 2, 1, 2, 1]
    assert joined == [(8,)]
    assert [row[0] for row in shown] == [digest.hex() for digest in digests]


@pytest.fixture(
    scope="module", params=[*(pytest.param(name, marks=pytest.mark.slow) for name in ("good", "two_ranks")), "resumed"]
)
def both(request: pytest.FixtureRequest) -> Iterator[tuple[duckdb.DuckDBPyConnection, duckdb.DuckDBPyConnection]]:
    """The same record with sealed files and views in tables, and as datasets that are scanned through views."""
    record = read(request.getfixturevalue(request.param))
    parts = relations.contract_parts(record, VerifiedFiles(record.folder))
    tables = relations.connect(record, VerifiedFiles(record.folder), parts)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(relations, "TABLE_ROWS_MAX", -1)
        datasets = relations.connect(record, VerifiedFiles(record.folder), parts)
    for con, small in ((tables, True), (datasets, False)):
        relations.create_views(con, list(catalog.views()), small=small)
    yield tables, datasets
    tables.close()
    datasets.close()


@pytest.mark.parametrize("name", [*KINDS, *INDEXES, *(view.name for view in catalog.views())])
def test_a_relation_is_the_same_in_tables_and_when_scanned(
    both: tuple[duckdb.DuckDBPyConnection, duckdb.DuckDBPyConnection], name: str
) -> None:
    """Names, types and rows of every event kind and every view."""
    tables, datasets = (_table(con, name) for con in both)
    assert tables == datasets


def _table(con: duckdb.DuckDBPyConnection, name: str) -> tuple[list[tuple[str, str]], list[str]]:
    described = [(row[0], row[1]) for row in con.execute(f"describe {name}").fetchall()]
    return described, sorted(map(repr, con.execute(f"select * from {name}").fetchall()))


def test_the_relations_of_a_good_run_are_not_all_empty(
    both: tuple[duckdb.DuckDBPyConnection, duckdb.DuckDBPyConnection],
) -> None:
    """What is compared above is there: only kinds that a good run does not have are empty."""
    names = [*KINDS, *(view.name for view in catalog.views())]
    empty = {name for name in names if both[0].execute(f"select 1 from {name} limit 1").fetchall() == []}
    # And every row of the last one would be a finding.
    absent = {"batch_skipped", "stage_advanced", "checkpoint_removed", "gap_recorded", "undrawn_steps"}
    # It skipped nothing, planned no skip, gave all positions, and its order may repeat.
    absent |= {
        "skipped_batches",
        "skips_before",
        "planned_skips",
        "counted_positions",
        "unrepeated_orders",
        "equal_checkpoints",
        "base_checkpoint",
        "bases_of_runs",
        # Its sequences are no windows.
        "window_plans",
        "window_documents",
        "indexed_documents",
    }
    perhaps = {"checkpoint_loaded", "many_ranks", "stream_pins"}
    assert empty - perhaps == absent
