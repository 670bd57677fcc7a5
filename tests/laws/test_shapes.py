"""A law says the same of a record in either shape: views made once as tables, or read again with all that they read."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from psion_ledger import relations
from psion_ledger.auditing import audit
from psion_ledger.contracts import Contracts
from psion_ledger.findings import LawResult
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from tests.laws.extremes import changed, wrong
from tests.laws.test_facts import BASES, EVENTS
from tests.laws.test_populations import BASES as WHOLE
from tests.laws.test_populations import DROPS
from tests.ledgers import Script, write_ledger

Made = Callable[[Contracts], Script]


def lacking(number: int) -> Made:
    drop = DROPS[number]
    return lambda contracts: [step for step in WHOLE[drop.base](contracts) if not drop.of(*step)]


def extreme(number: int) -> Made:
    base, changes = EVENTS[number]
    return lambda contracts: changed(wrong(BASES[base](contracts)), *changes)


SCRIPTS: dict[str, Made] = {
    **{name: WHOLE[name] for name in WHOLE},
    **{f"lacking {number}": lacking(number) for number in random.Random(9).sample(range(len(DROPS)), 6)},
    **{f"extreme {number}": extreme(number) for number in random.Random(9).sample(range(len(EVENTS)), 6)},
}


def laws(folder: Path) -> list[LawResult]:
    with Run(read(folder)) as run:
        return audit(run).laws


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_every_law_says_the_same_in_either_shape(
    tmp_path: Path, contracts: Contracts, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Status, rows examined, and every finding."""
    folder = write_ledger(tmp_path, SCRIPTS[name](contracts), strict=False)
    small = laws(folder)
    monkeypatch.setattr(relations, "SMALL_ROWS_MAX", -1)
    monkeypatch.setattr(relations, "TABLE_ROWS_MAX", -1)
    assert laws(folder) == small
