"""What recording costs a training loop, in one run: `python -m tests.benchmarks.recorder [--folder DIR]`.

- **a step recorded**: `batch` and `step` of 8 sequences of 128 tokens, as the smoke run has them; and the same with a
  recorder that does nothing.
- **a smoke step**: what such a step of the reference model takes to train, and which part of it recording is.
- **beside hashing**: a step recorded while a checkpoint is hashed behind it, and the longest of them.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import psion_ledger
from psion_ledger import contracts, data, orders
from tests.benchmarks.figures import Figure, report

SEQUENCES, TOKENS, ROWS = 8, 128, 512


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    rounds: int = 5
    steps: int = 300
    trained: int = 10
    checkpoint_bytes: int = 1 << 30


def recorder(ledger: Path | None, folder: Path, run_id: str, steps: int) -> psion_ledger.Recorder:
    return psion_ledger.record(
        ledger, run_id=run_id, data=data.npy(folder / "rows.npy"), order=orders.derived("torch.randperm", seed=1),
        model={"w": ("float32", (1,))}, batch_sequences=SEQUENCES, horizon_steps=steps, artifacts=folder / "runs",
        finish=False,
    )  # fmt: skip


def steps_s(run: psion_ledger.Recorder, batches: list[tuple[Any, Any]], until: int) -> list[float]:
    """Seconds of each step's calls, up to the step `until`."""
    taken = []
    for step in range(run.next_step, until + 1):
        ids, rows = batches[step % len(batches)]
        began_s = time.perf_counter()
        run.batch(ids, rows)
        run.step(loss_sum=5700.0, grad_norm=1.0, learning_rate=1e-3)
        taken.append(time.perf_counter() - began_s)
    return taken


def smoke_step_s(batches: list[tuple[Any, Any]], steps: int) -> float:
    """Seconds of a step of the reference model, at its median."""
    import torch

    from trainer.config import ANCHORS
    from trainer.loop import make_optimizer
    from trainer.model import CompactDecoder, initialise, token_losses

    binding = contracts.TokenizerBinding(
        tokenizer_id="t", tokenizer_version="1", tokenizer_family="byte_pair_encoding", tokenizer_digest="d",
        vocab_size=4096, special_tokens_digest="s",
    )  # fmt: skip
    described = contracts.describe(
        "smoke", model_id="m", revision="1", vocab_size=4096, max_context=TOKENS, tokenizer_binding=binding
    )
    model = CompactDecoder(msgspec.to_builtins(described.config))
    initialise(model, 1)
    optimizer, taken = make_optimizer(model, ANCHORS["smoke"]), []
    for step in range(steps):
        began_s = time.perf_counter()
        ids = torch.from_numpy(batches[step % len(batches)][1].astype(np.int64))
        torch.autograd.backward(token_losses(model, ids).mean())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        taken.append(time.perf_counter() - began_s)
    return float(np.median(taken))


def figures(folder: Path, sizes: Sizes = Sizes()) -> list[Figure]:  # noqa: B008
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        place = Path(scratch)
        rows = np.random.default_rng(1).integers(0, 4096, (ROWS, TOKENS)).astype(np.uint16)
        np.save(place / "rows.npy", rows)
        first_rows = range(0, ROWS, SEQUENCES)
        batches = [(np.arange(at, at + SEQUENCES), rows[at : at + SEQUENCES]) for at in first_rows]
        recorded, silent = [], []
        for number in range(sizes.rounds):
            with recorder(place / "ledger", place, f"r{number}", sizes.steps) as run:
                recorded.append(float(np.median(steps_s(run, batches, sizes.steps))))
            with recorder(None, place, f"r{number}", sizes.steps) as run:
                silent.append(float(np.median(steps_s(run, batches, sizes.steps))))
        trained = [smoke_step_s(batches, sizes.trained) for _ in range(sizes.rounds)]
        beside, longest = _beside_hashing(place, batches, sizes)
    us = [[value * 1e6 for value in values] for values in (recorded, silent, beside, longest)]
    parts = [100 * one / other for one, other in zip(recorded, trained, strict=True)]
    return [
        Figure(what="a step recorded", unit="µs", rounds=us[0]),
        Figure(what="a step with a recorder that does nothing", unit="µs", rounds=us[1]),
        Figure(what="a smoke step", unit="ms", rounds=[value * 1e3 for value in trained]),
        Figure(what="recording, of a smoke step", unit="%", rounds=parts, at_most=0.2),
        Figure(what="a step recorded beside hashing", unit="µs", rounds=us[2]),
        Figure(what="the longest of them", unit="µs", rounds=us[3]),
    ]


def _beside_hashing(place: Path, batches: list[tuple[Any, Any]], sizes: Sizes) -> tuple[list[float], list[float]]:
    """The median and the longest step that is recorded while a checkpoint is hashed."""
    medians, longest = [], []
    for number in range(sizes.rounds):
        saved = place / "runs" / f"h{number}" / "saved"
        saved.mkdir(parents=True)
        with (saved / "model.bin").open("wb") as file:
            file.truncate(sizes.checkpoint_bytes)
        with recorder(place / "ledger", place, f"h{number}", sizes.steps) as run:
            steps_s(run, batches, 1)
            run.checkpoint(saved)
            taken = steps_s(run, batches, sizes.steps)
        medians.append(float(np.median(taken)))
        longest.append(max(taken))
        (saved / "model.bin").unlink()
    return medians, longest


if __name__ == "__main__":
    report(__doc__ or "", figures)
