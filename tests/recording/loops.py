"""A loop without torch over a small described data set, for the tests of the recorder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import psion_ledger
from psion_ledger import Recorder, data, orders
from psion_ledger.auditing import Audit, audit
from psion_ledger.data import Data
from psion_ledger.ledger import Run
from psion_ledger.reading import read

ROWS, TOKENS, HELD_OUT = 40, 6, 12
BATCH, STEPS = 8, 4
MODEL = {"weight": ("float32", [4, 2])}
TRAIN = np.random.default_rng(1).integers(0, 99, (ROWS, TOKENS), dtype="u2")
VALIDATION = np.random.default_rng(2).integers(0, 99, (HELD_OUT, TOKENS), dtype="u2")


def described(folder: Path) -> Data:
    """Two files of rows, train and validation, written and described."""
    np.save(folder / "train.npy", TRAIN)
    np.save(folder / "validation.npy", VALIDATION)
    return data.describe([data.npy(folder / "train.npy"), data.npy(folder / "validation.npy", split="validation")])


def begin(folder: Path, found: Data, **changes: Any) -> Recorder:
    """A recorder of the run `tiny`, in the order of the rows, that is not finished at its end."""
    given: dict[str, Any] = {
        "run_id": "tiny", "artifacts": folder / "runs", "data": found, "order": orders.derived("sequential"),
        "model": MODEL, "batch_sequences": BATCH, "horizon_steps": STEPS, "finish": False,
    }  # fmt: skip
    return psion_ledger.record(folder / "ledger", **(given | changes))


def rows(ids: Any) -> Any:
    return TRAIN[np.asarray(ids)]


def learn(run: Recorder, steps: int = 1, **facts: Any) -> None:
    """So many steps, each a whole batch of this rank."""
    for _ in range(steps):
        ids = run.next_ids()
        run.batch(ids, rows(ids))
        run.step(**({"loss_sum": 1.0} | facts))


def save(folder: Path, name: str, files: Mapping[str, bytes] | None = None) -> Path:
    """A checkpoint's folder among the artifacts of the run."""
    made = folder / "runs" / "tiny" / name
    made.mkdir(parents=True)
    for own, content in (files or {"model.safetensors": name.encode()}).items():
        (made / own).write_bytes(content)
    return made


def audited(folder: Path, run_id: str = "tiny", **more: Any) -> Audit:
    with Run(read(folder / "ledger" / run_id)) as run:
        return audit(run, artifacts=folder / "runs", **more)


def violated(found: Audit) -> list[str]:
    return [law.name for law in found.laws if law.status == "violated"]


def written(folder: Path) -> dict[str, bytes]:
    """Every file of a ledger."""
    ledger = folder / "ledger"
    return {str(path.relative_to(ledger)): path.read_bytes() for path in sorted(ledger.rglob("*")) if path.is_file()}
