"""MosaicML's shuffles and its partition, as its datasets call them; in an environment of its own."""

import numpy as np

from tests.orders.peers import PASSES, SEEDS, SIZES, Comparison, Comparisons
from tests.orders.plans import order_of

REQUIRES = ("streaming",)
NODES, BLOCK = 2, 64


def shards(entries: int) -> list[int]:
    """Shards of unequal sizes."""
    left = entries
    sizes: list[int] = []
    while left:
        sizes.append(min(left, 7 + 13 * (len(sizes) % 5)))
        left -= sizes[-1]
    return sizes


def compared() -> Comparisons:
    from streaming.base.partition.orig import get_partitions_orig
    from streaming.base.shuffle import get_shuffle

    for algorithm in ("naive", "py1s", "py2s", "py1br", "py1e"):
        for entries in SIZES:
            nodes = min(NODES, entries)
            for seed in SEEDS:
                sizes, theirs = shards(entries), []
                for epoch in range(PASSES):
                    rows = get_shuffle(algorithm, np.array(sizes), nodes, seed, epoch, BLOCK)
                    places = get_partitions_orig(entries, nodes, 1, 1, 1, 1, 0)
                    theirs += [int(rows[place]) for place in places.reshape(-1) if place >= 0]
                order = order_of(
                    f"mosaicml.{algorithm}", entries, seed=seed, shard_sizes=sizes, canonical_nodes=nodes,
                    shuffle_block_size=BLOCK,
                )  # fmt: skip
                ours = order.sequence_ids(0, len(theirs)).tolist()
                yield Comparison(
                    order=f"mosaicml.{algorithm}", case="one node", seed=seed, entries=entries, equal=ours == theirs
                )
