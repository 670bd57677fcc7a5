"""Losses of evaluation sets, summed by row in float64: what a Trainer reports depends on its batches and its ranks."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from psion_ledger.errors import UsageError
from psion_ledger.integrations.carrying import IGNORED, Carried
from psion_ledger.recording import Recorder


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One measured row: its number, its tokens, its loss in nats, and the tokens that have one."""

    row: int
    tokens: NDArray[np.integer[Any]]
    loss: float
    targets: int


def rows_of(held: Carried, logits: Any, given: dict[str, Any]) -> list[Row]:
    """The rows of a batch. `given` are the batch's labels. Raises UsageError where logits are none of these tokens."""
    labels = given.get("shift_labels", given.get("labels"))
    logits = logits[0] if isinstance(logits, tuple) else logits
    if labels is None or held.targets is None or getattr(logits, "ndim", 0) != 3 or logits.shape[:2] != labels.shape:
        raise UsageError(
            "an evaluation gave no logits of each token beside its labels, so its loss cannot be measured; evaluate "
            "without preprocessing, or give ledger=None"
        )
    losses = _losses(logits, labels, "shift_labels" in given)
    sums = [float(row.sum()) for row in losses]
    if len(losses) != len(held.rows):
        # One row after another.
        firsts = np.cumsum(held.lengths) - held.lengths
        sums = np.add.reduceat(np.concatenate(losses), firsts).tolist()
    return [
        Row(row=int(row), tokens=tokens[:length].copy(), loss=loss, targets=int(targets))
        for row, tokens, length, loss, targets in zip(
            held.rows, held.tokens, held.lengths, sums, held.targets, strict=True
        )
    ]


def _losses(logits: Any, labels: Any, are_shifted: bool) -> list[NDArray[np.float64]]:
    """The loss of each place of each row of a batch, at the place that is predicted."""
    from torch.nn.functional import cross_entropy

    found = []
    for scores, wanted in zip(logits, labels, strict=True):
        if not are_shifted:
            scores, wanted = scores[:-1], wanted[1:]
        own = cross_entropy(scores.double(), wanted, reduction="none", ignore_index=IGNORED).cpu().numpy()
        found.append(own if are_shifted else np.concatenate([np.zeros(1), own]))
    return found


def measure(recorder: Recorder, split: str, family: str, measured: list[Row]) -> None:
    """Record what all ranks measured of a family, each row once: loaders repeat rows so that ranks have as many."""
    from accelerate.utils import gather_object

    every: list[Row] = gather_object(measured)
    if recorder.rank > 0:
        return
    once = {row.row: row for row in reversed(every)}
    rows = [once[number] for number in sorted(once)]
    recorder.measure(
        split,
        family=family,
        losses=[row.loss for row in rows],
        target_tokens=sum(row.targets for row in rows),
        ids=[row.row for row in rows],
        tokens=[row.tokens for row in rows],
    )
