"""A run's relations copied into tables of their own, so that a test can empty one or put a NULL into it."""

from pathlib import Path

import duckdb
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from psion_ledger import catalog, evidence, heads
from psion_ledger.auditing import provide
from psion_ledger.events import KINDS
from psion_ledger.ledger import Run
from psion_ledger.log.indexes import INDEXES
from psion_ledger.reading import Record, read
from psion_ledger.witness import Kept, keep
from tests.ledgers import RUN_ID

OF_THE_RECORD = frozenset(
    (
        *INDEXES, "ledger_files", "manifest_links", "stream_ranges", "journal_tails", "unnamed_segments",
        "attempt_faults", "attempt_claims", "run_identity",
    )
)  # fmt: skip
VIEWS = frozenset(view.name for view in catalog.views())
EVIDENCE = frozenset(evidence.RELATIONS)
RECORDED = frozenset(KINDS) | OF_THE_RECORD | VIEWS


def kept(record: Record) -> Kept:
    """The head of a record as it is now, signed with a key that nobody else has."""
    key = Ed25519PrivateKey.generate()
    name = heads.origin(record.claim.run_id, record.claim.nonce)
    head = heads.Head(origin=name, size=len(record.manifest.entries), root=record.manifest.head())
    return keep(heads.sign(head, key), key.public_key())


class Copies:
    """Every relation of one run, all of its evidence at hand. Owns a DuckDB connection; close it."""

    def __init__(self, folder: Path, artifacts: Path) -> None:
        self.record = read(folder)
        self.artifacts = artifacts
        self._run = Run(self.record)
        self._run.relate(VIEWS)
        made: dict[str, evidence.NotAtHand | None] = {}
        corpus = artifacts / RUN_ID / "corpus"
        provide(
            self._run,
            EVIDENCE,
            evidence.Sources(artifacts=artifacts, corpus=corpus, kept=kept(self.record), deep=True),
            made,
        )
        assert set(made.values()) == {None}, "all evidence is at hand"
        for name in RECORDED | EVIDENCE:
            self._run.con.execute(f"create table {name}__copy as select * from {name}")

    def connect(self, names: frozenset[str]) -> duckdb.DuckDBPyConnection:
        """A connection to the copies, these under their own names. What it replaces, no other one sees."""
        con = self._run.con.cursor()
        for name in names:
            restore(con, name)
        return con

    def close(self) -> None:
        self._run.close()


class CopiedRun(Run):
    """A run that is read from copies, of which some were replaced; the evidence is made from them anew."""

    def __init__(self, copies: Copies, con: duckdb.DuckDBPyConnection) -> None:
        super().__init__(copies.record)
        # As if it had been opened: a connection, without a sequence index to look at, and no fault.
        self.__dict__.update(_connection=con, _contract_parts=[], faults=[])

    def relate(self, words: object) -> None:
        """Every view is there already."""


# Promises that the copied runs did not make, for laws that apply to those who made them.
PROMISES = {
    "unrepeated_orders": "select 'derived' as order_kind, 'another' as order_name, null::bigint as pass_sequences",
    "window_plans": "select 'window' as unit, 16::bigint as sequence_tokens",
    "planned_skips": "select 9::bigint as before_step, 4::bigint as sequences",
}


def promise(con: duckdb.DuckDBPyConnection, law: catalog.Query) -> None:
    """Make the copies a run to which the law applies."""
    if (name := law.header.get("applies", "")) in PROMISES:
        con.execute(f"create or replace temp view {name} as {PROMISES[name]}")


def columns(con: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    return [row[0] for row in con.execute(f"describe {name}__copy").fetchall()]


def count(con: duckdb.DuckDBPyConnection, name: str) -> int:
    (row,) = con.execute(f"select count(*) from {name}__copy").fetchall()
    return int(row[0])


def restore(con: duckdb.DuckDBPyConnection, name: str) -> None:
    con.execute(f"create or replace temp view {name} as select * from {name}__copy")


def empty(con: duckdb.DuckDBPyConnection, name: str) -> None:
    con.execute(f"create or replace temp view {name} as select * from {name}__copy where false")


def put_null(con: duckdb.DuckDBPyConnection, name: str, column: str, row: int) -> None:
    value = f'case when rowid = {row} then null else "{column}" end as "{column}"'
    con.execute(f"create or replace temp view {name} as select * replace ({value}) from {name}__copy")


def reads(con: duckdb.DuckDBPyConnection, law: catalog.Query, name: str, column: str) -> bool:
    """Whether the law's own SQL reads this column: without it, the SQL does not bind."""
    renamed = f'select * rename ("{column}" as column_that_is_gone) from {name}__copy'
    con.execute(f"create or replace temp view {name} as {renamed}")
    try:
        con.execute(law.sql)
    except duckdb.BinderException:
        return True
    finally:
        restore(con, name)
    return False
