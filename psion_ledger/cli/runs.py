"""Commands about one run, or all: runs, show, query, replay, laws, catalog."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from psion_ledger import __version__
from psion_ledger.cli.app import (
    ARTIFACTS,
    LEDGER,
    Artifacts,
    AsOf,
    DespiteDamage,
    DocumentFormat,
    Ledger,
    OptionalRun,
    RequiredRun,
    app,
    guarded,
    opened,
    phase,
    say,
)
from psion_ledger.cli.output import Placed
from psion_ledger.errors import NoSuchRun, UsageError

if TYPE_CHECKING:
    pass


RowFormat = Annotated[Literal["table", "json", "csv"], typer.Option("--format", help="How to print the rows.")]


@app.command()
@guarded
def runs(
    ledger: Ledger = LEDGER,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Verify every run now; without it, a run that did not change is not read.")
    ] = False,
    despite_damage: DespiteDamage = False,
    format: DocumentFormat = "rich",
) -> int:
    """List the runs of a ledger, latest first, as of when each was verified; of one that is damaged it says that alone,
    and ends with 3."""
    from psion_ledger import listing
    from psion_ledger.report import machine
    from psion_ledger.report import runs as showing

    if not os.path.lexists(ledger):
        raise NoSuchRun(f"no ledger {ledger}: psion_ledger.record begins one; or name the folder with --ledger")
    with phase("reading the runs"):
        lines = listing.lines(ledger, despite_damage=despite_damage, fresh=fresh)
    if format == "json":
        print(machine.document("psion_ledger.runs.v1", {"runs": showing.values(lines)}))
    elif lines:
        _print_table(showing.NAMES, showing.rows(lines))
    else:
        say(f"no runs in {ledger}: psion_ledger.record begins one; or name the folder with --ledger")
    return 3 if any(line.entries is None for line in lines) else 0


@app.command()
@guarded
def show(
    run: OptionalRun = None,
    as_of: AsOf = None,
    despite_damage: DespiteDamage = False,
    ledger: Ledger = LEDGER,
    format: DocumentFormat = "rich",
) -> int:
    """Show what a run is and how far it came: its bytes are verified, its claims are not."""
    from psion_ledger.report import machine
    from psion_ledger.report import show as showing

    with opened(ledger, run, as_of, despite_damage=despite_damage) as record:
        if format == "json":
            print(machine.document("psion_ledger.show.v1", showing.facts(record)))
        else:
            showing.print_run(record)
    return 0


@app.command()
@guarded
def query(
    run: RequiredRun,
    sql: Annotated[
        str | None,
        typer.Argument(metavar="SQL|@name", help="One SELECT, or a named report; lists what there is without."),
    ] = None,
    format: RowFormat = "table",
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Print at most this many rows; 1,000 for a table, all for JSON and CSV."),
    ] = None,
    as_of: AsOf = None,
    despite_damage: DespiteDamage = False,
    ledger: Ledger = LEDGER,
) -> int:
    """Ask one SELECT of the verified record; it reads, and can do nothing else."""
    from psion_ledger import sandbox

    sandbox.begin()
    from psion_ledger.report import machine
    from psion_ledger.report import rows as printing

    with opened(ledger, run, as_of, despite_damage=despite_damage) as record, phase("asking"):
        if sql is None:
            printing.print_entries(["name", "what it holds"], printing.relation_lines())
            return 0
        relation = record.sql(printing.named_query(sql[1:]) if sql.startswith("@") else sql)
        names, rows = list(relation.columns), relation.fetchall()
    shown = limit or (printing.ROWS_SHOWN_MAX if format == "table" else len(rows))
    if len(rows) > shown:
        say(f"the first {shown:,} of {len(rows):,} rows: --limit prints more")
        rows = rows[:shown]
    if format == "json":
        values = [dict(zip(names, row, strict=True)) for row in rows]
        print(machine.document("psion_ledger.rows.v1", {"rows": values}))
    elif format == "csv":
        sys.stdout.write(machine.csv_text(names, rows))
    else:
        _print_table(names, rows)
    return 0


def _print_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from psion_ledger.report.rows import print_rows

    if left_out := print_rows(names, rows):
        say(f"{len(left_out)} of {len(names)} columns do not fit the terminal: {', '.join(left_out)}")


@app.command()
@guarded
def replay(
    run: RequiredRun,
    corpus: Annotated[
        Path | None,
        typer.Option("--corpus", help="The folder of the corpus's shards; the run's own without it."),
    ] = None,
    record: Annotated[bool, typer.Option("--record", help="Append the pass to the ledger.")] = False,
    artifacts: Artifacts = ARTIFACTS,
    ledger: Ledger = LEDGER,
    format: DocumentFormat = "rich",
) -> int:
    """Derive order and content of every batch again from contracts and shards, and compare."""
    import msgspec

    from psion_ledger import log
    from psion_ledger import replay as replaying
    from psion_ledger.report import machine, show

    shards = corpus if corpus is not None else artifacts / run / "corpus"
    if record:
        folder = log.find_run(ledger, run)
        found = replaying.record_replay(folder, shards, __version__)
        log.seal_run(folder)
    else:
        with opened(ledger, run) as opened_run, phase(f"replaying {run}"):
            found = replaying.replay(opened_run, shards)
    values: dict[str, Any] = msgspec.to_builtins(found)
    if format == "json":
        print(machine.document(values.pop("schema"), values))
    else:
        show.print_replay(found)
    return 1 if found.mismatches else 0


@app.command()
@guarded
def laws(format: DocumentFormat = "rich") -> int:
    """List the laws by family, with what each promises."""
    from psion_ledger import catalog
    from psion_ledger.report import machine
    from psion_ledger.report.rows import print_entries

    names = ("name", "family", "level", "over", "law")
    rows = [{name: law.header[name] for name in names} for law in catalog.laws()]
    if format == "json":
        print(machine.document("psion_ledger.laws.v1", {"laws": rows}))
    else:
        print_entries(["family", "law", "it promises"], [[r["family"], r["name"], r["law"]] for r in rows])
    return 0


@app.command()
@guarded
def catalog(
    run: RequiredRun,
    output: Annotated[Path, typer.Option("-o", "--output", help="The DuckDB file to write.")],
    as_of: AsOf = None,
    ledger: Ledger = LEDGER,
) -> int:
    """Write a DuckDB file of views over the run's verified files, for any DuckDB client."""
    from psion_ledger.duckdb_file import write_catalog

    if os.path.lexists(output):
        raise UsageError(f"{output} exists: delete it first, it can always be made again")
    placed = Placed.at(output, ledger / run)
    assert placed is not None, "the option is required"
    with opened(ledger, run, as_of) as record:
        write_catalog(record, placed.scratch, placed.path)
    say(f"{output}: verified as of now; delete it and make it again at will")
    return 0
