"""A run opened for reading: its verified record, its contracts, and SQL over it.

with psion_ledger.open_run("ledger", "my-run") as run:
    run.sql("select step, loss_nats from train_steps order by step").fetchall()
"""

import functools
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from psion_ledger import catalog, limits, relations
from psion_ledger.contracts import Contracts, decode_base, decode_document, decode_model
from psion_ledger.errors import CannotDecide, Damaged, LimitHit, NoSuchRun, QueryRefused
from psion_ledger.log import claim, verified
from psion_ledger.reading import Fault, LedgerFile, Record, read
from psion_ledger.sandbox import Sandbox

# A message may list sixty candidates, or quote a value of the record.
ERROR_LINES_MAX = 8
ERROR_CHARACTERS_MAX = 1000


class Run:
    """One run of a ledger. Owns its DuckDB connections; close it, or use it in a `with` statement.

    Nothing is answered from a record with a fault: whatever reads it raises Damaged, unless the run was opened
    `despite_damage`. Then the files that hold are read, and the others are left out.
    """

    def __init__(self, record: Record, *, despite_damage: bool = False) -> None:
        self.record = record
        self.run_id = record.claim.run_id
        self.despite_damage = despite_damage
        self._source = verified.VerifiedFiles(record.folder)
        self._related: set[str] = set()

    def looked_at(self) -> "Run":
        """The same record, opened despite its damage."""
        return self if self.despite_damage else Run(self.record, despite_damage=True)

    def command(self, words: str) -> str:
        """A command about this run that a person can paste, with the ledger's folder when it is not the default."""
        folder = self.record.folder.parent
        return words if str(folder) == "ledger" else f"{words} --ledger {shlex.quote(str(folder))}"

    @functools.cached_property
    def _contract_parts(self) -> list[LedgerFile]:
        """The files of contracts, such as the sequence index, as files of the record."""
        if not self.despite_damage:
            self.record.require_whole()
        with self.reading():
            return relations.contract_parts(self.record, self._source)

    @functools.cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        with self.reading():
            return relations.connect(self.record, self._source, self._contract_parts)

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """For built-in queries alone: nothing keeps it from writing. Views come with `relate`. Raises Damaged."""
        self.require_whole()
        return self._connection

    @property
    def is_small(self) -> bool:
        """Whether the views over it are made once, as tables."""
        return relations.is_small(self.record, self._contract_parts)

    @functools.cached_property
    def faults(self) -> list[Fault]:
        """Why no answer can rest on this record; none when its bytes are those that were written. A record that has a
        fault by itself is not asked for the files that its contracts name, unless despite its damage."""
        if not self.despite_damage and (found := self.record.faults):
            return found
        found = list(self.record.faults)
        for part in self._contract_parts:
            if not part.holds:
                actual = "it is missing" if part.sha256_actual is None else f"found {part.sha256_actual}"
                found.append(Fault(file=part.path, reason=f"expected sha256 {part.sha256_expected}, {actual}"))
        return found

    def require_whole(self) -> None:
        """Raise Damaged, naming the first file, when an answer could not rest on the record. A file that was seen to
        have changed meanwhile ends all answers."""
        self.refuse_if_damaged(None)
        if not self.despite_damage:
            for fault in self.faults:
                raise Damaged(self.record.folder, fault.file, fault.reason)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Errors of DuckDB and pyarrow over the record, as ours. A file that was changed or taken away meanwhile is
        Damaged, whatever the library made of it."""
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            self.refuse_if_damaged(error)
            if isinstance(error, duckdb.OutOfMemoryException):
                line = f"run {self.run_id}: {first_line(error)}: PSION_LEDGER_MEMORY_BYTES allows more"
                raise LimitHit(line) from error
            raise CannotDecide(f"run {self.run_id}: the record cannot be queried: {first_line(error)}") from error
        self.refuse_if_damaged(None)

    def refuse_if_damaged(self, error: Exception | None) -> None:
        """Raise what a file that has changed while it was read gave."""
        if (damage := self._source.damage) is not None:
            raise damage from error

    def relate(self, words: Iterable[str]) -> None:
        """Create the views that a built-in query with these words reads, once."""
        missing = [v for v in catalog.needed(catalog.views(), words) if v.name not in self._related]
        with self.reading():
            relations.create_views(self.con, missing, small=self.is_small)
        self._related.update(view.name for view in missing)

    def rows(self, query: catalog.Query) -> list[dict[str, object]]:
        """The rows of a built-in query."""
        self.relate(query.words)
        with self.reading():
            table = self.con.sql(query.sql).to_arrow_table()
        rows: list[dict[str, object]] = table.to_pylist()
        return rows

    def first(self, sql: str, parameters: list[object] | None = None) -> tuple[Any, ...] | None:
        """The first row of built-in SQL, if there is one."""
        with self.reading():
            rows = self.con.execute(sql, parameters or []).fetchall()
        return rows[0] if rows else None

    def sql(self, query: str, seconds_max: float | None = None) -> duckdb.DuckDBPyRelation:
        """The rows of one SELECT of anybody's over the verified relations, without access to files, network or
        settings, in a process of its own. Without `seconds_max` it may take 120 s, or PSION_LEDGER_SECONDS.

        Raises QueryRefused when it is not exactly one SELECT or does not bind, LimitHit when it takes too long or
        too much memory, CannotDecide when it brings its process down.
        """
        self.require_whole()
        try:
            query.encode()
        except UnicodeError as error:
            raise QueryRefused(f"not SQL: {error}") from error
        answer = self._sandbox.ask(query, limits.query_seconds_max() if seconds_max is None else seconds_max)
        # Of its own, so that threads may each use what they got.
        return self._answers.cursor().from_arrow(answer)

    @functools.cached_property
    def _sandbox(self) -> Sandbox:
        return Sandbox(self.record, despite_damage=self.despite_damage)

    @functools.cached_property
    def _answers(self) -> duckdb.DuckDBPyConnection:
        """Holds no relation of the record: what people do with an answer is done here."""
        return duckdb.connect(config=relations.SETTINGS)

    @functools.cached_property
    def contracts_text(self) -> dict[str, str]:
        """The exact JSON of each contract that has been declared, by role."""
        with self.reading():
            found = self.con.execute(
                "select contract_role, document from contract_declared where document is not null "
                "order by attempt desc, rank desc, seq desc"
            ).fetchall()
        return dict(found)

    @functools.cached_property
    def contracts(self) -> Contracts:
        """The declared contracts, decoded. Raises CannotDecide without a plan, ContractRefused when one is bad."""
        text = self.contracts_text
        if "sampling_plan" not in text:
            raise CannotDecide(f"run {self.run_id}: not declared yet: sampling_plan")
        config, model = text.get("stage_config"), text.get("model_descriptor")
        corpus, policy, base = text.get("tokenized_corpus"), text.get("sampling_policy"), text.get("base_checkpoint")
        data = text.get("token_data")
        return Contracts(
            sampling_plan=decode_document("sampling_plan", text["sampling_plan"]),
            stage_config=None if config is None else decode_document("stage_config", config),
            model_descriptor=None if model is None else decode_model(model),
            tokenized_corpus=None if corpus is None else decode_document("tokenized_corpus", corpus),
            sampling_policy=None if policy is None else decode_document("sampling_policy", policy),
            base_checkpoint=None if base is None else decode_base(base),
            token_data=None if data is None else decode_document("token_data", data),
        )

    def close(self) -> None:
        for name in ("_connection", "_sandbox", "_answers"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def first_line(error: Exception) -> str:
    return str(error).split("\n\n")[0].splitlines()[0]


def sql_error(error: Exception) -> str:
    """What DuckDB says of a query, in one line: with the names that it proposes, without the place in a text that is
    not the one that was given."""
    lines = [" ".join(line.split()) for line in str(error).split("\n\nLINE ")[0].splitlines()]
    said = " ".join(line for line in lines[:ERROR_LINES_MAX] if line)
    if (more := len(said) - ERROR_CHARACTERS_MAX) > 0:
        said = f"{said[:ERROR_CHARACTERS_MAX]}... ({more:,} more characters)"
    more_lines = len(lines) - ERROR_LINES_MAX
    return said if more_lines <= 0 else f"{said}, and {more_lines:,} more lines"


def open_run(
    ledger: str | Path, run_id: str | None = None, as_of: int | None = None, *, despite_damage: bool = False
) -> Run:
    """Open a run (the latest when no id is given), as of the first `as_of` manifest entries when that is given.

    Raises NoSuchRun, BadRunId, and CannotDecide for what cannot be read. A record with a fault can be opened, and
    audited; asked for anything else it raises Damaged, unless it was opened `despite_damage`.
    """
    folder = Path(ledger)
    if run_id is None:
        runs = claim.run_ids(folder)
        if not runs:
            raise NoSuchRun(f"no run in {folder}: psion_ledger.record begins one; or name the folder with --ledger")
        run_id = runs[0]
    found = claim.find_run(folder, run_id)
    return Run(read(found, as_of), despite_damage=despite_damage)
