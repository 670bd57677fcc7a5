"""Losses on the declared sets, exact enough to be held against each other.

Every split and family is measured once in an evaluation, in eval mode, without label smoothing, on the
sequences that the sampling plan names. The sum over a sequence is correctly rounded (`math.fsum`), then
rounded half to even to whole nanonats; whole numbers add up the same in any order.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import nn

from trainer.model import token_losses
from trainer.tokenizer import Shards

SEQUENCES_AT_ONCE = 8
NANONATS = 10**9


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One family of one split: `loss_sum_nats` is over `target_tokens`, `loss_sum_nanonats` the same, exact.

    `loss_sum_nanonats` is None when a loss is not finite. `token_sha256` is over the ids measured, as uint32.
    """

    evaluation_set: dict[str, Any]
    loss_sum_nats: float
    loss_sum_nanonats: int | None
    target_tokens: int
    token_sha256: bytes


@torch.no_grad()
def measure(
    model: nn.Module, shards: Shards, evaluation_sets: list[dict[str, Any]], device: torch.device
) -> Iterator[Measured]:
    """Each evaluation set of the plan, in its order. Losses come from float32 logits in every build."""
    model.eval()
    for evaluation_set in evaluation_sets:
        sequence_nats: list[float] = []
        target_tokens = 0
        tokens = hashlib.sha256()
        sequence_ids = range(
            evaluation_set["first_sequence_id"], evaluation_set["end_sequence_id"], evaluation_set["stride"]
        )
        for first in range(0, len(sequence_ids), SEQUENCES_AT_ONCE):
            rows = shards.rows(sequence_ids[first : first + SEQUENCES_AT_ONCE])
            tokens.update(rows.tobytes())
            losses = token_losses(model, torch.from_numpy(rows.astype("int64")).to(device))
            target_tokens += losses.numel()
            sequence_nats += [math.fsum(sequence) for sequence in losses.tolist()]
        yield Measured(
            evaluation_set=evaluation_set,
            loss_sum_nats=math.fsum(sequence_nats),
            loss_sum_nanonats=nanonats(sequence_nats),
            target_tokens=target_tokens,
            token_sha256=tokens.digest(),
        )
    model.train()


def nanonats(sequence_nats: list[float]) -> int | None:
    """The sum in whole nanonats, each sequence rounded half to even; None if one is not finite."""
    if not all(math.isfinite(nats) for nats in sequence_nats):
        return None
    return sum(round(Fraction(nats) * NANONATS) for nats in sequence_nats)
