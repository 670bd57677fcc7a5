"""SQL that anybody brings: it reads the run's relations, and no way leads to a file, a setting or another row."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from psion_ledger import limits, open_run
from psion_ledger.errors import LimitHit, QueryRefused, UsageError
from psion_ledger.ledger import Run
from psion_ledger.sandbox import Sandbox
from tests.corpora import real_contracts
from tests.ledgers import RUN_ID, good_run, resumed_run, write_ledger

CONTRACTS = real_contracts()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger, and beside it a file that nobody may read or overwrite."""
    made = tmp_path_factory.mktemp("sandbox")
    write_ledger(made / "ledger", good_run(CONTRACTS))
    (made / "secret.csv").write_text("word\nswordfish\n")
    return made


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[Run]:
    with open_run(folder / "ledger", RUN_ID) as opened:
        yield opened


def digests(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


FACTS = """
    select (select count(*) from batch_rollup), (select sum(positions) from batch_rollup),
      (select count(*) from step_completed),
      (select count(*) from duckdb_tables() where table_name <> 'query_result__'),
      (select count(*) from duckdb_views()), (select count(*) from duckdb_databases()),
      current_setting('memory_limit'), current_setting('threads'), current_setting('enable_external_access'),
      current_setting('lock_configuration'), current_setting('allowed_paths')::text,
      current_setting('temp_directory'), current_setting('python_enable_replacements')
"""

WRITING = [
    "copy (select 1) to '{folder}/out.csv'",
    "copy batch_rollup to '{folder}/secret.csv'",
    "with x as (copy (select 1) to '{folder}/out.csv') select * from x",
    "with x as (copy (select 1) to '{folder}/secret.csv') select 1",
    "select * from (with x as (copy (select 1) to '{folder}/out.csv') select * from x)",
    "with x as (delete from batch_rollup returning *) select * from x",
    "with x as (insert into batch_rollup select * from batch_rollup returning *) select * from x",
    "with x as (update batch_rollup set step = 99 returning *) select count(*) from x",
    "with x as (delete from step_completed returning *) select * from x",
    "with x as (merge into batch_rollup using (select 1 as step) as s using (step) when matched then delete) select 1",
    "select * from batch_rollup union all (with x as (delete from batch_rollup returning *) select * from x)",
    "insert into batch_rollup select * from batch_rollup",
    "update batch_rollup set step = 99",
    "delete from batch_rollup",
    "truncate batch_rollup",
    "drop view train_batches",
    "drop table batch_rollup",
    "alter table batch_rollup rename to x",
    "create table x as select 1",
    "create temp table x as select 1",
    "create or replace temp view train_batches as select 1",
    "create macro x(a) as a",
    "create sequence x",
    "create type x as enum ('a')",
    "create secret x (type s3, key_id 'a', secret 'b')",
    "export database '{folder}/out'",
    "attach '{folder}/out.db'",
    "attach ':memory:' as x",
    "detach memory",
    "use memory",
    "checkpoint",
    "vacuum",
    "analyze",
    "select * into x from batch_rollup",
    "select * from enable_logging(storage = 'file', storage_config = {{'path': '{folder}/out'}})",
    "call enable_logging()",
    "select * from enable_profiling(save_location = '{folder}/out')",
    "pragma enable_profiling",
    "pragma profiling_output = '{folder}/out'",
    "explain analyze copy (select 1) to '{folder}/out.csv'",
    "select * from query('copy (select 1) to ''{folder}/out.csv''')",
]
READING = [
    "select * from '{folder}/secret.csv'",
    "from '{folder}/secret.csv'",
    "select * from read_csv('{folder}/secret.csv')",
    "select * from read_csv_auto('{folder}/secret.csv')",
    "select * from sniff_csv('{folder}/secret.csv')",
    "select * from read_text('{folder}/secret.csv')",
    "select * from read_blob('{folder}/secret.csv')",
    "select * from read_json('{folder}/secret.csv')",
    "select * from read_json_objects('{folder}/secret.csv')",
    "select * from read_ndjson('{folder}/secret.csv')",
    "select * from read_parquet('{folder}/ledger/run-small/segments/run_started/*.parquet')",
    "select * from parquet_scan('{folder}/ledger/run-small/segments/run_started/*.parquet')",
    "select * from parquet_metadata('{folder}/ledger/run-small/segments/run_started/*.parquet')",
    "select * from parquet_schema('{folder}/secret.csv')",
    "select * from parquet_kv_metadata('{folder}/secret.csv')",
    "select * from parquet_file_metadata('{folder}/secret.csv')",
    "select * from parquet_full_metadata('{folder}/secret.csv')",
    "select * from read_duckdb('{folder}/secret.csv')",
    "select * from glob('{folder}/*')",
    "select * from glob('/etc/*')",
    "select * from '/proc/self/environ'",
    "select * from read_text('/proc/self/environ')",
    "select * from 'https://example.com/a.parquet'",
    "select * from 's3://bucket/a.parquet'",
    "select * from duckdb_secrets()",
    "select * from which_secret('s3://bucket', 's3')",
    "select getenv('HOME')",
    "select * from query('select * from read_text(''{folder}/secret.csv'')')",
    "select * from query_table('{folder}/secret.csv')",
    "select * from json_execute_serialized_sql(json_serialize_sql('select * from read_text(''{folder}/secret.csv'')'))",
    "copy batch_rollup from '{folder}/secret.csv'",
    "import database '{folder}'",
    "with x as (select * from read_text('{folder}/secret.csv')) select * from x",
    "select (select content from read_text('{folder}/secret.csv'))",
    "select * from sqlite_scan('{folder}/secret.csv', 'x')",
    "select * from st_read('{folder}/secret.csv')",
    "select * from read_xlsx('{folder}/secret.csv')",
]
SETTING = [
    "set memory_limit = '100GB'",
    "set global threads = 100",
    "set enable_external_access = true",
    "set allowed_directories = ['/']",
    "set lock_configuration = false",
    "set temp_directory = '{folder}'",
    "set file_search_path = '{folder}'",
    "set python_enable_replacements = true",
    "reset memory_limit",
    "reset enable_external_access",
    "pragma threads = 100",
    "pragma memory_limit = '100GB'",
    "install httpfs",
    "load httpfs",
    "force install httpfs from '{folder}'",
    "load '{folder}/secret.csv'",
    "begin transaction",
    "commit",
    "rollback",
    "prepare x as select 1",
    "execute x",
    "deallocate x",
    "set variable x = 1",
    "call pragma_version()",
]
NOT_ONE_SELECT = [
    "",
    ";",
    " -- nothing\n",
    "select 1; select 2",
    "select 1; copy (select 1) to '{folder}/out.csv'",
    "select 1; set lock_configuration = false",
    "explain select 1",
    "explain analyze select 1",
    "selec 1",
    "select",
    "select 'unfinished",
    "select /* unfinished",
    "select nothing from nowhere",
    "select \ud800",
    "select 1\0; select 2",
    "pivot train_steps on step using count(*)",
    "select * from batch_rollup for update",
    "select ?",
    "select $a",
]
# Names in this module and in the caller that a replacement scan would find.
FOUND = [{"word": "swordfish"}]
REPLACING = ["select * from FOUND", "from FOUND", "select * from local", "select * from query", "from seconds_max"]


@pytest.mark.parametrize("query", WRITING + READING + SETTING + NOT_ONE_SELECT + REPLACING)
def test_it_is_refused_in_one_line_and_leaves_no_trace(run: Run, folder: Path, query: str) -> None:
    """No file is made or changed, no row, no setting; the next query finds everything as it was."""
    local = FOUND
    before, facts = digests(folder), run.sql(FACTS).fetchall()
    with pytest.raises(QueryRefused) as refused:
        run.sql(query.replace("{folder}", str(folder)).replace("{{", "{").replace("}}", "}"))
    message = str(refused.value)
    assert ("swordfish" in message, "\n" in message, message == "", local) == (False, False, False, FOUND)
    assert (before, facts) == (digests(folder), run.sql(FACTS).fetchall())
    assert not Path("out.csv").exists()


def test_the_sandbox_is_closed(run: Run) -> None:
    """The settings that close it, as they are."""
    expected = [(False, True, "[]", "", False)]
    assert (
        expected
        == run.sql(
            "select current_setting('enable_external_access'), current_setting('lock_configuration'), "
            "current_setting('allowed_paths')::text, current_setting('temp_directory'), "
            "current_setting('python_enable_replacements')"
        ).fetchall()
    )


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


def test_a_good_query_returns_exact_rows(run: Run) -> None:
    """Over a kind, a view and a rollup."""
    assert [(step, 5.5) for step in (1, 2, 3, 4)] == run.sql(
        "select step, loss_nats from train_steps order by step"
    ).fetchall()
    assert run.sql(
        "select split_name, source_family_id, loss_nats from final_split_loss order by all limit 2"
    ).fetchall() == [("held_out", "held_out_modules", 5.0005), ("train", "library_code", 5.0005)]
    assert run.sql("select step, first_position, end_position from batch_rollup order by step").fetchall() == [
        (1, 0, 8),
        (2, 8, 16),
        (3, 16, 24),
        (4, 24, 32),
    ]


@pytest.mark.parametrize("query", [
    "select count(*) from step_completed; -- with a comment",
    "\n\tselect count(*)\nfrom step_completed -- without a newline",
    "from step_completed select count(*)",
    "with x as (select * from step_completed) select count(*) from x",
    "(select count(*) from step_completed)",
    "select count(*) from step_completed where 'a;b' = 'a;b'",
    "select count(*) from (select 1 as \"copy\" from step_completed) as \"delete\"",
])  # fmt: skip
def test_one_select_may_be_spelled_as_one_likes(run: Run, query: str) -> None:
    """Four steps."""
    assert run.sql(query).fetchall() == [(4,)]


def test_relations_can_be_listed_and_described(run: Run) -> None:
    """As a person who looks around would."""
    names = {row[0] for row in run.sql("show tables").fetchall()}
    assert {"train_batches", "final_split_loss", "step_completed", "sequence_index"} <= names
    columns = {row[0]: row[1] for row in run.sql("describe train_steps").fetchall()}
    assert (columns["step"], columns["loss_nats"], columns["trace_sha256"]) == ("BIGINT", "DOUBLE", "BLOB")


def test_columns_keep_their_names_and_order(run: Run) -> None:
    """The second of one name is numbered, as DuckDB does."""
    assert run.sql("select 1 as b, 2 as a, 3 as a").columns == ["b", "a", "a_1"]
    rows = run.sql("select * from range(5000) order by range desc").fetchall()
    assert [(n,) for n in reversed(range(5000))] == rows


def test_the_sandbox_and_the_built_in_connection_hold_the_same(tmp_path: Path) -> None:
    """Every view of a resumed run, row by row."""
    write_ledger(tmp_path, resumed_run(CONTRACTS))
    from psion_ledger import catalog

    with open_run(tmp_path, RUN_ID) as opened:
        names = [view.name for view in catalog.views()]
        opened.relate(names)
        different = [
            name
            for name in names
            if sorted(map(repr, opened.con.sql(f"from {name}").fetchall()))
            != sorted(map(repr, opened.sql(f"from {name}").fetchall()))
        ]
    assert different == []


KILLED = """
import sys
from psion_ledger import open_run
with open_run(sys.argv[1], sys.argv[2]) as run:
    run.sql("select 1")
    print(run._sandbox._child.pid, flush=True)
    run.sql("select sleep_ms(600_000)", seconds_max=600)
"""


def test_the_process_of_a_caller_that_was_killed_ends(folder: Path) -> None:
    """In the middle of a query, which nobody waits for any more."""
    caller = subprocess.Popen(
        [sys.executable, "-c", KILLED, folder / "ledger", RUN_ID], stdout=subprocess.PIPE, text=True
    )
    assert caller.stdout is not None
    child = int(caller.stdout.readline())
    assert is_running(child)
    caller.kill()
    caller.wait()
    caller.stdout.close()
    give_up_at = time.monotonic() + 20
    while is_running(child) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not is_running(child)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_threads_take_turns(run: Run) -> None:
    """Each gets the answer to its own question."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: run.sql(f"select {n}").fetchall(), range(40)))
    assert [[(n,)] for n in range(40)] == found


def test_an_interrupted_question_is_not_answered_later(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gave up on one does not get its rows for the next."""
    with monkeypatch.context() as patched:
        patched.setattr(Sandbox, "_received", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run.sql("select 'the first'")
    assert run.sql("select 'the second'").fetchall() == [("the second",)]


TYPES = [
    "1::hugeint", "5::uhugeint", "interval '3 months 2 days'", "'1010'::bit", "'12:00:00+02'::timetz", "null",
    "123456789012345678901234567890123456789012345::bignum", "union_value(x := 1)", "map {'a': 1}", "'NaN'::double",
    "1.5::decimal(38, 10)", "'\\xff'::blob", "timestamptz '2020-01-01'", "{'a': [1, null]}", "array_value(1, 2)",
    "'{}'::json", "'infinity'::timestamp", "timestamp_ns '2020-01-01'", "uuid '00000000-0000-0000-0000-00000000000a'",
]  # fmt: skip


@pytest.mark.parametrize("value", TYPES)
def test_a_value_comes_out_of_the_process_as_it_is(run: Run, value: str) -> None:
    """Its type, and what Python makes of it, are those of a query in one's own process."""
    here = duckdb.connect().sql(f"select {value} as x")
    assert here is not None
    there = run.sql(f"select {value} as x")
    assert (here.types, repr(here.fetchall())) == (there.types, repr(there.fetchall()))


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
