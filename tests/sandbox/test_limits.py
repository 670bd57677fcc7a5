"""A query has so much time, memory, depth and room for its rows; past them it is stopped, and the next is answered."""

from pathlib import Path

import pytest

from psion_ledger import limits, open_run
from psion_ledger.errors import LimitHit, QueryRefused, UsageError
from psion_ledger.ledger import Run
from tests.ledgers import RUN_ID
from tests.sandbox import digests


@pytest.mark.parametrize("query", [
    "with recursive r as (select 1 as i union all select i + 1 from r) select count(*) from r",
    "select count(*) from range(1_000_000) as a, range(1_000_000) as b where a.range * b.range = 7",
    "select sleep_ms(60_000)",
])  # fmt: skip
def test_a_query_that_takes_too_long_is_stopped(run: Run, query: str) -> None:
    """It says how long it had; the connection serves the next one."""
    with pytest.raises(LimitHit, match=r"^the query took more than 0\.5 s; PSION_LEDGER_SECONDS"):
        run.sql(query, seconds_max=0.5)
    assert run.sql("select 1").fetchall() == [(1,)]


@pytest.mark.parametrize("query", [
    "select list(range) from range(100_000_000)",
    *(
        pytest.param(query, marks=pytest.mark.slow)
        for query in (
            "select a.range from range(40_000_000) as a order by hash(a.range) limit 39_000_000",
            "select range from range(100_000_000)",
        )
    ),
    "select repeat('x', 700_000_000)",
])  # fmt: skip
def test_a_query_that_takes_too_much_memory_is_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """It says what allows more, and nothing is spilled to a disk."""
    monkeypatch.setenv("PSION_LEDGER_MEMORY_BYTES", str(2 * limits.MEMORY_BYTES_MIN))
    before = digests(folder)
    with open_run(folder / "ledger", RUN_ID) as opened:
        with pytest.raises(LimitHit, match=r"^the query needs more memory than PSION_LEDGER_MEMORY_BYTES allows it$"):
            opened.sql(query)
        assert opened.sql("select count(*) from step_completed").fetchall() == [(4,)]
    assert before == digests(folder)


@pytest.mark.parametrize("depth", [100, 10_000])
def test_a_deep_query_is_answered_or_refused(run: Run, depth: int) -> None:
    """And never brings the process down."""
    query = f"select {'(' * depth}1{')' * depth}"
    if depth < 1000:
        assert run.sql(query).fetchall() == [(1,)]
    else:
        with pytest.raises(QueryRefused, match=r"^not SQL: [^\n]+$"):
            run.sql(query)


@pytest.mark.parametrize("said", ["", "0", "1.5", "-1", "ten", "\u00b2", "1e3"])
def test_a_limit_that_is_none_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Seconds are a whole number, at least one."""
    monkeypatch.setenv("PSION_LEDGER_SECONDS", said)
    with pytest.raises(UsageError, match="PSION_LEDGER_SECONDS"):
        run.sql("select 1")


def test_rows_that_are_too_many_for_the_caller_are_refused(run: Run) -> None:
    """They fit in the process that made them, and would be there a second time, and a third time here."""
    with pytest.raises(LimitHit, match=r"^the rows take"):
        run.sql("select range from range(35_000_000)")
    assert run.sql("select count(*) from range(35_000_000)").fetchall() == [(35_000_000,)]
