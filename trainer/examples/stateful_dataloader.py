"""A StatefulDataLoader over data.npy, [sequences, tokens], that is watched. Stopped in an epoch, it goes on there."""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DistributedSampler, TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

import psion_ledger
from psion_ledger import data, orders

EPOCHS, SAVED = 2, Path("runs/stateful")
rows = torch.from_numpy(np.load("data.npy").astype(np.int64))
dataset = TensorDataset(torch.arange(len(rows)), rows)
model = nn.Sequential(nn.Embedding(256, 32), nn.Linear(32, 256))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
sampler = DistributedSampler(dataset, num_replicas=1, rank=0, seed=1)
with psion_ledger.record(
    "ledger", run_id="stateful", data=data.npy("data.npy"), order=orders.derived("torch.randperm", seed=1),
    model=model.state_dict(), batch_sequences=8, horizon_steps=EPOCHS * len(rows) // 8,
) as run:  # fmt: skip
    loader = run.watch(StatefulDataLoader(dataset, batch_size=8, sampler=sampler), ids=0, tokens=1)
    if run.checkpoint_to_load is not None:
        saved = torch.load(run.checkpoint_to_load.folder / "model.pt", weights_only=True)
        model.load_state_dict(saved["model"])
        loader.load_state_dict(saved["loader"])
        run.loaded(run.checkpoint_to_load)
    for epoch in range(run.last_step // len(loader), EPOCHS):
        sampler.set_epoch(epoch)
        for _, batch in loader:
            optimizer.zero_grad()
            (loss := nn.functional.cross_entropy(model(batch[:, :-1]).mT, batch[:, 1:])).backward()
            optimizer.step()
            run.step(loss=loss)
            if run.last_step % 5 == 0:
                (folder := SAVED / f"step-{run.last_step}").mkdir(parents=True, exist_ok=True)
                torch.save({"model": model.state_dict(), "loader": loader.state_dict()}, folder / "model.pt")
                run.checkpoint(folder)
