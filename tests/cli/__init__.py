"""The command line as people run it: a real process, its exit code, its two streams."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIXTURE_LEDGER = ROOT / "fixtures" / "ledger"
FIXTURE_RUNS = ROOT / "fixtures" / "runs"
FIXTURE = "fixture"


def psion(
    *words: object, cwd: Path | None = None, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `psion-ledger` with these words."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("PSION_LEDGER_")}
    return subprocess.run(
        [sys.executable, "-m", "psion_ledger", *map(str, words)],
        capture_output=True, text=True, cwd=cwd or ROOT, env=known | (env or {}), timeout=120,
    )  # fmt: skip


def fixture(*words: object) -> "subprocess.CompletedProcess[str]":
    """Run `psion-ledger` on the recorded fixture's ledger."""
    return psion(*words, "--ledger", FIXTURE_LEDGER)
