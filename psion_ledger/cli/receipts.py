"""Commands about a run's receipt: print it, and check one against its ledger and its documents."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from psion_ledger.cli.app import (
    LEDGER,
    DespiteDamage,
    DocumentFormat,
    Ledger,
    Output,
    RequiredRun,
    app,
    guarded,
    opened,
    read_file,
    say,
)
from psion_ledger.cli.output import Placed
from psion_ledger.errors import CannotDecide, UsageError
from psion_ledger.settings import from_pyproject

OptionalLedger = Annotated[
    Path | None,
    typer.Option("--ledger", help="The ledger to derive it from; the usual one when no documents are given."),
]


def usual_ledger() -> Path:
    """The ledger's folder for a command whose --ledger has no default, because leaving it out means something."""
    return Path(os.environ.get("PSION_LEDGER_LEDGER") or from_pyproject(Path.cwd()).get("ledger") or LEDGER)


@app.command()
@guarded
def receipt(
    run: RequiredRun, output: Output = None, despite_damage: DespiteDamage = False, ledger: Ledger = LEDGER
) -> int:
    """Print the run's receipt: the recorded one, byte for byte, or what the record gives now."""
    import msgspec

    from psion_ledger.contracts import encode_document
    from psion_ledger.escape import json_safe
    from psion_ledger.receipts import derive_receipt

    placed = Placed.at(output, ledger / run)
    with opened(ledger, run, despite_damage=despite_damage) as record:
        recorded = record.first("select document from receipt_recorded order by attempt desc, seq desc limit 1")
        if recorded is None:
            say("no receipt is recorded; this is what the record gives now")
        text = encode_document(derive_receipt(record)) if recorded is None else str(recorded[0])
    try:
        msgspec.json.decode(text.encode())
    except (ValueError, RecursionError) as error:
        # Whatever else it is, a terminal may obey it.
        raise CannotDecide(f"run {run}: the recorded receipt is not JSON: {error}; audit the run") from error
    if placed is not None:
        placed.put(text.encode())
        return 0
    if (safe := json_safe(text)) != text:
        say("it holds characters that a terminal obeys: they are escaped here; -o writes it byte for byte")
    sys.stdout.write(safe)
    return 0


@app.command()
@guarded
def verify(
    receipt: Annotated[Path, typer.Argument(metavar="FILE", help="A psion.pretrain_stage_receipt.v1.")],
    config: Annotated[Path | None, typer.Option("--config", help="Its stage config.")] = None,
    descriptor: Annotated[Path | None, typer.Option("--descriptor", help="The model descriptor.")] = None,
    corpus: Annotated[Path | None, typer.Option("--corpus", help="The tokenized corpus manifest.")] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="The sampling policy.")] = None,
    profile: Annotated[
        Literal["strict", "original"], typer.Option("--profile", help="Every fault, or the original's verdict alone.")
    ] = "strict",
    ledger: OptionalLedger = None,
    format: DocumentFormat = "rich",
) -> int:
    """Check a receipt: against its ledger (it is derived again), against its documents, or both."""
    from psion_ledger.report import documents, machine, show

    given = [path for path in (config, descriptor, corpus, policy) if path is not None]
    text = read_file(receipt)
    found = None
    if len(given) == 4:
        found = documents.check(text, *map(read_file, given), profile=profile)
    elif given or profile == "original":
        raise UsageError("give all of --config, --descriptor, --corpus and --policy, or none to derive from a ledger")
    if found is None or ledger is not None:
        from psion_ledger import receipts

        named = receipts.decode_receipt(text).run_id
        with opened(ledger or usual_ledger(), named) as record:
            found = documents.joined(found, receipts.verify_receipt(record, text))
    if format == "json":
        print(machine.document("psion_ledger.verification.v1", show.verification(found)))
    else:
        show.print_verification(found)
    return 1 if found.findings else 0
