"""Where everything for people is printed: at most 100 columns, every text escaped."""

from typing import IO

from rich.console import Console
from rich.text import Text

from psion_ledger.escape import brief, plain

COLUMNS = 100


class _Console(Console):
    """Rich would end the process with exit code 1 when the reader leaves, and 1 means that a law is violated."""

    def on_broken_pipe(self) -> None:
        raise  # It is called where the BrokenPipeError was caught.


def console(file: IO[str] | None = None) -> Console:
    """A console of 100 columns at most, on stdout or a file; Rich honours NO_COLOR by itself."""
    made = _Console(file=file, highlight=False, emoji=False, markup=False)
    made.width = min(made.width, COLUMNS) if made.is_terminal else COLUMNS
    return made


def text(value: object, style: str = "") -> Text:
    return Text(plain(brief(str(value))), style=style)
