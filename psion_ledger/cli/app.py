"""What every command shares: the application, the kinds of argument, and how a command ends.

Data goes to stdout, talk to stderr. Exit codes: 0 it holds, 1 a law is violated, 2 wrong usage or configuration,
3 cannot decide (any crash of ours included), 4 no such run.
"""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, ParamSpec

import typer

from psion_ledger.errors import LedgerError, UsageError
from psion_ledger.report.escape import plain

if TYPE_CHECKING:
    from psion_ledger.ledger import Run

P = ParamSpec("P")
app = typer.Typer(
    name="psion-ledger",
    help="Audit a pretraining run from its ledger: what it saw, in which shares and order, and what came out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

OptionalRun = Annotated[str | None, typer.Argument(metavar="RUN", help="The run's id; the latest without it.")]
RequiredRun = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
Ledger = Annotated[Path, typer.Option("--ledger", envvar="PSION_LEDGER_LEDGER", help="The folder that holds the runs.")]
Artifacts = Annotated[
    Path,
    typer.Option("--artifacts", envvar="PSION_LEDGER_ARTIFACTS", help="The folder of the trainer's own output."),
]
AsOf = Annotated[int | None, typer.Option("--as-of", min=0, help="Only the first N manifest entries.")]
Deep = Annotated[
    bool, typer.Option("--deep", help="Encode every sealed event again, and recompute its links and roots.")
]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write to this file.")]
DocumentFormat = Annotated[Literal["rich", "json"], typer.Option("--format", help="How to print it.")]
LEDGER = Path("ledger")
ARTIFACTS = Path("runs")


def say(message: str) -> None:
    """Talk: one escaped line on stderr."""
    print(plain(message), file=sys.stderr)


def guarded(command: Callable[P, int]) -> Callable[P, None]:
    """Turn what a command returns or raises into an exit code; Typer alone would make any crash a 1."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
            sys.stdout.flush()
        except LedgerError as error:
            say(f"psion-ledger: {error}")
            code = error.exit_code
        except BrokenPipeError:
            # The reader has gone; what is left in the buffer must not fail a second time at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 3
        except KeyboardInterrupt:
            say("psion-ledger: interrupted")
            code = 3
        except Exception as error:
            if os.environ.get("PSION_LEDGER_DEBUG"):
                raise
            say(f"psion-ledger: cannot decide, {type(error).__name__}: {error} (PSION_LEDGER_DEBUG=1 shows where)")
            code = 3
        raise typer.Exit(code)

    return run


def opened(ledger: Path, run_id: str | None, as_of: int | None = None) -> "Run":
    """The run to work on; says which when none was named."""
    from psion_ledger.ledger import open_run

    run = open_run(ledger, run_id, as_of)
    if run_id is None:
        say(f"run {run.run_id} (the latest in {ledger})")
    return run


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def write_out(content: str, path: Path | None) -> None:
    if path is None:
        print(content)
        return
    try:
        path.write_text(content + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
