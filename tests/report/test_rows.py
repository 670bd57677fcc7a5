"""Rows for people: whole in a pipe, cut at a terminal's edge, never broken inside a word; and what a listing lists."""

import os
import pty
import re
import sys

from typer.testing import CliRunner

from psion_ledger import catalog, open_run
from psion_ledger.cli import app
from psion_ledger.events import KINDS
from tests.cli import FIXTURE, FIXTURE_LEDGER, ROOT

LONG = "select repeat('word ', 60) as words, 1 as number"


def query(*words: str) -> list[str]:
    done = CliRunner().invoke(app, ["query", FIXTURE, *words, "--ledger", str(FIXTURE_LEDGER)])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_a_pipe_gets_every_cell_whole() -> None:
    """Two lines: the names, and the row."""
    lines = query(LONG)
    assert (len(lines), lines[1].startswith("word " * 60), lines[1].endswith("1")) == (2, True, True)


def test_a_terminal_cuts_a_cell_at_its_edge() -> None:
    """Of 60 columns, through a real pseudo-terminal."""
    shown = in_terminal(["query", FIXTURE, LONG, "--ledger", str(FIXTURE_LEDGER)], columns=60)
    lines = [line for line in shown.splitlines() if line.strip()]
    assert len(lines) == 2
    assert max(map(len, lines)) <= 60
    assert "\u2026" in lines[1]


def in_terminal(words: list[str], columns: int) -> str:
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["COLUMNS"] = str(columns)
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "psion_ledger", *words])
    data = b""
    while True:
        try:
            part = os.read(fd, 4096)
        except OSError:
            break
        if not part:
            break
        data += part
    os.waitpid(pid, 0)
    return re.sub(r"\x1b\[[0-9;]*m", "", data.decode())


def test_a_long_answer_is_limited_with_a_notice() -> None:
    """A thousand rows of a table, or as many as are asked for; machines get all of them."""
    runner = CliRunner()
    ask = ["query", FIXTURE, "select range as n from range(1200)", "--ledger", str(FIXTURE_LEDGER)]
    told = runner.invoke(app, ask)
    assert (len(told.stdout.splitlines()), told.stderr) == (
        1001,
        "the first 1,000 of 1,200 rows: --limit prints more\n",
    )
    assert len(runner.invoke(app, [*ask, "--limit", "3"]).stdout.splitlines()) == 4
    assert len(runner.invoke(app, [*ask, "--format", "csv"]).stdout.splitlines()) == 1201


def test_a_misspelt_name_gets_the_proposals_of_the_database() -> None:
    """Columns and tables; in one line on stderr, and nothing on stdout."""
    runner = CliRunner()
    for sql, proposal in (("select stepp from train_steps", '"step"'), ("select * from train_stepz", '"train_steps"')):
        done = runner.invoke(app, ["query", FIXTURE, sql, "--ledger", str(FIXTURE_LEDGER)])
        assert (done.exit_code, done.stdout, len(done.stderr.splitlines()), proposal in done.stderr) == (2, "", 1, True)


def test_tables_are_listed_without_those_they_are_made_of() -> None:
    """Every event kind and view is there, and nothing of ours."""
    with open_run(FIXTURE_LEDGER, FIXTURE) as run:
        names = {name for (name,) in run.sql("SHOW TABLES;").fetchall()}
    assert {name for name in names if "__" in name} == set()
    assert names >= {*KINDS, *(view.name for view in catalog.views()), "sequence_index"}


def test_a_loss_in_nats_is_a_mean_everywhere() -> None:
    """In every relation that has a mean and its sum; a sum is never called by the mean's name."""
    with open_run(FIXTURE_LEDGER, FIXTURE) as run:
        columns = {
            name: [row[0] for row in run.sql(f"describe {name}").fetchall()]
            for name in [*KINDS, *(view.name for view in catalog.views())]
        }
        assert [name for name, own in columns.items() if "loss" in own] == []
        means = {name: own for name, own in columns.items() if "loss_nats" in own}
        assert {"train_steps", "final_split_loss", "losses"} <= means.keys()
        for name in means:
            (most,) = run.sql(f"select max(loss_nats) from {name}").fetchall()
            # A sum over a batch or a set is hundreds of times as large.
            assert most[0] < 20, name
        (final,) = run.sql(
            "select count(*) from final_split_loss where abs(loss_nats - loss_sum_nats / target_tokens) > 1e-6"
        ).fetchall()
        assert final == (0,)
