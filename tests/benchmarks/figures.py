"""What the benchmarks share: the events that they log, the clock, and the table that they print."""

import argparse
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from psion_ledger import events, log

SEQUENCES = 8
SEQUENCE_TOKENS = 1024
FAMILIES = ("books", "code", "math", "web")


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One row: the median of a few rounds, their lowest and highest, and what it should not exceed (or reach)."""

    what: str
    unit: str
    rounds: list[float]
    at_most: float | None = None
    at_least: float | None = None

    @property
    def value(self) -> float:
        return median(self.rounds)

    def cells(self) -> list[str]:
        target = "" if self.at_most is None else f"<= {self.at_most:,g}"
        target = target if self.at_least is None else f">= {self.at_least:,g}"
        return [self.what, _short(self.value), f"{_short(min(self.rounds))} to {_short(max(self.rounds))}", self.unit,
                target]  # fmt: skip


def _short(number: float) -> str:
    return f"{number:,.2f}" if number < 20 else f"{number:,.0f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def figures_table(figures: Iterable[Figure]) -> str:
    return table(["what", "median", "over the rounds", "unit", "target"], (figure.cells() for figure in figures))


def machine(folder: Path) -> str:
    """Date, processor, load, the file system of `folder` and the Python, in one line."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {len(os.sched_getaffinity(0))} cores ({model}), load {os.getloadavg()[0]:.1f} "
        f"at the start, {_file_system(folder)}, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


def _file_system(folder: Path) -> str:
    mounts = Path("/proc/mounts")
    if not mounts.is_file():
        return "unknown file system"
    above = {str(path) for path in (folder.resolve(), *folder.resolve().parents)}
    found = [line.split() for line in mounts.read_text(encoding="utf-8").splitlines()]
    return max((len(at), -place, kind) for place, (_, at, kind, *_) in enumerate(found) if at in above)[2]


def report(description: str, figures: Callable[[Path], list[Figure]]) -> None:
    """A benchmark as a command: the machine, then the table, of what is measured in a folder that may be named."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure")
    folder = parser.parse_args().folder
    print(machine(folder), end="\n\n")
    print(figures_table(figures(folder)))


def opened() -> events.StreamOpened:
    return events.StreamOpened(
        role="train",
        attempt=1,
        rank=0,
        host="benchmark",
        pid=os.getpid(),
        code_version="0",
        attempt_sha256=bytes(32),  # No attempt is claimed, and nobody audits this.
        previous=[],
    )


def new_writer(ledger: Path, run_id: str) -> log.Writer:
    return log.open_writer(log.create_run(ledger, run_id), opened())


def batches(first: int, count: int, families: int = len(FAMILIES)) -> list[events.BatchReplayed]:
    """Micro batches of eight sequences of 1,024 tokens from so many families, in an order like that of a shuffled
    corpus of a million sequences, with a digest that nothing compresses."""
    rng = random.Random(first)
    return [_batch(rng, place, FAMILIES[:families]) for place in range(first, first + count)]


def _batch(rng: random.Random, place: int, families: Sequence[str]) -> events.BatchReplayed:
    drawn = [*families, *rng.choices(families, k=SEQUENCES - len(families))]
    return events.BatchReplayed(
        pass_id="train", step=place // 4 + 1, micro_step=place % 4,
        first_position=place * SEQUENCES, stride=1, sequences=SEQUENCES,
        sequence_ids=[rng.randrange(1_000_000) for _ in range(SEQUENCES)], sequence_sha256s=[],
        family_tokens=[
            events.FamilyTokens(source_family_id=name, tokens=drawn.count(name) * SEQUENCE_TOKENS)
            for name in families
        ],
        tokens=SEQUENCES * SEQUENCE_TOKENS, target_tokens=SEQUENCES * (SEQUENCE_TOKENS - 1),
        token_sha256=rng.randbytes(32),
    )  # fmt: skip


def steps(first: int, count: int) -> list[events.StepCompleted]:
    rng = random.Random(first)
    return [
        events.StepCompleted(
            pass_id="train", step=place + 1, loss_sum_nats=rng.uniform(2e4, 3e4), target_tokens=8184,
            loss_divisor=8184.0, loss_nats=rng.uniform(2, 3), grad_norm=rng.random(), learning_rate=3e-4,
            step_ms=rng.uniform(90, 110), updated=True, trace_sha256=rng.randbytes(32), trainer_step=None,
        )
        for place in range(first, first + count)
    ]  # fmt: skip


def taken_s(call: Callable[[Any], object], given: Sequence[Any]) -> float:
    """Seconds of one call for each, one after the other."""
    started = time.perf_counter()
    for one in given:
        call(one)
    return time.perf_counter() - started
