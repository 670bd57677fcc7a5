"""Sealing in processes of their own, so that the trainer's neither stalls nor grows nor loads pyarrow."""

import subprocess
import sys
from pathlib import Path

from psion_ledger.errors import CannotDecide
from psion_ledger.log.child import child_command

# A writer that is this many full journals ahead of its sealer waits for it: disk, not memory, is what they take.
JOURNALS_AHEAD_MAX = 8


def _command(run: Path, *words: str) -> list[str]:
    return child_command("psion_ledger.log", str(run.absolute()), *words)


def seal_in_child(run: Path) -> None:
    """Seal what can be sealed, and wait for it. Raises CannotDecide."""
    done = subprocess.run(_command(run), capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotDecide(f"run {run.name}: sealing failed: {done.stderr.strip() or f'exit {done.returncode}'}")
    if done.stderr:
        print(done.stderr.rstrip(), file=sys.stderr)


class Sealer:
    """Seals one stream behind its writer's back, one child at a time. A child that fails leaves every journal where
    it is, says so on stderr, and the next one begins with them again: nothing is dropped."""

    def __init__(self, run: Path, stream: str) -> None:
        self._command = _command(run, stream)
        self._child: subprocess.Popen[bytes] | None = None
        self._journals_ahead = 0

    def journal_left(self) -> None:
        """The writer has gone on to a new journal. Returns at once, unless the sealer is too far behind."""
        self._journals_ahead += 1
        if self._child is not None and self._child.poll() is None:
            if self._journals_ahead < JOURNALS_AHEAD_MAX:
                return
            self._child.wait()
        self._journals_ahead = 0
        self._child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def wait(self) -> None:
        if self._child is not None:
            self._child.wait()
