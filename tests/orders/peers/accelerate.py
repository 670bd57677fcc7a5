"""accelerate's sampler and batches of ranks, and through them the Trainer of transformers."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from tests.orders.peers import PASSES, SEEDS, SIZES, Comparison, Comparisons
from tests.orders.plans import order_of

REQUIRES = ("accelerate", "torch")


def compared() -> Comparisons:
    from accelerate.data_loader import BatchSamplerShard, SeedableRandomSampler
    from torch.utils.data import BatchSampler

    for entries in SIZES:
        for seed in SEEDS:
            sampler: Any = SeedableRandomSampler(range(entries), data_seed=seed)
            sampler.initial_seed = seed
            theirs = []
            for epoch in range(PASSES):
                sampler.set_epoch(epoch)
                theirs += list(sampler)
            ours = order_of("torch.randperm", entries, seed=seed).sequence_ids(0, PASSES * entries).tolist()
            yield Comparison(order="torch.randperm", case="seedable", seed=seed, entries=entries, equal=ours == theirs)
    yield from _of_ranks(BatchSamplerShard, BatchSampler, SeedableRandomSampler)


def _of_ranks(shard: Any, batches: Any, sampler_of: Any) -> Iterator[Comparison]:
    """Two ranks of batches of four: the tail dropped, or filled up from the head."""
    world, size = 2, 4
    for entries in (3, 22, 97):
        for seed in SEEDS:
            for tail, drop in (("drop", True), ("pad", False)):
                if tail == "drop" and entries < world * size:
                    continue
                ranks = []
                for rank in range(world):
                    sampler = sampler_of(range(entries), data_seed=seed)  # Each walk raises the epoch of its own.
                    sampler.initial_seed = seed
                    own = shard(batches(sampler, size, drop), world, rank, split_batches=False, even_batches=True)
                    ranks.append(list(own))
                theirs = list(chain.from_iterable(chain.from_iterable(zip(*ranks, strict=True))))
                order = order_of("torch.randperm", entries, seed=seed, tail=tail, block=world * size)
                ours = order.sequence_ids(0, len(theirs)).tolist()
                yield Comparison(
                    order="torch.randperm", case=f"{tail}, two ranks", seed=seed, entries=entries, equal=ours == theirs
                )
