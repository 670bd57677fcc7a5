"""A plain loop over the rows of data.npy, [sequences, tokens]. Stopped and started again, it goes on."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import psion_ledger
from psion_ledger import data, orders

STEPS, SAVED = 20, Path("runs/plain")
rows = np.load("data.npy", mmap_mode="r")
torch.manual_seed(1)
model = nn.Sequential(nn.Embedding(256, 32), nn.Linear(32, 256))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
with psion_ledger.record(
    "ledger", run_id="plain", data=data.npy("data.npy"), order=orders.derived("torch.randperm", seed=1),
    model=model.state_dict(), batch_sequences=8, horizon_steps=STEPS, loss_divisor="target_tokens",
) as run:  # fmt: skip
    if run.checkpoint_to_load is not None:
        saved = torch.load(run.checkpoint_to_load.folder / "model.pt", weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        run.loaded(run.checkpoint_to_load)
    for step in range(run.next_step, STEPS + 1):
        ids = run.next_ids()
        batch = torch.from_numpy(rows[ids].astype(np.int64))
        run.batch(ids, batch)
        loss_sum = nn.functional.cross_entropy(model(batch[:, :-1]).mT, batch[:, 1:], reduction="sum")
        targets = batch[:, 1:].numel()
        optimizer.zero_grad()
        (loss_sum / targets).backward()
        optimizer.step()
        run.step(loss_sum=loss_sum, divisor=targets)
        if step % 5 == 0:
            (folder := SAVED / f"step-{step}").mkdir(parents=True, exist_ok=True)
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, folder / "model.pt")
            run.checkpoint(folder)
    run.promote(SAVED / f"step-{STEPS}", label="plain")
