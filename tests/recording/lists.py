"""A loop of plain lists, as a user writes it who has neither torch nor numpy at hand: run in the working directory."""

from array import array
from pathlib import Path

import psion_ledger
from psion_ledger import data, orders

STEPS, BATCH = 6, 2
ROWS = [[10 * row + place for place in range(4)] for row in range(8)]
Path("tokens.bin").write_bytes(array("H", [token for row in ROWS for token in row]).tobytes())
with psion_ledger.record(
    "ledger", run_id="lists", data=data.shards("tokens.bin"), sequence_tokens=4, order=orders.derived("sequential"),
    model={"weight": ("float32", [4, 2])}, batch_sequences=BATCH, horizon_steps=STEPS, loss_divisor="target_tokens",
) as run:  # fmt: skip
    if run.checkpoint_to_load is not None:
        run.loaded(run.checkpoint_to_load)
    ids = [row % len(ROWS) for row in range(STEPS * BATCH)]
    batches = [ids[first : first + BATCH] for first in range(0, len(ids), BATCH)]
    loader = [(batch, [ROWS[row] for row in batch]) for batch in batches[run.last_step :]]
    for _, tokens in run.watch(loader, ids=0, tokens=1):
        run.step(loss_sum=float(len(tokens)), divisor=6, learning_rate=0.1)
    folder = Path("runs/lists/last")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.bin").write_bytes(b"weights")
    run.checkpoint(folder, roles={"model.bin": "weights"})
    run.promote(folder, label="last")
    assert run.contracts.sampling_plan.horizon_steps == run.last_step
