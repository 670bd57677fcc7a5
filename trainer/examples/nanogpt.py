"""Random windows of train.bin, a stream of uint16, as nanoGPT draws them. Stopped and started again, it goes on.

The generator also makes the weights, and whatever else draws from it moves the windows: no seed promises their order.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import psion_ledger
from psion_ledger import data, orders

STEPS, BLOCK, BATCH, SAVED = 20, 32, 8, Path("runs/nanogpt")
stream = np.memmap("train.bin", "<u2", "r")
model = nn.Sequential(nn.Embedding(256, 32), nn.Linear(32, 256))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
with psion_ledger.record(
    "ledger", run_id="nanogpt", data=data.shards("train.bin"), unit="window", sequence_tokens=BLOCK + 1,
    order=orders.undeclared("windows are drawn from the global generator"), model=model.state_dict(),
    batch_sequences=BATCH, horizon_steps=STEPS,
) as run:  # fmt: skip
    if run.checkpoint_to_load is not None:
        model.load_state_dict(torch.load(run.checkpoint_to_load.folder / "model.pt", weights_only=True))
        run.loaded(run.checkpoint_to_load)
    for step in range(run.next_step, STEPS + 1):
        starts = torch.randint(len(stream) - BLOCK, (BATCH,))
        windows = torch.stack([torch.from_numpy(stream[i : i + BLOCK + 1].astype(np.int64)) for i in starts])
        run.batch(starts, windows)
        loss = nn.functional.cross_entropy(model(windows[:, :-1]).mT, windows[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.step(loss_sum=loss * BATCH * BLOCK, divisor=BATCH * BLOCK, loss=loss)
        if step % 5 == 0:
            (folder := SAVED / f"step-{step}").mkdir(parents=True, exist_ok=True)
            torch.save(model.state_dict(), folder / "model.pt")
            run.checkpoint(folder)
