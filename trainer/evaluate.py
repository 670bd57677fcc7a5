"""Losses on the declared sets, exact enough to be held against each other.

Every split and family is measured once in an evaluation, in eval mode, without label smoothing, on the
sequences that the sampling plan names. The sum over a sequence is correctly rounded (`math.fsum`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainer.model import token_losses
from trainer.tokenizer import Shards

SEQUENCES_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One family of one split: the loss of each sequence, summed over its target tokens, and the token ids measured."""

    evaluation_set: dict[str, Any]
    sequence_nats: list[float]
    target_tokens: int
    rows: NDArray[np.uint32]

    @property
    def loss_sum_nats(self) -> float:
        return math.fsum(self.sequence_nats)


@torch.no_grad()
def measure(
    model: nn.Module, shards: Shards, evaluation_sets: list[dict[str, Any]], device: torch.device
) -> Iterator[Measured]:
    """Each evaluation set of the plan, in its order. Losses come from float32 logits in every build."""
    model.eval()
    for evaluation_set in evaluation_sets:
        sequence_nats: list[float] = []
        target_tokens = 0
        measured = []
        sequence_ids = range(
            evaluation_set["first_sequence_id"], evaluation_set["end_sequence_id"], evaluation_set["stride"]
        )
        for first in range(0, len(sequence_ids), SEQUENCES_AT_ONCE):
            rows = shards.rows(sequence_ids[first : first + SEQUENCES_AT_ONCE])
            measured.append(rows)
            losses = token_losses(model, torch.from_numpy(rows.astype("int64")).to(device))
            target_tokens += losses.numel()
            sequence_nats += [math.fsum(sequence) for sequence in losses.tolist()]
        yield Measured(
            evaluation_set=evaluation_set,
            sequence_nats=sequence_nats,
            target_tokens=target_tokens,
            rows=np.concatenate(measured),
        )
    model.train()
