"""Rows for people: whole in a pipe or a file; on a terminal as wide as it is, with long texts cut and numbers whole."""

import shutil
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.table import Table

from psion_ledger import catalog
from psion_ledger.errors import QueryRefused
from psion_ledger.escape import plain
from psion_ledger.events import KINDS
from psion_ledger.report.console import console, text
from psion_ledger.report.machine import jsonable

ROWS_SHOWN_MAX = 1000
GAP = "  "
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
# A text that is cut shows at least this much: a date, or the start of a digest.
_TEXT_COLUMNS_MIN = 12
# A longer cell is printed whole, and widens no other row: one huge text would be padded in every row.
_ALIGNED_COLUMNS_MAX = 400
# Wider than any table: a pipe or a file has no edge.
_UNBOUNDED_COLUMNS = 1 << 20


def print_rows(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A plain table, numbers to the right. On a terminal long texts are cut; where that is not enough, columns from
    the middle on are left out, and their names returned. A number is never cut."""
    numeric = [any(_is_number(row[place]) for row in rows) for place in range(len(names))]
    lines = [[plain(str(name)) for name in names], *([plain(shown(value)) for value in row] for row in rows)]
    widths = [min(max(_width(line[place]) for line in lines), _ALIGNED_COLUMNS_MAX) for place in range(len(names))]
    kept = list(range(len(names)))
    columns = _terminal_columns()
    if columns is not None:
        narrowest = [w if number else min(w, _TEXT_COLUMNS_MIN) for w, number in zip(widths, numeric, strict=True)]
        kept = _fitting(narrowest, columns)
        widths = _narrowed(widths, numeric, kept, columns)
    for line in lines:
        cells = [line[place] if columns is None else _cut(line[place], widths[place]) for place in kept]
        padded = [_padded(cell, widths[place], numeric[place]) for cell, place in zip(cells, kept, strict=True)]
        # Nothing stands to the right of a text in the last column.
        print(GAP.join([*padded[:-1], *(padded if numeric[kept[-1]] else cells)[-1:]]) if kept else "")
    return [str(name) for place, name in enumerate(names) if place not in kept]


def print_entries(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Names, and in the last column a sentence about each: on a terminal it is wrapped between its words."""
    table = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0))
    for place, name in enumerate(names):
        table.add_column(text(name), no_wrap=place < len(names) - 1)
    for row in rows:
        table.add_row(*map(text, row))
    out = console()
    out.width = _terminal_columns() or _UNBOUNDED_COLUMNS
    out.print(table)


def shown(value: Any) -> str:
    """A value as a table shows it."""
    flat = jsonable(value)
    return "-" if flat is None else str(flat)


def _terminal_columns() -> int | None:
    """The width of the terminal that reads this; None when no terminal does."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _width(cell: str) -> int:
    """In columns of a terminal; of a cell beyond every alignment only that it is so."""
    return len(cell) if cell.isascii() or len(cell) > _ALIGNED_COLUMNS_MAX else cell_len(cell)


def _fitting(widths: Sequence[int], columns: int) -> list[int]:
    """The places that fit side by side when each is as narrow as it may be: from both ends, as people look there. At
    least one, however wide."""
    places = range(len(widths))
    if sum(widths) + len(GAP) * (len(widths) - 1) <= columns:
        return [*places]
    # By turns the first and the last that are left.
    turns = [place for pair in zip(places, reversed(places), strict=True) for place in pair][: len(widths)]
    kept: list[int] = []
    left = columns
    for place in turns:
        left -= widths[place] + (len(GAP) if kept else 0)
        if left < 0 and kept:
            break
        kept.append(place)
    return sorted(kept)


def _narrowed(widths: Sequence[int], numeric: Sequence[bool], kept: Sequence[int], columns: int) -> list[int]:
    """The widths with the widest texts cut, all to one width, so far as is needed."""
    texts = [place for place in kept if not numeric[place]]
    room = columns - len(GAP) * (len(kept) - 1) - sum(widths[place] for place in kept if numeric[place])
    limit = max((widths[place] for place in texts), default=0)
    while limit > 1 and sum(min(widths[place], limit) for place in texts) > room:
        limit -= 1
    return [min(width, limit) if place in texts else width for place, width in enumerate(widths)]


def _cut(cell: str, width: int) -> str:
    return cell if _width(cell) <= width else f"{set_cell_size(cell, width - 1)}{ELLIPSIS}"


def _padded(cell: str, width: int, number: bool) -> str:
    padding = " " * (width - _width(cell))
    return f"{padding}{cell}" if number else f"{cell}{padding}"


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
        ["document_index", "where sequences are windows, the documents: split, family, first token, tokens"],
    ]
