"""What every command shares: the application, the kinds of argument, and how a command ends.

Data goes to stdout, talk to stderr. Exit codes: 0 it holds, 1 a law is violated, 2 wrong usage or configuration,
3 cannot decide (any crash of ours included), 4 no such run.
"""

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, ParamSpec

import typer

from psion_ledger.errors import LedgerError
from psion_ledger.escape import brief, plain
from psion_ledger.inputs import read_input

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
OptionalArtifacts = Annotated[
    Path | None,
    typer.Option(
        "--artifacts", envvar="PSION_LEDGER_ARTIFACTS", help="The folder of the trainer's own output; ./runs without."
    ),
]
AsOf = Annotated[int | None, typer.Option("--as-of", min=0, help="Only the first N manifest entries.")]
Deep = Annotated[
    bool, typer.Option("--deep", help="Encode every sealed event again, and recompute its links and roots.")
]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Write to this file.")]
DocumentFormat = Annotated[Literal["rich", "json"], typer.Option("--format", help="How to print it.")]
DespiteDamage = Annotated[
    bool, typer.Option("--despite-damage", help="Answer from the files that hold, under a banner; nothing is verified.")
]
FAULTS_SHOWN = 5
# Longer than any message of ours: what it quotes may be of any length.
LINE_CHARACTERS_MAX = 2000
SILENT_S_MAX = 1.9
LEDGER = Path("ledger")
ARTIFACTS = Path("runs")


def say(message: str) -> None:
    """Talk: one escaped line on stderr, of no more than people read."""
    print(plain(brief(message, LINE_CHARACTERS_MAX)), file=sys.stderr)


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
            _forget_stdout()
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


def _forget_stdout() -> None:
    """The reader has gone; what is left in the buffer must not fail a second time at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """For a report beside a verdict: `| head` takes a part of it, and the verdict is the exit code's."""
    try:
        yield
    except BrokenPipeError:
        _forget_stdout()


def opened(ledger: Path, run_id: str | None, as_of: int | None = None, *, despite_damage: bool = False) -> "Run":
    """The run to answer from; says which when none was named. Raises Damaged when no answer can rest on its record;
    with `despite_damage` it says so on stderr, above every answer."""
    from psion_ledger.ledger import open_run

    run = open_run(ledger, run_id, as_of, despite_damage=despite_damage)
    if run_id is None:
        say(f"run {run.run_id} (the latest in {ledger})")
    try:
        run.require_whole()
        if despite_damage and run.faults:
            say(f"DAMAGED, NOT VERIFIED: {len(run.faults)} files of run {run.run_id} are left out of this answer:")
            for fault in run.faults[:FAULTS_SHOWN]:
                say(f"  {fault.file}: {fault.reason}")
    except BaseException:
        run.close()
        raise
    return run


def to_judge(ledger: Path, run_id: str | None, as_of: int | None = None) -> "Run":
    """The run to audit: damage is what an audit is there to find."""
    from psion_ledger.ledger import open_run

    run = open_run(ledger, run_id, as_of)
    if run_id is None:
        say(f"run {run.run_id} (the latest in {ledger})")
    return run


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Say what is under way as soon as it takes longer than people like to wait in silence."""
    speaking = threading.Timer(SILENT_S_MAX, say, [f"{name} ..."])
    speaking.daemon = True
    speaking.start()
    try:
        yield
    finally:
        speaking.cancel()


def read_file(path: Path) -> bytes:
    """A file that the user names. Raises UsageError."""
    return read_input(path)[0]
