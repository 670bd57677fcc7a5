"""What recording a Trainer of transformers costs: `python -m tests.benchmarks.integrations`. Only ratios carry over.

A tiny Llama on the CPU, a batch of eight rows of 128 tokens a step. The recorder's part is what was spent in its own
code, of the whole training's time in the same run: it is far below what two runs differ by on a machine that others use
too. The last row compares two whole trainings all the same, by the processor's time.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from psion_ledger.integrations import carrying, transformers
from psion_ledger.recording import Recorder
from tests.benchmarks.figures import Figure, report
from tests.integrations import hugging_face as hf

TOKENS, ROWS = 128, 8


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured."""

    rounds: int = 3
    steps: int = 200


class Spent:
    """Seconds in functions that were replaced by `counting`; what they call among each other counts once."""

    def __init__(self) -> None:
        self.seconds, self._depth = 0.0, 0

    def counting(self, function: Callable[..., Any], *, less: bool = False) -> Callable[..., Any]:
        """`less`: a function of the trainer that is called from inside, and taken off."""

        def counted(*args: Any, **more: Any) -> Any:
            if not less and self._depth:
                return function(*args, **more)
            self._depth += not less
            began = time.perf_counter()
            try:
                return function(*args, **more)
            finally:
                took = time.perf_counter() - began
                self._depth -= not less
                self.seconds += -took if less else took

        return counted


@contextmanager
def counted(spent: Spent) -> Iterator[None]:
    """The recorder's code counts; the data set and the collator below it do not."""
    places: list[tuple[Any, str]] = [
        (carrying.Carrier, "__call__"), (carrying, "taken"), (Recorder, "batch"), (Recorder, "step"),
        (transformers._Step, "add"), (transformers._Step, "facts"),
    ]  # fmt: skip
    patches = [mock.patch.object(owner, name, spent.counting(getattr(owner, name))) for owner, name in places]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def _training(folder: Path, steps: int, collator: Any, **more: Any) -> Any:
    rows = [(row * (TOKENS // hf.TOKENS)) for row in hf.rows(64)]
    return hf.trainer(
        folder, train=hf.dataset(rows), collator=collator, max_steps=steps, per_device_train_batch_size=ROWS,
        gradient_accumulation_steps=1, save_strategy="no", ledger={"finish": False}, **more,
    )  # fmt: skip


def _round(folder: Path, steps: int) -> tuple[float, float, float]:
    """Milliseconds of a recorded step, the recorder's part of it in per cent, and recorded against not, in CPU time."""
    spent, cpu = Spent(), list[float]()
    with counted(spent):
        made = _training(folder, steps, spent.counting(hf.Padded(), less=True))
        began = time.perf_counter()
        made.train()
        whole = time.perf_counter() - began
    share = 100 * spent.seconds / whole
    for name, more in (("recorded", {}), ("plain", {"wrap": lambda cls: cls})):
        made = _training(folder / name, steps, hf.Padded(), **more)
        began = time.process_time()
        made.train()
        cpu.append(time.process_time() - began)
    return 1000 * whole / steps, share, cpu[0] / cpu[1]


def figures(folder: Path, sizes: Sizes | None = None) -> list[Figure]:
    sizes = sizes or Sizes()
    found = []
    for _ in range(sizes.rounds):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            found.append(_round(Path(place), sizes.steps))
    ms, shares, ratios = (list(column) for column in zip(*found, strict=True))
    return [
        Figure(what="a recorded step of a tiny Llama", unit="ms", rounds=ms),
        Figure(what="of it, the recorder", unit="%", rounds=shares, at_most=0.5),
        Figure(what="two trainings, recorded / plain, processor time", unit="x", rounds=ratios),
    ]


if __name__ == "__main__":
    report(__doc__ or "", figures)
