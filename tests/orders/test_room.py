"""An order is known in one room: nothing else imports it, or names what only it has."""

import ast
import re
from pathlib import Path

import pytest

from psion_ledger import catalog
from psion_ledger.orders import ORDERS

REPO = Path(__file__).resolve().parents[2]
ROOM = REPO / "psion_ledger" / "orders"
# The trainer has its own order a second time, one position at a time.
SECOND = REPO / "trainer" / "order.py"
OWN_WORDS = re.compile(r"cycle_slots|cycle slot|family_draws|slot_family|draw_in_cycle|CYCLE_SLOTS", re.IGNORECASE)
OUTSIDE = sorted(
    path
    for folder in ("psion_ledger", "trainer", "fixtures")
    for path in (REPO / folder).rglob("*.py")
    if ROOM not in path.parents and path != SECOND
)


def test_no_source_outside_names_slots_or_draws() -> None:
    """They are words of `psion.weighted_cycle` alone."""
    named = [str(path) for path in OUTSIDE if OWN_WORDS.search(path.read_text(encoding="utf-8"))]
    assert named == []


@pytest.mark.parametrize("folder", ["views", "invariants", "receipts", "reports"])
def test_no_query_names_slots_or_draws(folder: str) -> None:
    """The order of a run is compared as a whole, whatever it is made of."""
    assert [query.name for query in catalog.load(folder) if OWN_WORDS.search(f"{query.sql} {query.header}")] == []


def test_each_order_is_imported_by_the_registry_alone() -> None:
    """An order is added in its file and in the table."""
    modules = {path.stem for path in ROOM.glob("*.py")} - {
        "__init__",
        "passes",
        "parameters",
        "materialised",
        "inspection",
    }
    importing = {
        (path.relative_to(REPO).as_posix(), alias.name)
        for path in OUTSIDE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "psion_ledger.orders"
        for alias in node.names
        if alias.name in modules
    }
    deeper = {
        (path.relative_to(REPO).as_posix(), node.module)
        for path in OUTSIDE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").removeprefix("psion_ledger.orders.") in modules
    }
    assert (importing, deeper) == (set(), set())


def test_what_is_searched_for_is_there() -> None:
    """The words are those of the room, and the table has its orders."""
    assert OWN_WORDS.search((ROOM / "weighted_cycle.py").read_text(encoding="utf-8"))
    assert ("psion.weighted_cycle", "1") in ORDERS
