"""SQL that anybody brings: no way leads to a file, a setting or another row, and it is refused in one line."""

from pathlib import Path

import pytest

from psion_ledger.errors import QueryRefused
from psion_ledger.ledger import Run
from tests.sandbox import digests

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
