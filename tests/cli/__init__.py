"""The command line as people run it: a process, its exit code, its two streams."""

import atexit
import functools
import os
from pathlib import Path

from tests.forked import Ended, Forking

ROOT = Path(__file__).resolve().parents[2]
FIXTURE_LEDGER = ROOT / "fixtures" / "ledger"
FIXTURE_RUNS = ROOT / "fixtures" / "runs"
FIXTURE = "fixture"


@functools.cache
def forking() -> Forking:
    made = Forking()
    atexit.register(made.close)
    return made


def psion(*words: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> Ended:
    """Run `psion-ledger` with these words."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("PSION_LEDGER_")}
    return forking().run(words, cwd or ROOT, known | (env or {}))


def fixture(*words: object) -> Ended:
    """Run `psion-ledger` on the recorded fixture's ledger."""
    return psion(*words, "--ledger", FIXTURE_LEDGER)
