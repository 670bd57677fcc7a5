"""Rows of a query for people: as wide as the terminal, cut at its edge; whole where nobody's terminal is."""

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from psion_ledger import catalog
from psion_ledger.errors import QueryRefused
from psion_ledger.events import KINDS
from psion_ledger.report.machine import jsonable
from psion_ledger.report.terminal import console, text

ROWS_SHOWN_MAX = 1000
# Wider than any table: a pipe or a file has no edge.
_UNBOUNDED_COLUMNS = 1 << 20


def print_rows(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A plain table, numbers to the right. On a terminal a long cell is cut, never wrapped inside a word."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, name in enumerate(names):
        numeric = any(_is_number(row[place]) for row in rows)
        table.add_column(text(name), overflow="ellipsis", no_wrap=True, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(text(shown(value)) for value in row))
    _console().print(table)


def _console() -> Console:
    made = console()
    made.width = Console().width if sys.stdout.isatty() else _UNBOUNDED_COLUMNS
    return made


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """A value as a table shows it."""
    flat = jsonable(value)
    return "-" if flat is None else str(flat)


def named_query(name: str) -> str:
    """The SQL of a report query; raises QueryRefused for a name that there is not."""
    known = {query.name: query.sql for query in catalog.load("reports")}
    if name not in known:
        raise QueryRefused(f"no report @{name}; there is {', '.join('@' + known_name for known_name in sorted(known))}")
    return known[name]


def relation_lines() -> list[list[str]]:
    """What `query` can read: reports, views, event kinds."""
    reports = [[f"@{q.name}", q.header["about"]] for q in catalog.load("reports")]
    views = sorted([view.name, view.header["about"]] for view in catalog.views())
    kinds = [[kind, f"every {kind} event, as recorded"] for kind in KINDS]
    return [
        *reports,
        *views,
        *kinds,
        ["sequence_index", "the sequences: split, family, tokens, digest, documents"],
    ]
