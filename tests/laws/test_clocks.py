"""Clocks condemn nobody: no law reads one, and a run whose clock was wrong has the verdict that it would have had."""

import re
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from psion_ledger import catalog
from psion_ledger.audit import audit
from psion_ledger.contracts import Contracts
from psion_ledger.ledger import Run
from psion_ledger.receipts import derive_receipt, verify_receipt
from psion_ledger.record import read
from tests.ledgers import resumed_run, write_ledger

YEAR_NS = 365 * 24 * 3600 * 10**9
NOW_NS = time.time_ns()
CLOCKS: dict[str, Callable[[int], int]] = {
    "backwards": lambda tick: NOW_NS - tick * 10**9,
    "still": lambda tick: NOW_NS,
    "by years": lambda tick: NOW_NS + (-1) ** tick * tick % 7 * YEAR_NS,
    "at zero": lambda tick: 0,
}
CLOCK_COLUMN = re.compile(r"\b\w*_at_(?:ns|ms)\b")


@pytest.mark.parametrize(
    "name", ["backwards", *(pytest.param(name, marks=pytest.mark.slow) for name in CLOCKS if name != "backwards")]
)
def test_a_wrong_clock_changes_no_verdict(
    name: str, tmp_path: Path, contracts: Contracts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded twice over by the real writer: every law has the status that it has under a right clock."""
    right = statuses(write_ledger(tmp_path / "right", resumed_run(contracts)))
    ticks: Iterator[int] = count()
    monkeypatch.setattr(time, "time_ns", lambda: CLOCKS[name](next(ticks)))
    folder = write_ledger(tmp_path / "wrong", resumed_run(contracts))
    assert statuses(folder) == right
    assert right["verdict"] == "PASS"


def statuses(folder: Path) -> dict[str, str]:
    with Run(read(folder)) as run:
        found = audit(run)
        recorded = run.first("select document from receipt_recorded")
        assert recorded is not None
        assert verify_receipt(run, recorded[0].encode()).differences == []
        derive_receipt(run)
    return {law.name: law.status for law in found.laws} | {"verdict": found.verdict}


def test_no_law_names_a_clock() -> None:
    """Nor does a view that one reads, but to hand its column on."""
    words = {word for law in catalog.laws() for word in {*law.words, law.header["over"]}}
    assert sorted(word for word in words if CLOCK_COLUMN.fullmatch(word)) == []
    for view in catalog.needed(catalog.views(), words):
        _, *conditions = re.split(r"\b(?:where|join|qualify|having|filter|case)\b", view.sql)
        assert [CLOCK_COLUMN.findall(part) for part in conditions] == [[]] * len(conditions), view.name
