"""The Trainer of transformers, training for real: the rows as they come to the model."""

import tempfile
from typing import Any

from tests.orders.peers import PASSES, SEEDS, Comparison, Comparisons
from tests.orders.plans import order_of

REQUIRES = ("transformers", "accelerate", "torch")


def compared() -> Comparisons:
    for entries in (1, 97):
        for seed in SEEDS[:3]:
            theirs = _rows(entries, seed)
            ours = order_of("torch.randperm", entries, seed=seed).sequence_ids(0, len(theirs)).tolist()
            equal = ours == theirs and len(theirs) == PASSES * entries
            yield Comparison(order="torch.randperm", case="Trainer", seed=seed, entries=entries, equal=equal)


def _rows(entries: int, seed: int) -> list[int]:
    """The row numbers of three epochs."""
    import torch
    from torch import nn
    from transformers import Trainer, TrainingArguments

    seen: list[int] = []

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def forward(self, row: Any, labels: Any = None) -> dict[str, Any]:
            seen.extend(row[:, 0].int().tolist())
            return {"loss": self.layer(row).pow(2).mean()}

    rows = [{"row": torch.tensor([float(at)])} for at in range(entries)]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, num_train_epochs=PASSES, per_device_train_batch_size=4, seed=seed, data_seed=seed,
            report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        Trainer(model=Model(), args=arguments, train_dataset=rows).train()
    return seen
