"""The audit, as a command."""

import io
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from psion_ledger.cli.app import (
    ARTIFACTS,
    LEDGER,
    AsOf,
    Deep,
    DocumentFormat,
    Ledger,
    OptionalArtifacts,
    OptionalRun,
    Output,
    app,
    guarded,
    phase,
    read_file,
    reader_may_leave,
    to_judge,
)
from psion_ledger.cli.output import Placed, write_out
from psion_ledger.errors import UsageError

if TYPE_CHECKING:
    from psion_ledger.witness import Kept


class Required(StrEnum):
    intact = "intact"
    accounted = "accounted"
    ordered = "ordered"
    replayed = "replayed"
    witnessed = "witnessed"


@app.command()
@guarded
def audit(
    run: OptionalRun = None,
    require: Annotated[
        list[Required],
        typer.Option("--require", help="The level that PASS asks for; repeat it to add `witnessed` to a level."),
    ] = [Required.accounted],  # noqa: B006
    corpus: Annotated[
        Path | None,
        typer.Option("--corpus", help="The folder of the corpus's shards; replays order and content."),
    ] = None,
    artifacts: OptionalArtifacts = None,
    select: Annotated[
        list[str] | None,
        typer.Option("-s", "--select", metavar="LAW|family:F", help="Only these laws, and integrity; repeatable."),
    ] = None,
    format: DocumentFormat = "rich",
    output: Output = None,
    as_of: AsOf = None,
    deep: Deep = False,
    expect_head: Annotated[
        Path | None, typer.Option("--expect-head", metavar="NOTE", help="A signed head that was kept outside.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="PUB", help="The Ed25519 public key (PEM) that signed it.")
    ] = None,
    ledger: Ledger = LEDGER,
) -> int:
    """Check every law over a run, and say how far its evidence carries."""
    from psion_ledger import auditing, listing
    from psion_ledger.report import facts, terminal
    from psion_ledger.report.console import console

    own = (artifacts or ARTIFACTS, ledger) if run is None else ((artifacts or ARTIFACTS) / run, ledger / run)
    placed = Placed.at(output, expect_head, key, corpus, *own)
    kept = _kept(expect_head, key)
    with to_judge(ledger, run, as_of) as record:
        with phase(f"auditing {record.run_id}"):
            found = auditing.audit(
                record,
                require=[r.value for r in require],
                artifacts=artifacts,
                corpus=corpus,
                select=select,
                kept=kept,
                deep=deep,
            )
        if not select and as_of is None:
            listing.keep_verdict(record, found)
        if format == "json":
            write_out(auditing.to_json(found).decode(), placed)
            return found.exit_code
        known = None if found.damaged or select else facts.gather(record, found, auditing.commands(record, artifacts))
    if placed is None:
        with reader_may_leave():
            terminal.show_audit(console(), found, known)
            sys.stdout.flush()
    else:
        shown = io.StringIO()
        terminal.show_audit(console(shown), found, known)
        write_out(shown.getvalue().rstrip("\n"), placed)
    return found.exit_code


def _kept(note: Path | None, key: Path | None) -> "Kept | None":
    from psion_ledger import heads, witness

    if note is None and key is None:
        return None
    if note is None or key is None:
        raise UsageError("give both --expect-head and --key: a head is worth what the key is that you pin")
    return witness.keep(read_file(note), heads.load_public_key(key))
