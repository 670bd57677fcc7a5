"""Rows for people: whole in a pipe, cut at a terminal's edge, never broken inside a word; and what a listing lists."""

import io
import os
import pty
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from psion_ledger import catalog, open_run
from psion_ledger.cli import app
from psion_ledger.errors import QueryRefused
from psion_ledger.events import KINDS
from psion_ledger.log.indexes import INDEXES
from psion_ledger.report import rows as printing
from tests.cli import FIXTURE, FIXTURE_LEDGER, ROOT

# Longer than any cell that is aligned.
LONG = "select repeat('word ', 600) as words, 1 as number"


def query(*words: str) -> list[str]:
    done = CliRunner().invoke(app, ["query", FIXTURE, *words, "--ledger", str(FIXTURE_LEDGER)])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_a_pipe_gets_every_cell_whole() -> None:
    """Two lines: the names, and the row."""
    lines = query(LONG)
    assert (len(lines), lines[1].startswith("word " * 600), lines[1].endswith("1")) == (2, True, True)


def test_a_terminal_gets_what_fits_and_hears_what_does_not() -> None:
    """A real one of 80 columns: whole numbers, cut texts, and on stderr the names of the columns that are left out."""
    shown = in_terminal(["query", FIXTURE, "select * from train_steps limit 2", "--ledger", str(FIXTURE_LEDGER)], 80)
    *table, notice = [line for line in shown.splitlines() if line.strip()]
    with open_run(FIXTURE_LEDGER, FIXTURE) as run:
        relation = run.sql("select * from train_steps limit 2")
        names, rows = relation.columns, relation.fetchall()
    kept = table[0].split()
    left_out = [name for name in names if name not in kept]
    assert notice == f"{len(left_out)} of {len(names)} columns do not fit the terminal: {', '.join(left_out)}"
    assert (len(table), kept, left_out != []) == (3, [name for name in names if name in kept], True)
    for line, row in zip(table[1:], rows, strict=True):
        for cell, name in zip(line.split(), kept, strict=True):
            whole = printing.shown(row[names.index(name)])
            assert cell == whole or (name == "trace_sha256" and cell[-1] == "\u2026" and whole.startswith(cell[:-1]))
    assert max(map(len, table)) <= 80


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
    return unstyled(data.decode())


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        return unstyled(self.getvalue()).splitlines()


def unstyled(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


@contextmanager
def screen(monkeypatch: pytest.MonkeyPatch, columns: int = 40) -> Iterator[Screen]:
    monkeypatch.setenv("COLUMNS", str(columns))
    with redirect_stdout(Screen()) as made:
        yield made


def test_numbers_stand_to_the_right_and_texts_to_the_left(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever type a database gives a number; a truth value and an absent one are none."""
    rows: list[list[Any]] = [
        [1, Decimal("1.50"), 0.5, "a", True],
        [22, Decimal("10.25"), None, "bb ", False],
        [-1, None, float("nan"), "c", None],
    ]
    printing.print_rows(["n", "d", "f", "t", "b"], rows)
    assert capsys.readouterr().out.splitlines() == [
        " n      d    f  t    b",
        " 1   1.50  0.5  a    True",
        "22  10.25    -  bb   False",
        "-1      -  NaN  c    -",
    ]


def test_on_a_terminal_texts_are_cut_and_numbers_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The widest texts give way, all to one width; wide characters count twice."""
    with screen(monkeypatch, 50) as made:
        left_out = printing.print_rows(
            ["id", "words", "n", "name"],
            [[7, "a long text of many words", 1234567890123, "x"], [8, "\u65e5\u672c\u8a9e" * 9, 12, "y" * 30]],
        )
    assert left_out == []
    # The gaps and the numbers leave 29 columns to two texts.
    assert made.lines == [
        "id  words                       n  name",
        " 7  a long text o\u2026  1234567890123  x",
        " 8  \u65e5\u672c\u8a9e\u65e5\u672c\u8a9e \u2026             12  yyyyyyyyyyyyy\u2026",
    ]


def test_columns_that_do_not_fit_are_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the middle, as people look at both ends; never a part of a number, and never every column."""
    names = [f"number_{place}" for place in range(9)]
    with screen(monkeypatch, 44) as made:
        assert printing.print_rows(names, [[10**12 + place for place in range(9)]]) == names[2:-1]
    assert [line.split() for line in made.lines] == [
        [names[0], names[1], names[8]], ["1000000000000", "1000000000001", "1000000000008"],
    ]  # fmt: skip
    with screen(monkeypatch, 20) as made:
        assert printing.print_rows(["huge", "next"], [[10**60, 1]]) == ["next"]
        assert printing.print_rows([], []) == []
    assert made.lines[1].strip() == str(10**60)


def test_a_huge_cell_is_whole_in_a_pipe_and_widens_no_other_row(capsys: pytest.CaptureFixture[str]) -> None:
    """A hostile text of a megabyte is printed once, not once a row."""
    printing.print_rows(["text", "n"], [["x" * 1_000_000, 1], *(["y", n] for n in range(100))])
    lines = capsys.readouterr().out.splitlines()
    assert (lines[1], max(map(len, lines[2:]))) == (f"{'x' * 1_000_000}   1", 404)


def test_a_listing_keeps_its_names_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """And wraps what it says of them between words."""
    said = "It says that every word of it is whole."
    with screen(monkeypatch) as made:
        printing.print_entries(["name", "about"], [["a_rather_long_name", said]])
    assert max(map(len, made.lines)) <= 40
    assert made.lines[1].startswith("a_rather_long_name  It says")
    assert " ".join(line[20:].strip() for line in made.lines[1:]) == said


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


def test_a_refusal_is_short() -> None:
    """Sixty candidates, or a value of the record that is quoted, are cut; it is one line, and no tabulator is left."""
    with open_run(FIXTURE_LEDGER, FIXTURE) as run:
        for sql in ("select 'a' + 1::int[]", "select error(repeat('x', 100000))",
                    "select cast(document as int) from contract_declared"):  # fmt: skip
            with pytest.raises(QueryRefused) as refused:
                run.sql(sql)
            message = str(refused.value)
            assert (len(message) < 1100, "more" in message[-30:], set("\n\t") & set(message)) == (True, True, set())


def test_tables_are_listed_without_those_they_are_made_of() -> None:
    """Every event kind and view is there, and nothing of ours."""
    with open_run(FIXTURE_LEDGER, FIXTURE) as run:
        names = {name for (name,) in run.sql("SHOW TABLES;").fetchall()}
    assert {name for name in names if "__" in name} == set()
    assert names >= {*KINDS, *(view.name for view in catalog.views()), *INDEXES}
