"""One name, one meaning, in every event kind, view and report."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from psion_ledger import catalog, open_run
from psion_ledger.events import KINDS
from psion_ledger.ledger import Run
from psion_ledger.log.indexes import INDEXES
from tests.cli import FIXTURE, FIXTURE_LEDGER

RELATIONS = [*KINDS, *(view.name for view in catalog.views())]
REPORTS = {report.name: report.sql for report in catalog.load("reports")}
SCALES = {"loss_sum_nats": "", "loss_sum_nanonats": "::double / 1e9"}
DIVISORS = {"loss_divisor", "target_tokens"}


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with open_run(FIXTURE_LEDGER, FIXTURE) as opened:
        yield opened


def columns(run: Run, relation: str) -> list[str]:
    return [row[0] for row in run.sql(f"describe {relation}").fetchall()]


def test_a_loss_has_a_unit_and_says_whether_it_is_a_sum(run: Run) -> None:
    """No other name for one is used anywhere: a new one must be put in this table, and mean something of its own."""
    found = {name: columns(run, name) for name in RELATIONS}
    found |= {name: [str(column[0]) for column in run.sql(sql).description] for name, sql in REPORTS.items()}
    losses = {(name, column) for name, own in found.items() for column in own if "loss" in column or "nats" in column}
    assert losses == {
        ("step_completed", "loss_sum_nats"), ("step_completed", "loss_nats"), ("step_completed", "loss_divisor"),
        ("train_steps", "loss_sum_nats"), ("train_steps", "loss_nats"), ("train_steps", "loss_divisor"),
        ("step_losses", "loss_nats"), ("split_loss_measured", "loss_sum_nanonats"),
        ("measurements", "loss_nats"), ("measurements", "loss_sum_nanonats"),
        ("first_measurements", "loss_nats"), ("first_measurements", "loss_sum_nanonats"),
        ("measured_checkpoints", "loss_nats"), ("final_split_loss", "loss_nats"),
        ("final_split_loss", "loss_sum_nanonats"), ("losses", "loss_nats"), ("losses", "loss_sum_nats"),
        ("run_line", "losses"), ("splits", "loss_nats"),
        # What the sum is divided by, in words: the plan's choice.
        ("sampling_plan", "loss_divisor"), ("target_divisors", "loss_divisor"),
    }  # fmt: skip


def one(run: Run, sql: str) -> tuple[Any, ...]:
    (row,) = run.sql(sql).fetchall()
    assert isinstance(row, tuple)
    return row


def test_a_mean_is_the_sum_over_its_tokens(run: Run) -> None:
    """In every row of every relation that has both and a divisor; the fixture was trained by one rank."""
    checked = set()
    for name in RELATIONS:
        own = columns(run, name)
        sums = [column for column in own if column.startswith("loss_sum_")]
        for column, divisor in itertools.product(sums, DIVISORS & set(own) if "loss_nats" in own else ()):
            rows, wrong = one(
                run,
                f"select count(*), count(*) filter (abs(loss_nats * {divisor} / ({column}{SCALES[column]}) - 1) > 1e-6)"
                f" from {name}",
            )
            assert (rows > 0, wrong) == (True, 0), (name, column, divisor)
            checked.add((name, column, divisor))
    assert checked == {
        ("step_completed", "loss_sum_nats", "loss_divisor"),
        ("step_completed", "loss_sum_nats", "target_tokens"),
        ("train_steps", "loss_sum_nats", "loss_divisor"),
        ("train_steps", "loss_sum_nats", "target_tokens"),
        ("measurements", "loss_sum_nanonats", "target_tokens"),
        ("first_measurements", "loss_sum_nanonats", "target_tokens"),
        ("final_split_loss", "loss_sum_nanonats", "target_tokens"),
    }


def test_the_loss_of_a_step_is_the_one_that_its_trainer_reports(run: Run) -> None:
    """Ours is made of the ranks' sums and the divisor that they used, theirs stands in each rank's event."""
    equal = "count(*) filter (abs(s.loss_nats / t.loss_nats - 1) < 1e-6)"
    counted = f"select count(*), {equal} from step_losses as s join train_steps as t on t.step = s.step"
    assert one(run, counted) == (40, 40)


def test_the_loss_of_a_checkpoint_is_that_of_its_measurements(run: Run) -> None:
    """The promoted weights', split by split: the sums over the families, by their target tokens."""
    own = run.sql(
        "select m.split_name, m.loss_nats from measured_checkpoints as m join promoted_checkpoint as p "
        "on p.checkpoint_id = m.checkpoint_id order by 1"
    ).fetchall()
    parts = run.sql(
        "select split_name, sum(loss_nats * target_tokens) / sum(target_tokens) from final_split_loss group by 1 "
        "order by 1"
    ).fetchall()
    assert [name for name, _ in own] == ["held_out", "train", "validation"]
    assert own == [(name, pytest.approx(loss)) for name, loss in parts]


def test_the_losses_view_has_the_means_of_its_parts(run: Run) -> None:
    """It has no divisor of its own: a step's is in train_steps, a measurement's is its target tokens."""
    parts = (
        "select seq, loss_nats from train_steps union all "
        "select seq, loss_sum_nanonats / 1e9 / target_tokens from measurements order by all"
    )
    found = run.sql("select seq, loss_nats from losses order by all").fetchall()
    assert len(found) > 0
    assert found == run.sql(parts).fetchall()


def test_no_listing_names_what_a_relation_is_made_of(run: Run) -> None:
    """However one asks; the only other name is that of the answer itself, while it is made."""
    for sql in (
        "show tables", "show tables -- x", "from (show tables)", "select name from (show all tables)",
        "select table_name from information_schema.tables where table_schema = 'main'",
        "select view_name from duckdb_views() where not internal", "select name from sqlite_master",
        "select distinct table_name from duckdb_columns() where not internal",
    ):  # fmt: skip
        names = {name for (name,) in run.sql(sql).fetchall()}
        assert (sql, {name for name in names if "__" in name} - {"query_result__"}) == (sql, set())
        assert names >= {*KINDS, *INDEXES}, sql
