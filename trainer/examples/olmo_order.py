"""Rows of tokens.bin in the order of global_indices.npy, which OLMo writes before training: raw u4, whatever its name.

tokens.bin is a stream of uint16, cut into sequences of 32 tokens. Stopped and started again, it goes on.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import psion_ledger
from psion_ledger import data, orders

STEPS, BATCH, SAVED = 20, 8, Path("runs/olmo")
rows = np.fromfile("tokens.bin", "<u2").reshape(-1, 32)
order = np.memmap("global_indices.npy", "<u4", "r")
model = nn.Sequential(nn.Embedding(256, 32), nn.Linear(32, 256))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with psion_ledger.record(
    "ledger", run_id="olmo", data=data.shards("tokens.bin"), sequence_tokens=32, model=model.state_dict(),
    order=orders.file("global_indices.npy", format="u4"), batch_sequences=BATCH, horizon_steps=STEPS,
    loss_divisor="target_tokens",
) as run:  # fmt: skip
    if run.checkpoint_to_load is not None:
        model.load_state_dict(torch.load(run.checkpoint_to_load.folder / "model.pt", weights_only=True))
        run.loaded(run.checkpoint_to_load)
    for step in range(run.next_step, STEPS + 1):
        ids = order[(step - 1) * BATCH : step * BATCH]
        batch = torch.from_numpy(rows[ids].astype(np.int64))
        run.batch(ids, batch)
        loss = nn.functional.cross_entropy(model(batch[:, :-1]).mT, batch[:, 1:], reduction="sum")
        optimizer.zero_grad()
        (loss / (BATCH * 31)).backward()
        optimizer.step()
        run.step(loss_sum=loss, divisor=BATCH * 31)
        if step % 5 == 0:
            (folder := SAVED / f"step-{step}").mkdir(parents=True, exist_ok=True)
            torch.save(model.state_dict(), folder / "model.pt")
            run.checkpoint(folder)
