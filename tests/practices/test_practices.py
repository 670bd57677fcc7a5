"""Each clean practice passes, and both of its faulty neighbours are named at the right step and rank."""

from itertools import pairwise
from pathlib import Path

import pytest

from psion_ledger.auditing import Audit, audit
from psion_ledger.events import KINDS
from psion_ledger.findings import Finding
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from tests.ledgers import Script, write_ledger
from tests.practices.__main__ import PAGE, page
from tests.practices.parts import Neighbour, Practice
from tests.practices.recorder import script_of
from tests.practices.table import ORDERS, PRACTICES
from tests.suites import sampled

# The quick suite has the first neighbour of every third practice.
NEIGHBOURS = [
    pytest.param(
        practice,
        neighbour,
        id=f"{practice.name}: {neighbour.fault}",
        marks=[] if place == 0 and number % 3 == 0 else [pytest.mark.slow],
    )
    for number, practice in enumerate(PRACTICES)
    for place, neighbour in enumerate(practice.neighbours)
]


def audited(folder: Path, script: Script) -> tuple[Audit, list[tuple[str, int | None, int | None]]]:
    """The audit, and for each finding its law, and the step and rank of the event that it names."""
    with Run(read(write_ledger(folder, script, strict=False))) as run:
        found = audit(run)
        steps: dict[tuple[str | None, int | None], tuple[int | None, int]] = {}
        for kind, struct in KINDS.items():
            step = "step" if "step" in struct.__struct_fields__ else "null"
            for stream, seq, rank, own in run.con.sql(f"select stream, seq, rank, {step} from {kind}").fetchall():
                steps[stream, seq] = (own, rank)
    return found, [(law.name, *place(finding, steps)) for law in found.laws for finding in law.findings]


def place(
    finding: Finding, steps: dict[tuple[str | None, int | None], tuple[int | None, int]]
) -> tuple[int | None, int | None]:
    """The step and rank of a finding: of the event that it names, or those in its subject."""
    if (finding.stream, finding.event_seq) in steps:
        return steps[finding.stream, finding.event_seq]
    named: dict[str, int] = {}
    for word, number in pairwise(f"{finding.subject} {finding.actual}".split()):
        if number.isdecimal():
            named.setdefault(word, int(number))
    return named.get("step"), named.get("rank")


CLEAN = [
    *(pytest.param(practice, id=practice.name) for practice in PRACTICES if practice not in ORDERS),
    *sampled(ORDERS, 4, lambda practice: practice.name),
]


@pytest.mark.parametrize("practice", CLEAN)
def test_a_clean_practice_passes(tmp_path: Path, practice: Practice) -> None:
    """No law finds anything, none had nothing to examine, and the level is the one that its promises allow."""
    found, findings = audited(tmp_path, script_of(practice.loop))
    assert findings == []
    assert (found.verdict, found.level, found.unproven) == ("PASS", practice.level, [])


@pytest.mark.parametrize(("practice", "neighbour"), NEIGHBOURS)
def test_a_faulty_neighbour_is_named(tmp_path: Path, practice: Practice, neighbour: Neighbour) -> None:
    """The law names the step and the rank of the fault, and no other law names an earlier one."""
    found, findings = audited(tmp_path, neighbour.made(script_of(practice.loop)))
    assert found.verdict == "FAIL"
    own = [(step, rank) for law, step, rank in findings if law == neighbour.law]
    assert (neighbour.step, neighbour.rank) in own
    assert min((step for step, _ in own if step is not None), default=neighbour.step) == neighbour.step


def test_the_page_says_what_is_tested() -> None:
    """README.md is generated from the table that the tests above go through."""
    assert PAGE.read_text(encoding="utf-8") == page()
