"""The end of a run, as a command: it goes on from wherever an earlier one was stopped."""

from pathlib import Path
from typing import Annotated

import typer

from psion_ledger.cli.app import ARTIFACTS, LEDGER, Artifacts, Ledger, RequiredRun, app, guarded, say


@app.command()
@guarded
def finish(
    run: RequiredRun,
    corpus: Annotated[
        Path | None,
        typer.Option("--corpus", help="The folder of the run's data; replays order and content, and records it."),
    ] = None,
    ended_early: Annotated[
        str | None, typer.Option("--ended-early", metavar="REASON", help="Why it ends before its horizon.")
    ] = None,
    artifacts: Artifacts = ARTIFACTS,
    ledger: Ledger = LEDGER,
) -> int:
    """Seal a run whose training has ended, replay it, derive its receipt, complete its stage, and finish it."""
    from psion_ledger import log
    from psion_ledger.recording.finishing import finish_run

    folder = log.find_run(ledger, run)
    own = artifacts / run / "corpus"
    found = finish_run(folder, corpus or (own if own.is_dir() else None), ended_early, say)
    if found.differs:
        say(f"run {run}: a replay differs from what was trained, so it is not finished; `psion-ledger audit {run}`")
        return 1
    print(f"finished {run}: {found.replays} replays, {'a receipt' if found.received else 'no receipt'}")
    return 0
