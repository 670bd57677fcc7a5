"""A DuckDB file of views over a run's verified files, for any DuckDB client. It can be deleted and made again."""

import os
import time
from pathlib import Path

import duckdb
import pyarrow as pa

from psion_ledger import catalog, relations
from psion_ledger.errors import UsageError
from psion_ledger.events import KINDS
from psion_ledger.ledger import Run, cannot_decide
from psion_ledger.log import columns


def write_catalog(run: Run, path: Path) -> None:
    """Write the file; refused when `path` exists. Views name the manifest's files by absolute path; the unsealed
    tail and the rollups are copied. `catalog_basis` says what was verified, and when: nothing after that moment is.
    """
    if path.exists():
        raise UsageError(f"{path} exists: delete it first, it can always be made again")
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with cannot_decide(run.record), duckdb.connect(str(scratch), config=relations.SETTINGS) as con:
            _fill(con, run)
        os.link(scratch, path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        for leftover in (scratch, scratch.with_name(scratch.name + ".wal")):
            leftover.unlink(missing_ok=True)


def _fill(con: duckdb.DuckDBPyConnection, run: Run) -> None:
    for kind in KINDS:
        con.register("tail", relations.tail_table(run.record, kind))
        con.execute(f"create table {kind}__tail as select * from tail")
        con.unregister("tail")
        names = ", ".join(f'"{name}"' for name in columns.schema(kind).names if name != "durable_through")
        sources = [f"select * from {kind}__tail", *relations.native_sources(run.record, kind)]
        con.execute(f"create view {kind} as select {names} from ({' union all by name '.join(sources)})")
    _copy(con, "sequence_index", run.con.sql("select * from sequence_index").to_arrow_table())
    for name in ("ledger_files", "manifest_links", "stream_ranges", "journal_tails", "run_identity"):
        _copy(con, name, run.con.sql(f"select * from {name}").to_arrow_table())
    for view in catalog.views():
        what = "table" if view.header.get("materialise") == "true" else "view"
        con.execute(f"create {what} {view.name} as {view.sql}")
    basis = {
        "run_id": [run.run_id],
        "basis_entries": [len(run.record.manifest.entries)],
        "basis_head": [run.record.manifest.head().hex()],
        "written_at_ns": [time.time_ns()],
        "note": ["verified when written; unverified after that moment"],
    }
    _copy(con, "catalog_basis", pa.table(basis))


def _copy(con: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    con.register("copied", table)
    con.execute(f"create table {name} as select * from copied")
    con.unregister("copied")
