"""Megatron-LM's index builder, over documents of real lengths; in an environment of its own."""

import numpy as np

from tests.orders.peers import SEEDS, Comparison, Comparisons
from tests.orders.plans import order_of

REQUIRES = ("megatron",)
SEQUENCE = 8


def compared() -> Comparisons:
    from megatron.core.datasets.gpt_dataset import _build_document_index, _build_shuffle_index

    for documents in (1, 97, 256, 5_003):
        for seed in SEEDS:
            for epochs, apart in ((1, False), (3, False), (3, True)):
                # As GPTDataset does: one state, first the documents and then the samples.
                state = np.random.RandomState(seed)
                _build_document_index(np.arange(documents, dtype=np.int32), epochs, state, apart)
                samples = documents * epochs * 5
                before = documents * (epochs - 1) * 5 if apart else 0
                theirs = (
                    _build_shuffle_index(before, samples, state)
                    if apart
                    else _build_shuffle_index(samples, samples, state)
                )
                order = order_of(
                    "megatron.gpt", samples, seed=seed, documents=documents, epochs=epochs, samples_before_last=before
                )
                equal = order.sequence_ids(0, samples).tolist() == np.asarray(theirs).tolist()
                case = f"{epochs} epochs" + (", the last one apart" if apart else "")
                yield Comparison(order="megatron.gpt", case=case, seed=seed, entries=samples, equal=equal)
