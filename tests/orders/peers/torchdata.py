"""torchdata's StatefulDataLoader with a generator of its own, without and with workers."""

from tests.orders.peers import PASSES, SEEDS, SIZES, Comparison, Comparisons
from tests.orders.plans import order_of

REQUIRES = ("torchdata", "torch")


def compared() -> Comparisons:
    import torch
    from torchdata.stateful_dataloader import StatefulDataLoader

    for workers, sizes in ((0, SIZES), (2, (1, 97))):
        for entries in sizes:
            for seed in SEEDS if workers == 0 else SEEDS[:3]:
                generator = torch.Generator().manual_seed(seed)
                loader = StatefulDataLoader(
                    range(entries), batch_size=max(1, entries // 3), shuffle=True, generator=generator,
                    num_workers=workers,
                )  # fmt: skip
                theirs = [int(row) for _ in range(PASSES) for batch in loader for row in batch]
                draws = max(0, entries - 1)
                # With workers each walk draws a permutation, throws it away, and draws one behind the base seed.
                before, between = (0, 2 + draws) if workers == 0 else (2 + draws, 2 + 2 * draws)
                order = order_of("torch.generator", entries, seed=seed, draws_before=before, draws_a_pass=between)
                ours = order.sequence_ids(0, PASSES * entries).tolist()
                yield Comparison(
                    order="torch.generator", case=f"StatefulDataLoader, {workers} workers", seed=seed, entries=entries,
                    equal=ours == theirs,
                )  # fmt: skip
