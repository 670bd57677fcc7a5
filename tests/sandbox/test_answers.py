"""SQL that anybody brings reads the run's relations: its rows, their names, order and types are those of DuckDB."""

from pathlib import Path

import duckdb
import pytest

from psion_ledger import open_run
from psion_ledger.ledger import Run
from tests.corpora import real_contracts
from tests.ledgers import RUN_ID, resumed_run, write_ledger

CONTRACTS = real_contracts()


def test_a_good_query_returns_exact_rows(run: Run) -> None:
    """Over a kind, a view and a rollup."""
    assert [(step, 5.5) for step in (1, 2, 3, 4)] == run.sql(
        "select step, loss_nats from train_steps order by step"
    ).fetchall()
    assert run.sql(
        "select split_name, source_family_id, loss_nats from final_split_loss order by all limit 2"
    ).fetchall() == [("held_out", "held_out_modules", 5.0005), ("train", "library_code", 5.0005)]
    assert run.sql("select step, first_position, end_position from batch_rollup order by step").fetchall() == [
        (1, 0, 8),
        (2, 8, 16),
        (3, 16, 24),
        (4, 24, 32),
    ]


@pytest.mark.parametrize("query", [
    "select count(*) from step_completed; -- with a comment",
    "\n\tselect count(*)\nfrom step_completed -- without a newline",
    "from step_completed select count(*)",
    "with x as (select * from step_completed) select count(*) from x",
    "(select count(*) from step_completed)",
    "select count(*) from step_completed where 'a;b' = 'a;b'",
    "select count(*) from (select 1 as \"copy\" from step_completed) as \"delete\"",
])  # fmt: skip
def test_one_select_may_be_spelled_as_one_likes(run: Run, query: str) -> None:
    """Four steps."""
    assert run.sql(query).fetchall() == [(4,)]


def test_relations_can_be_listed_and_described(run: Run) -> None:
    """As a person who looks around would."""
    names = {row[0] for row in run.sql("show tables").fetchall()}
    assert {"train_batches", "final_split_loss", "step_completed", "sequence_index"} <= names
    columns = {row[0]: row[1] for row in run.sql("describe train_steps").fetchall()}
    assert (columns["step"], columns["loss_nats"], columns["trace_sha256"]) == ("BIGINT", "DOUBLE", "BLOB")


def test_columns_keep_their_names_and_order(run: Run) -> None:
    """The second of one name is numbered, as DuckDB does."""
    assert run.sql("select 1 as b, 2 as a, 3 as a").columns == ["b", "a", "a_1"]
    rows = run.sql("select * from range(5000) order by range desc").fetchall()
    assert [(n,) for n in reversed(range(5000))] == rows


def test_the_sandbox_and_the_built_in_connection_hold_the_same(tmp_path: Path) -> None:
    """Every view of a resumed run, row by row."""
    write_ledger(tmp_path, resumed_run(CONTRACTS))
    from psion_ledger import catalog

    with open_run(tmp_path, RUN_ID) as opened:
        names = [view.name for view in catalog.views()]
        opened.relate(names)
        different = [
            name
            for name in names
            if sorted(map(repr, opened.con.sql(f"from {name}").fetchall()))
            != sorted(map(repr, opened.sql(f"from {name}").fetchall()))
        ]
    assert different == []


TYPES = [
    "1::hugeint", "5::uhugeint", "interval '3 months 2 days'", "'1010'::bit", "'12:00:00+02'::timetz", "null",
    "123456789012345678901234567890123456789012345::bignum", "union_value(x := 1)", "map {'a': 1}", "'NaN'::double",
    "1.5::decimal(38, 10)", "'\\xff'::blob", "timestamptz '2020-01-01'", "{'a': [1, null]}", "array_value(1, 2)",
    "'{}'::json", "'infinity'::timestamp", "timestamp_ns '2020-01-01'", "uuid '00000000-0000-0000-0000-00000000000a'",
]  # fmt: skip


@pytest.mark.parametrize("value", TYPES)
def test_a_value_comes_out_of_the_process_as_it_is(run: Run, value: str) -> None:
    """Its type, and what Python makes of it, are those of a query in one's own process."""
    here = duckdb.connect().sql(f"select {value} as x")
    assert here is not None
    there = run.sql(f"select {value} as x")
    assert (here.types, repr(here.fetchall())) == (there.types, repr(there.fetchall()))
