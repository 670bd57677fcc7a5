"""A DuckDB file of views over a run's verified files, for any DuckDB client. It can be deleted and made again."""

import os
import time
from pathlib import Path

import duckdb
import pyarrow as pa

from psion_ledger import catalog, relations
from psion_ledger.errors import UsageError
from psion_ledger.events import KINDS
from psion_ledger.ledger import Run
from psion_ledger.log import columns
from psion_ledger.log.indexes import INDEXES

_TABLES = (
    *INDEXES,
    "ledger_files",
    "manifest_links",
    "stream_ranges",
    "journal_tails",
    "run_identity",
    "attempt_claims",
)


def write_catalog(run: Run, scratch: Path, path: Path) -> None:
    """Write the file at `scratch` and give it its name; refused when `path` exists. Views name the manifest's files by
    absolute path; the unsealed tail and the rollups are copied. `catalog_basis` says what was verified, and when:
    nothing after that moment is. Raises Damaged, UsageError.
    """
    try:
        with run.reading(), duckdb.connect(str(scratch), config=relations.SETTINGS) as con:
            _fill(con, run)
        os.link(scratch, path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        for leftover in (scratch, scratch.with_name(scratch.name + ".wal")):
            leftover.unlink(missing_ok=True)


def _fill(con: duckdb.DuckDBPyConnection, run: Run) -> None:
    for kind in KINDS:
        _copy(con, f"{kind}__tail", relations.tail_table(run.record, kind))
        for part in relations.sealed_parts(run.record, kind):
            if (newer := columns.defaults(kind, part.events_version)).num_columns:
                _copy(con, f"{kind}__since_{part.events_version}", newer)
        sources = [f"select * from {kind}__tail", *_sealed(run, kind)]
        union = " union all by name ".join(sources)
        visible = ", ".join(f'"{name}"' for name in relations.visible(kind))
        con.execute(f"create view {kind} as select {visible} from ({union})")
    for name in _TABLES:
        _copy(con, name, run.con.sql(f"select * from {name}").to_arrow_table())
    for view in catalog.views():
        if view.header.get("materialise") == "true":
            # Its rows are those of the bytes that this process verified.
            run.relate([view.name])
            _copy(con, view.name, run.con.sql(f"select * from {view.name}").to_arrow_table())
        else:
            con.execute(f"create view {view.name} as {view.sql}")
    run.record.require_unchanged()
    basis = {
        "run_id": [run.run_id],
        "basis_entries": [len(run.record.manifest.entries)],
        "basis_head": [run.record.manifest.head().hex()],
        "written_at_ns": [time.time_ns()],
        "note": ["verified when written; unverified after that moment"],
    }
    _copy(con, "catalog_basis", pa.table(basis))


def _sealed(run: Run, kind: str) -> list[str]:
    """SQL that scans the sealed files of a kind by their absolute paths."""
    folder = run.record.folder.absolute()
    return [
        f"select * from read_parquet([{', '.join(relations.quoted(folder / f.path) for f in part.files)}])"
        + (f", {kind}__since_{part.events_version}" if columns.defaults(kind, part.events_version).num_columns else "")
        + ("" if part.through_seq is None else f" where seq <= {part.through_seq}")
        for part in relations.sealed_parts(run.record, kind)
    ]


def _copy(con: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    con.register("copied", table)
    con.execute(f"create table {name} as select * from copied")
    con.unregister("copied")
