"""The process that answers SELECTs over one record: `psion_ledger.sandbox` starts it, asks it and ends it.

Messages are a length and so many bytes. In comes the record, then one query after the other; out go answers, with the
rows as an Arrow stream. It holds the only connection that a text of anybody's reaches, with every door of it closed.
"""

import os
import pickle
import queue
import re
import sys
import threading
from typing import BinaryIO

import duckdb
import msgspec
import pyarrow as pa

from psion_ledger import catalog, limits, relations
from psion_ledger.errors import CannotDecide, LedgerError, LimitHit, QueryRefused
from psion_ledger.ledger import Run, first_line, sql_error
from psion_ledger.sandbox import LENGTH_BYTES, Answer

_RESULT = "query_result__"
_SHOW_TABLES = re.compile(r"\s*show\s+(?:all\s+)?tables\s*;?\s*", re.IGNORECASE)
# What no query is to blame for.
_THE_RECORDS = (duckdb.IOException, duckdb.InternalException, duckdb.FatalException)
_THE_RECORDS_WORDS = ("Invalid unicode", "reading the stream registered as")
# Of the memory that the process may take. The rows are in it twice while they are sent, and once in the caller's.
_ROWS_SHARE = 4


def connection(run: Run) -> duckdb.DuckDBPyConnection:
    """Every relation of a run, on a connection that reaches nothing else. Raises Damaged, and what a record can."""
    con = run.con
    relations.create_views(con, list(catalog.views()), small=run.is_small)
    # An enum aside, each type comes out as it went in.
    for setting in ("arrow_lossless_conversion = true", "enable_external_access = false", "lock_configuration = true"):
        con.execute(f"set {setting}")
    return con


def rows(con: duckdb.DuckDBPyConnection, run: Run, query: str) -> pa.Buffer:
    """The rows of exactly one SELECT as an Arrow stream. Raises as `Sandbox.ask`."""
    try:
        statements = con.extract_statements(query)
    except duckdb.Error as error:
        raise QueryRefused(f"not SQL: {first_line(error)}") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryRefused("give exactly one SELECT; a ledger is only read")
    try:
        # A table is held to the memory limit, which a result by itself is not; and `query` binds its text as a
        # subquery, where a WITH clause that writes is refused.
        literal = _listing(query).replace("'", "''")
        con.execute(f"create temp table {_RESULT} as select * from query('{literal}')")
        found = con.table(_RESULT).to_arrow_table()
    except duckdb.OutOfMemoryException as error:
        raise LimitHit("the query needs more memory than PSION_LEDGER_MEMORY_BYTES allows it") from error
    except duckdb.Error as error:
        run.refuse_if_damaged(error)
        if isinstance(error, _THE_RECORDS) or any(words in str(error) for words in _THE_RECORDS_WORDS):
            raise CannotDecide(f"run {run.run_id}: the record cannot be read: {first_line(error)}") from error
        raise QueryRefused(sql_error(error)) from error
    finally:
        con.execute(f"drop table if exists {_RESULT}")
    run.refuse_if_damaged(None)
    if found.nbytes > limits.memory_bytes_max() // _ROWS_SHARE:
        raise LimitHit(f"the rows take {found.nbytes:,} bytes: ask for fewer, or allow more: PSION_LEDGER_MEMORY_BYTES")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, found.schema) as stream:
        stream.write_table(found)
    return sink.getvalue()


def _listing(query: str) -> str:
    """`show tables` lists what can be asked, and not the table that its own answer is put in."""
    if _SHOW_TABLES.fullmatch(query) is None:
        return query
    return f"select name from (show tables) where name <> '{_RESULT}'"


def _received(source: BinaryIO) -> bytes:
    """The next message; ends the process when nobody is there any more to send one."""
    length = source.read(LENGTH_BYTES)
    if len(length) < LENGTH_BYTES:
        os._exit(0)
    return source.read(int.from_bytes(length, "little"))


def _told(sink: BinaryIO, answer: Answer, data: pa.Buffer | bytes = b"") -> None:
    text = msgspec.json.encode(answer)
    sink.write(len(text).to_bytes(LENGTH_BYTES, "little"))
    sink.write(text)
    sink.write(data)
    sink.flush()


def _refusal(error: LedgerError) -> Answer:
    return Answer(error=type(error).__name__, message=str(error), file=getattr(error, "file", None))


def main() -> None:
    # Whatever else is printed must not stand among the answers.
    source, sink, sys.stdout = sys.stdin.buffer, sys.stdout.buffer, sys.stderr
    # Ours to believe: it comes from the process that started this one.
    record, despite_damage = pickle.loads(_received(source))
    limits.watch()
    run = Run(record, despite_damage=despite_damage)
    try:
        with run.reading():
            con = connection(run)
    except LedgerError as error:
        return _told(sink, _refusal(error))
    _told(sink, Answer())
    questions: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        while True:
            # Read while a query is under way, too: who asked may be gone, and then nobody waits for it.
            questions.put(_received(source).decode())

    threading.Thread(target=listen, name="questions", daemon=True).start()
    while True:
        question = questions.get()
        try:
            found = rows(con, run, question)
        except LedgerError as error:
            _told(sink, _refusal(error))
        else:
            _told(sink, Answer(bytes_total=found.size), found)


if __name__ == "__main__":
    main()
