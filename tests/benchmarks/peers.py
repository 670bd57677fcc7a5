"""One logged step, here and in other tools, in one run: `python -m tests.benchmarks.peers`. Only its ratios carry over.

The peers are no dependencies. Make a virtual environment for them, and run this file with it from the project's root:

    python -m venv PEERS && PEERS/bin/pip install tensorboard wandb mlflow msgspec pyarrow
    PEERS/bin/python -m tests.benchmarks.peers

With torch installed there too, TensorBoard is measured through torch's SummaryWriter as well. A peer that is not
installed is said to be so and left out. Nothing is sent anywhere: W&B runs offline, MLflow's telemetry is off.

Measured is the caller's time a step until the call returns, over all steps of a round; inputs are made outside of it,
200 steps at a time. Each round of each tool is a process of its own, by turns; the table has the medians of the
rounds. Nobody is asked to sync (ours does so every 50 ms anyway), and what a tool does when it is closed is left out.
A step is ten scalars for a peer: loss, learning rate, gradient norm, four families' tokens, first position,
positions, tokens. Ours is one `batch_replayed` with four families' tokens, eight sequence ids and a digest; in the
stricter row a `step_completed` with the loss, the learning rate and the norm is logged too, so that all ten are in.
"""

import argparse
import importlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from tests.benchmarks.figures import FAMILIES, batches, machine, new_writer, steps, table, taken_s

ROUNDS = 3
CHUNK_STEPS = 200
OFFLINE = {
    "WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off", "WANDB_DISABLE_GIT": "true",
    "WANDB_ERROR_REPORTING": "false", "WANDB__DISABLE_STATS": "true", "TF_CPP_MIN_LOG_LEVEL": "3",
    "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}  # fmt: skip


# What makes the inputs of some steps, first to last, and what logs one of them.
Logger = tuple[Callable[[int, int], Sequence[Any]], Callable[[Any], object]]


def scalars(first: int, count: int) -> list[tuple[int, dict[str, float]]]:
    """Steps, from 1, and their ten values."""
    return [(step, _ten(step)) for step in range(first + 1, first + count + 1)]


def _ten(step: int) -> dict[str, float]:
    families = {f"tokens_{name}": 1024.0 + step % (7 + place) for place, name in enumerate(FAMILIES)}
    return {
        "loss": 10 / (1 + step * 1e-4), "learning_rate": 3e-4, "grad_norm": 1 + step % 97 / 97, **families,
        "first_position": step * 8.0, "positions": 8.0, "tokens": 8192.0,
    }  # fmt: skip


@contextmanager
def ours(folder: Path) -> Iterator[Logger]:
    with new_writer(folder, "benchmark") as writer:
        yield batches, writer.emit


@contextmanager
def ours_two_events(folder: Path) -> Iterator[Logger]:
    def made(first: int, count: int) -> list[Any]:
        return list(zip(batches(first, count), steps(first, count), strict=True))

    with new_writer(folder, "benchmark") as writer:

        def log_step(given: Any) -> None:
            batch, step = given
            writer.emit(batch)
            writer.emit(step)

        yield made, log_step


@contextmanager
def tensorboard_torch(folder: Path) -> Iterator[Logger]:
    with importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(folder)) as writer:

        def log_step(given: Any) -> None:
            step, values = given
            for name, value in values.items():
                writer.add_scalar(name, value, step)

        yield scalars, log_step


@contextmanager
def tensorboard_alone(folder: Path) -> Iterator[Logger]:
    event = importlib.import_module("tensorboard.compat.proto.event_pb2").Event
    summary = importlib.import_module("tensorboard.compat.proto.summary_pb2").Summary
    files = importlib.import_module("tensorboard.summary.writer.event_file_writer")

    def log_step(given: Any) -> None:
        step, values = given
        for name, value in values.items():
            one = summary(value=[summary.Value(tag=name, simple_value=value)])
            writer.add_event(event(wall_time=time.time(), step=step, summary=one))

    with closing(files.EventFileWriter(str(folder))) as writer:
        yield scalars, log_step


@contextmanager
def wandb_offline(folder: Path) -> Iterator[Logger]:
    with importlib.import_module("wandb").init(project="benchmark", dir=str(folder), mode="offline") as run:
        run.log({"started": 1}, step=0)
        yield scalars, lambda given: run.log(given[1], step=given[0])


@contextmanager
def mlflow_sqlite(folder: Path) -> Iterator[Logger]:
    mlflow = importlib.import_module("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("benchmark")
    with mlflow.start_run():
        mlflow.log_metrics({"started": 1}, step=0)
        yield scalars, lambda given: mlflow.log_metrics(given[1], step=given[0])


class Contender(msgspec.Struct, frozen=True):
    """One way to log a step: `steps` of them are measured. `at_least` is the ratio to reach."""

    what: str
    needs: tuple[str, ...]
    open: Callable[[Path], AbstractContextManager[Logger]]
    steps: int
    at_least: float | None = None


CONTENDERS = {
    "ours": Contender("psion-ledger, `batch_replayed`", (), ours, 100_000),
    "ours_two_events": Contender("psion-ledger, `batch_replayed` and `step_completed`", (), ours_two_events, 100_000),
    "tensorboard_torch": Contender(
        "TensorBoard, torch's SummaryWriter, 10 add_scalar", ("torch", "tensorboard"), tensorboard_torch, 5000, 100
    ),
    "tensorboard_alone": Contender(
        "TensorBoard, bare EventFileWriter, 10 events", ("tensorboard",), tensorboard_alone, 5000
    ),
    "wandb_offline": Contender("W&B offline, log", ("wandb",), wandb_offline, 5000, 30),
    "mlflow_sqlite": Contender("MLflow, SQLite (its default), log_metrics", ("mlflow",), mlflow_sqlite, 500, 1000),
}


def installed(contender: Contender) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in contender.needs)


def step_us(contender: Contender, count: int, folder: Path) -> float:
    """The caller's microseconds a step."""
    with contender.open(folder) as (made, log_step):
        chunks = range(0, count, CHUNK_STEPS)
        return sum(taken_s(log_step, made(at, min(CHUNK_STEPS, count - at))) for at in chunks) / count * 1e6


def step_us_in_child(name: str, count: int, folder: Path) -> float:
    """Microseconds a step, measured in a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, "-m", "tests.benchmarks.peers", "--only", name, "--steps", str(count)]
        done = subprocess.run(
            [*command, "--folder", scratch], env=os.environ | OFFLINE, capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise RuntimeError(f"{name}: exit {done.returncode}: {done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def measure(folder: Path, rounds: int, steps_max: int | None = None) -> dict[str, list[float]]:
    """Microseconds a step, of each tool that is installed, in each round; the tools take turns."""
    found = {name: min(one.steps, steps_max or one.steps) for name, one in CONTENDERS.items() if installed(one)}
    turns = [{name: step_us_in_child(name, count, folder) for name, count in found.items()} for _ in range(rounds)]
    return {name: [turn[name] for turn in turns] for name in found}


def comparison(taken: dict[str, list[float]]) -> str:
    """The table of what was measured; a tool that is not in it was not installed."""
    rows = []
    for name, one in CONTENDERS.items():
        if name not in taken:
            rows.append([one.what, "not installed", "", "", "", ""])
            continue
        middle = median(taken[name])
        ratios = [f"{middle / median(taken[base]):,.1f}" for base in ("ours", "ours_two_events")]
        spread = f"{min(taken[name]):,.1f} to {max(taken[name]):,.1f}"
        target = "" if one.at_least is None else f">= {one.at_least:,g}"
        rows.append([one.what, f"{middle:,.1f}", spread, *ratios, target])
    return table(
        ["one step", "µs on the caller", "over the rounds", "x our one event", "x our two events", "target"], rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="One logged step, here and in other tools.")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", choices=CONTENDERS, help="measure this one in this process and print microseconds")
    parser.add_argument("--steps", type=int, default=1000, help="with --only")
    given = parser.parse_args()
    if given.only:
        print(step_us(CONTENDERS[given.only], given.steps, given.folder))
        return
    print(machine(given.folder), end="\n\n")
    print(comparison(measure(given.folder, given.rounds)))


if __name__ == "__main__":
    main()
