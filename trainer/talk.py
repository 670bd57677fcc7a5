"""Talk to people, on stderr: one escaped line at a time, as a rule from rank 0, and no long silence.

It may quote a ledger, whose strings a terminal must not obey. Nobody has to listen: a stderr that breaks stops nothing.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from psion_ledger.escape import plain

SILENT_S_MAX = 1.9

_turn = threading.Lock()
_last_line_s = time.monotonic()


def say(line: str, *, every_rank: bool = False) -> None:
    global _last_line_s
    if sys.stderr is None or (os.environ.get("RANK", "0") != "0" and not every_rank):
        return
    _last_line_s = time.monotonic()
    try:
        sys.stderr.write(f"{plain(line)}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        forget(sys.stderr.fileno())


def silent_s() -> float:
    """Seconds since the last line."""
    return time.monotonic() - _last_line_s


def forget(descriptor: int) -> None:
    """Whoever read has gone (`| head`): what is still written there goes nowhere, and is no error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


@contextmanager
def phase(name: str, *, reminding: bool = True) -> Iterator[None]:
    """Say what is under way at once, and again whenever nothing else was said for long."""
    say(name)
    began_s, over = time.monotonic(), threading.Event()

    def remind() -> None:
        while not over.wait(max(0.05, SILENT_S_MAX - silent_s())):
            with _turn:
                if not over.is_set() and silent_s() >= SILENT_S_MAX:
                    say(f"{name} ({time.monotonic() - began_s:.0f} s)")

    if reminding:
        threading.Thread(target=remind, daemon=True).start()
    try:
        yield
    finally:
        with _turn:
            over.set()
