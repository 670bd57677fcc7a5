"""Forty SELECTs that would run for hours, or bring their process down: each is ended, and the caller lives.

Some of them look for an interrupt and some do not; some take memory as fast as time. None is the caller's business.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from psion_ledger import open_run
from psion_ledger.errors import CannotDecide, LimitHit
from psion_ledger.ledger import Run
from tests.hostile import RUN_ID, Commands

pytestmark = pytest.mark.slow
SECONDS_MAX = 1
DEEP = 100_000
ROWS = "range(1_000_000_000_000)"
QUERIES = [
    # Functions that never look for an interrupt.
    "select repeat('9', 10_000_000)::bignum",
    "select repeat('9', 3_000_000)::bignum * repeat('7', 3_000_000)::bignum",
    "select length((repeat('9', 5_000_000)::bignum)::varchar)",
    "select levenshtein(repeat('ab', 200_000), repeat('ba', 200_000))",
    "select damerau_levenshtein(repeat('ab', 100_000), repeat('ba', 100_000))",
    "select jaro_similarity(repeat('ab', 2_000_000), repeat('ba', 2_000_000))",
    "select jaro_winkler_similarity(repeat('xy', 2_000_000), repeat('yx', 2_000_000))",
    "select sleep_ms(3_600_000)",
    "select list_sort([x for x in range(40_000_000)], 'desc', 'nulls last')",
    "select list_transform(range(20_000_000), lambda x: md5(x::varchar))",
    "select list_reduce(range(100_000_000), lambda a, b: (a * 31 + b) % 1_000_003)",
    "select len(list_distinct(list_transform(range(30_000_000), lambda x: x // 2)))",
    "select length(string_agg(md5(range::varchar), '')) from range(100_000_000)",
    "select regexp_replace(repeat('a', 300_000_000), '(a|b|ab)*c', 'x', 'g')",
    "select len(regexp_extract_all(repeat('ab', 50_000_000), '(a)(b)'))",
    "select len(string_split(repeat('a,', 60_000_000), ','))",
    "select editdist3(repeat('ab', 200_000), repeat('cd', 200_000))",
    # Rows without end.
    f"select count(*) from {ROWS} where hash(range) = 0",
    f"select sum(sqrt(range)) from {ROWS}",
    f"select max(md5(range::varchar)) from {ROWS}",
    "select count(*) from range(10_000_000) as a, range(10_000_000) as b where a.range + b.range = -1",
    "select count(*) from range(3_000_000) as a join range(3_000_000) as b on a.range < b.range",
    "select count(*) from range(300_000) as a, range(300_000) as b, range(300_000) as c where hash(a.range) = 0",
    "with recursive r as (select 1 as n union all select n + 1 from r) select count(*) from r",
    "select list_aggregate(list_transform(range(60_000_000), lambda x: hash(x)), 'median')",
    "with recursive r as (select 'a' as t union all select md5(t) from r) select count(*) from r",
    "select quantile_cont(range, 0.3) from range(10_000_000_000)",
    "select mode(range % 7_000_000) from range(10_000_000_000)",
    "select approx_count_distinct(hash(range)) from range(1_000_000_000_000)",
    "select row_number() over (order by hash(range)) from range(1_000_000_000)",
    "select sum(range) over (partition by range % 3 order by range) from range(1_000_000_000)",
    "select count(distinct range) from range(10_000_000_000)",
    "select range, count(*) from range(10_000_000_000) group by range",
    f"select * from {ROWS} order by random() limit 5",
    "from (select unnest(range(1_000_000_000)) as u) select sum(ln(u + 1))",
    f"select corr(range, hash(range)) from {ROWS}",
    f"select avg(length(format('{{:>64}}', range))) from {ROWS}",
    # Texts that are deep or wide.
    f"select from_json('{'[' * DEEP}{']' * DEEP}', '{'[' * DEEP}\"INTEGER\"{']' * DEEP}')",
    f"select json_transform('1', '{'[' * DEEP}\"INTEGER\"{']' * DEEP}')",
    f"select {' + '.join(['(select count(*) from range(1_000_000_000) as t(x) where hash(x) = 0)'] * 40)}",
]


@pytest.fixture(scope="module")
def opened(intact: Path) -> Iterator[Run]:
    with open_run(intact / "ledger", RUN_ID) as run:
        yield run


def test_there_are_forty() -> None:
    """No two alike."""
    assert len(QUERIES) == len(set(QUERIES)) == 40


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_the_caller_lives(opened: Run, query: str) -> None:
    """It gets an error, and the answer to the next one."""
    with pytest.raises((LimitHit, CannotDecide)):
        opened.sql(query, seconds_max=SECONDS_MAX)
    assert opened.sql("select 1").fetchall() == [(1,)]


# A process each takes its time, and it is the same path.
@pytest.mark.parametrize("query", QUERIES[::4], ids=range(0, len(QUERIES), 4))
def test_the_command_ends(commands: Commands, intact: Path, query: str) -> None:
    """With 3, and one line."""
    env = {"PSION_LEDGER_SECONDS": str(SECONDS_MAX)}
    commands.ends(intact / "ledger", 3, "query", RUN_ID, query, env=env)


def main() -> None:
    """How long each takes until it is ended, beside its limit: `python -m tests.hostile.test_queries RUN_FOLDER`."""
    import sys

    folder = Path(sys.argv[1])
    with open_run(folder.parent, folder.name) as run:
        for query in QUERIES:
            run.sql("select 1")
            started, said = time.perf_counter(), "answered"
            try:
                run.sql(query, seconds_max=SECONDS_MAX)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            print(f"{time.perf_counter() - started:.2f} s  {query[:60]:60}  {said[:90]}")


if __name__ == "__main__":
    main()
