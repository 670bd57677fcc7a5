"""OLMo-core's loader of sequences of one length, over a real file of tokens."""

import tempfile
from pathlib import Path

import numpy as np

from tests.orders.peers import PASSES, SEEDS, SIZES, Comparison, Comparisons
from tests.orders.plans import order_of

REQUIRES = ("olmo_core", "torch")
SEQUENCE = 4


def compared() -> Comparisons:
    from olmo_core.data import DataCollator, NumpyFSLDataLoader, NumpyFSLDataset

    for entries in SIZES:
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "tokens.npy"
                tokens = np.memmap(path, dtype=np.uint16, mode="w+", shape=(entries * SEQUENCE,))
                tokens[:] = 1
                tokens.flush()
                dataset = NumpyFSLDataset(
                    str(path), sequence_length=SEQUENCE, pad_token_id=0, eos_token_id=0, vocab_size=8, dtype=np.uint16,
                    include_instance_metadata=False,
                )  # fmt: skip
                loader = NumpyFSLDataLoader(
                    dataset, collator=DataCollator(pad_token_id=0), global_batch_size=SEQUENCE, work_dir=folder,
                    seed=seed, shuffle=True,
                )  # fmt: skip
                theirs: list[int] = []
                for epoch in range(1, PASSES + 1):
                    loader.reshuffle(epoch=epoch)
                    theirs += np.asarray(loader.get_global_indices()).tolist()
            ours = order_of("numpy.pcg64_shuffle", entries, seed=seed, first_pass=1)
            equal = ours.sequence_ids(0, PASSES * entries).tolist() == theirs
            yield Comparison(order="numpy.pcg64_shuffle", case="OLMo-core", seed=seed, entries=entries, equal=equal)
