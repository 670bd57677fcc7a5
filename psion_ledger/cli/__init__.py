"""The command line: parse, call, render, exit code."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from psion_ledger import __version__
from psion_ledger.cli import audits, custody, data, finishing, orders, proofs, receipts, runs
from psion_ledger.cli.app import app, say
from psion_ledger.cli.supervise import supervised
from psion_ledger.errors import CannotDecide, LedgerError
from psion_ledger.settings import from_pyproject

__all__ = ["app", "audits", "custody", "data", "finishing", "main", "orders", "proofs", "receipts", "runs"]


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit(0)


def main() -> None:
    watched = len(sys.argv) > 1 and sys.argv[-1] != "--help"
    try:
        defaults = from_pyproject(Path.cwd())
        if watched:
            supervised()
    except LedgerError as error:
        say(f"psion-ledger: {error}")
        sys.exit(error.exit_code)
    except OSError as error:
        # The folder we are in was removed, or no process can be made.
        say(f"psion-ledger: cannot begin: {error}")
        sys.exit(CannotDecide.exit_code)
    commands = {command.callback.__name__ for command in app.registered_commands if command.callback}
    known: dict[str, Any] = dict.fromkeys(commands - {receipts.verify.__name__}, defaults)
    proving = {command.callback.__name__ for command in proofs.prove.registered_commands if command.callback}
    known["prove"] = dict.fromkeys(proving, defaults)
    try:
        app(default_map=known)
    except SystemExit as ended:
        if watched and (ended.code is None or isinstance(ended.code, int)):
            _leave(ended.code or 0)
        raise


if __name__ == "__main__":
    main()


def _leave(code: int) -> NoReturn:
    """End at once: threads of native libraries that are still at work abort a process that takes its time to end."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
