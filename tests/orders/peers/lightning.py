"""Lightning on one device with a loader's own generator: the rows as they come to the training step."""

from typing import Any

from tests.orders.peers import PASSES, SEEDS, Comparison, Comparisons
from tests.orders.plans import order_of

REQUIRES = ("lightning", "torch")


def compared() -> Comparisons:
    for entries in (1, 97):
        for seed in SEEDS[:3]:
            theirs = _rows(entries, seed)
            # A base seed of two draws before each walk, whose last permutation is drawn and not used.
            draws = max(0, entries - 1)
            order = order_of("torch.generator", entries, seed=seed, draws_before=2, draws_a_pass=2 + 2 * draws)
            equal = order.sequence_ids(0, len(theirs)).tolist() == theirs and len(theirs) == PASSES * entries
            yield Comparison(order="torch.generator", case="Trainer.fit", seed=seed, entries=entries, equal=equal)


def _rows(entries: int, seed: int) -> list[int]:
    import lightning
    import torch
    from torch import nn
    from torch.utils.data import DataLoader

    seen: list[int] = []

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def training_step(self, rows: Any, at: int) -> Any:
            seen.extend(int(row) for row in rows)
            return self.layer(rows.float()[:, None]).pow(2).mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    rows: Any = range(entries)
    loader: Any = DataLoader(rows, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(seed))
    trainer = lightning.Trainer(
        max_epochs=PASSES, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Module(), loader)
    return seen
