"""`python -m tests.campaigns [NAME ...] [--full]`: crash, kill and break the log, and say what became of it.

A tenth of each campaign by default, drawn by the seed; `--full` is every case. `--only CASE` repeats one.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.campaigns.concurrency import concurrency
from tests.campaigns.crashes import crashes
from tests.campaigns.faults import faults
from tests.campaigns.flips import flips
from tests.campaigns.interrupts import interrupts
from tests.campaigns.kills import kills
from tests.campaigns.results import Result, empty_folder
from tests.campaigns.truncation import truncation

CAMPAIGNS: dict[str, Callable[[float, int, str | None], Result]] = {
    "crashes": crashes,
    "kills": kills,
    "faults": faults,
    "flips": flips,
    "truncation": truncation,
    "concurrency": concurrency,
    "interrupts": interrupts,
}


def machine() -> str:
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    with empty_folder() as folder:
        mounts = [line.split()[1:3] for line in _lines("/proc/mounts")]
        within = [(where, kind) for where, kind in mounts if folder.is_relative_to(where)]
        file_system = max(within, default=("", "unknown"), key=lambda mount: len(mount[0]))[1]
    return (
        f"{os.cpu_count()} cores, {model or platform.machine()}; {platform.system()} {platform.release()}; "
        f"{file_system}; Python {platform.python_version()}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CAMPAIGNS)}; all by default")
    parser.add_argument("--full", action="store_true", help="every case instead of a tenth")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="CASE", help="one case of one campaign, as a failure named it")
    asked = parser.parse_args()
    names = asked.names or list(CAMPAIGNS)
    if unknown := set(names) - CAMPAIGNS.keys():
        parser.error(f"no campaign {', '.join(sorted(unknown))}")
    if asked.only and len(names) != 1:
        parser.error("--only goes with the name of its campaign")
    what = f"case {asked.only}" if asked.only else "every case" if asked.full else "a tenth of the cases"
    print(f"# Campaigns: {what}, seed {asked.seed}\n")
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {machine()}\n", flush=True)
    failures_total = 0
    for name in names:
        result = CAMPAIGNS[name](1.0 if asked.full else 0.1, asked.seed, asked.only)
        failures_total += len(result.failures)
        print(f"## {result.name}: {result.cases:,} cases, {len(result.failures):,} failures, {result.seconds:,.0f} s\n")
        print(f"{result.distinct:,} distinct. {result.detail}\n")
        for failure in result.failures:
            print(f"- {failure}\n")
        sys.stdout.flush()
    return 1 if failures_total else 0


if __name__ == "__main__":
    sys.exit(main())
