"""Clocks condemn nobody: no law reads one, and a run whose clock was wrong has the verdict that it would have had."""

import ast
import re
import time
from collections.abc import Callable, Iterator
from itertools import count, pairwise
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

import psion_ledger
from psion_ledger import catalog, events
from psion_ledger.auditing import audit
from psion_ledger.contracts import Contracts
from psion_ledger.ledger import Run
from psion_ledger.log import position
from psion_ledger.reading import read
from psion_ledger.receipts import verify_receipt
from tests.ledgers import Script, good_run, resumed_run, write_ledger

E = TypeVar("E")
YEAR_NS = 365 * 24 * 3600 * 10**9
NOW_NS = time.time_ns()
CLOCKS: dict[str, Callable[[int], int]] = {
    "backwards": lambda tick: NOW_NS - tick * 10**9,
    "still": lambda tick: NOW_NS,
    "by years": lambda tick: NOW_NS + (-1) ** tick * (tick % 7) * YEAR_NS,
    "at zero": lambda tick: 0,
}
SCRIPTS: dict[str, Callable[[Contracts], Script]] = {
    "resumed": resumed_run,
    "two ranks": lambda contracts: good_run(contracts, world=2),
}
CASES = [
    pytest.param(name, script, marks=[] if (name, script) == ("backwards", "resumed") else pytest.mark.slow)
    for name in CLOCKS
    for script in SCRIPTS
]


@pytest.mark.parametrize(("name", "script"), CASES)
def test_a_wrong_clock_changes_no_verdict(
    name: str, script: str, tmp_path: Path, contracts: Contracts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer's clock and the trainer's own: every law has the status that it has under a right clock."""
    right, _ = statuses(write_ledger(tmp_path / "right", SCRIPTS[script](contracts)))
    ticks: Iterator[int] = count()

    def clock() -> int:
        return CLOCKS[name](next(ticks))

    monkeypatch.setattr(time, "time_ns", clock)
    monkeypatch.setattr(position, "time_ns", clock)
    timed: Script = [(stream, at(event, clock)) for stream, event in SCRIPTS[script](contracts)]
    wrong, times = statuses(write_ledger(tmp_path / "wrong", timed))
    assert wrong == right
    assert right["verdict"] == "PASS"
    # The clock was wrong indeed.
    assert {backwards(at_ns) for at_ns in times.values()} == {name in ("backwards", "by years")}
    assert name not in ("still", "at zero") or {len(set(at_ns)) for at_ns in times.values()} == {1}


def at(event: E, clock: Callable[[], int]) -> E:
    """What the trainer says of its own times."""
    if isinstance(event, events.CheckpointWritten):
        return msgspec.structs.replace(event, started_at_ns=clock(), durable_at_ns=clock())
    return event


def backwards(at_ns: list[int]) -> bool:
    return any(later < earlier for earlier, later in pairwise(at_ns))


def statuses(folder: Path) -> tuple[dict[str, str], dict[str, list[int]]]:
    """Each law's status and the verdict; and the times by which steps, checkpoints and receipts were recorded."""
    with Run(read(folder)) as run:
        found = audit(run)
        recorded = run.first("select document from receipt_recorded")
        assert recorded is not None
        assert verify_receipt(run, recorded[0].encode()).differences == []
        times = {
            "steps": "select recorded_at_ns from step_completed where rank = 0 order by attempt, seq",
            "batches": "select recorded_at_ns from batch_replayed where role = 'train' and rank = 0 "
            "order by attempt, seq",
            "checkpoints": "select unnest([started_at_ns, durable_at_ns, recorded_at_ns]) from checkpoint_written "
            "order by attempt, seq",
        }
        read_back = {name: [row[0] for row in run.con.sql(sql).fetchall()] for name, sql in times.items()}
    return {law.name: law.status for law in found.laws} | {"verdict": found.verdict}, read_back


CLOCK = re.compile(r"\b\w*_at_(?:ns|ms)\b")
# A column that is handed on, alone between commas, under its own name or another.
HANDED_ON = re.compile(r"(?:,|\bselect\b)\s*(?:\w+\.)?\w+_at_(?:ns|ms)(?:\s+as\s+\w+)?\s*(?=,|\bfrom\b)")


def sql_of(query: catalog.Query) -> str:
    return re.sub(r"--[^\n]*|'[^']*'", " ", query.sql)


def compared(sql: str) -> list[str]:
    """The clock columns of a SELECT that stand anywhere else than in the list of what it gives."""
    return CLOCK.findall(HANDED_ON.sub(", ", HANDED_ON.sub(", ", sql)))


def test_no_law_names_a_clock() -> None:
    """Nor does a view that one reads, nor a receipt, but to hand its column on."""
    words = {word for law in catalog.laws() for word in {*law.words, law.header["over"]}}
    assert sorted(word for word in words if CLOCK.fullmatch(word)) == []
    receipts = catalog.load("receipts")
    words |= {word for receipt in receipts for word in receipt.words}
    found = {q.name: compared(sql_of(q)) for q in (*catalog.needed(catalog.views(), words), *receipts)}
    assert {name: columns for name, columns in found.items() if columns} == {}
    assert {
        name for name in found if CLOCK.search(sql_of(next(q for q in (*catalog.views(), *receipts) if q.name == name)))
    }


@pytest.mark.parametrize(
    "sql",
    [
        "select a from b where recorded_at_ns > 3",
        "select a from b join c on b.x = c.x and b.recorded_at_ns <= c.started_at_ns",
        "select a, max(durable_at_ns) as m from b",
        "select a from b qualify row_number() over (order by recorded_at_ns) = 1",
        "select case when completed_at_ms < 3 then 1 end as a from b",
    ],
)
def test_a_comparison_of_clocks_would_be_seen(sql: str) -> None:
    """What the test above looks for."""
    assert compared(sql) != []


def test_no_check_in_python_compares_clocks() -> None:
    """The stage program, the derivations, the contracts' rules and the strict reading: no operator beside a clock."""
    package = Path(str(psion_ledger.__file__)).parent
    paths = [package / "program.py", package / "evidence.py", package / "auditing.py"]
    paths += [path for name in ("receipts", "contracts", "replay") for path in sorted((package / name).glob("*.py"))]
    found = [
        f"{path.name}:{node.lineno}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        and not all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops)
        and CLOCK.search(ast.unparse(node))
    ]
    # A digest covers when the stage was completed: its own field is encoded again, and held against nothing else.
    assert found == ["program.py:178"]
