"""Row numbers and tokens of batches, from a data set past its collator into the loop that consumes them.

Everything is computed of the batch as it was collated, on the CPU and in the loader's worker, and travels inside it:
what the loop records is what it takes out of the batch at hand. Both classes are picklable, for workers that are
spawned.
"""

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from psion_ledger.errors import UsageError

KEY = "psion_ledger_rows"
# What losses leave out.
IGNORED = -100


class Item(msgspec.Struct, frozen=True):
    """A row of a data set with its number."""

    row: int
    feature: Any


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch holds: the number of each row, its tokens (left-aligned in `tokens`, of which `lengths` count), and
    how many of them have a loss; `targets` are null where the batch has no labels."""

    rows: NDArray[np.int64]
    tokens: NDArray[np.integer[Any]]
    lengths: NDArray[np.int64]
    targets: NDArray[np.int64] | None

    @property
    def target_tokens(self) -> int:
        if self.targets is None:
            return int(self.lengths.sum()) - len(self.lengths)
        return int(self.targets.sum())


class Numbered:
    """A data set whose rows come with their numbers. `name` is that of an evaluation set."""

    def __init__(self, dataset: Any, name: str | None = None) -> None:
        self.dataset, self.name = dataset, name

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> Item:
        return Item(int(row), self.dataset[row])

    def __getitems__(self, rows: Sequence[int]) -> list[Item]:
        """Of a whole batch, as torch's loaders ask where a data set can."""
        fetch = getattr(self.dataset, "__getitems__", None)
        features = fetch(rows) if callable(fetch) else [self.dataset[row] for row in rows]
        return [Item(int(row), feature) for row, feature in zip(rows, features, strict=True)]


class Carrier:
    """A collator that puts what a batch holds into it, under `KEY`."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, items: list[Item]) -> Any:
        features = [item.feature for item in items]
        lengths = [length_of(feature) for feature in features]
        batch = self.collate(features)
        if not isinstance(batch, MutableMapping) or "input_ids" not in batch:
            raise UsageError("the collator gives no mapping with input_ids; only such batches can be recorded")
        batch[KEY] = carried(np.array([item.row for item in items], np.int64), lengths, batch)
        return batch


def taken(batch: Any) -> Carried | None:
    """What a batch carries, taken out of it before the model sees it."""
    found = batch.pop(KEY, None) if isinstance(batch, MutableMapping) else None
    return found if isinstance(found, Carried) else None


def length_of(feature: Any) -> int | None:
    """The tokens of a row of a data set, without those that its own mask leaves out."""
    try:
        mask = feature.get("attention_mask")
        return len(feature["input_ids"]) if mask is None else int(np.asarray(mask).sum())
    except (AttributeError, TypeError, KeyError):
        return None


def carried(rows: NDArray[np.int64], lengths: Sequence[int | None], batch: Any) -> Carried:
    """What a collated batch holds. Raises UsageError for one whose rows cannot be told apart."""
    # A copy: a tensor's memory moves when a worker hands it over.
    ids, mask = np.asarray(batch["input_ids"]).copy(), batch.get("attention_mask")
    known = np.array([-1 if length is None else length for length in lengths], np.int64)
    if ids.ndim == 2 and len(ids) == len(rows):
        kept = None if mask is None else np.asarray(mask)
        if kept is not None and kept.shape == ids.shape:
            block, own = _left_aligned(ids, kept != 0)
        else:
            fits = bool(((known >= 0) & (known <= ids.shape[1])).all())
            block, own = ids, known if fits else np.full(len(rows), ids.shape[1], np.int64)
        return Carried(rows=rows, tokens=block, lengths=own, targets=_targets(batch, None))
    if ids.size == int(known.sum()) and (known > 0).all():
        # One row after another, without padding.
        every = np.arange(int(known.max())) < known[:, None]
        block = np.zeros(every.shape, ids.dtype)
        block[every] = ids.reshape(-1)
        return Carried(rows=rows, tokens=block, lengths=known, targets=_targets(batch, known))
    raise UsageError(
        f"the collator made input_ids of shape {ids.shape} of {len(rows)} rows; it must keep each of them, as a row of "
        "the batch or one after another, uncut"
    )


def _left_aligned(ids: Any, kept: Any) -> tuple[Any, Any]:
    lengths = kept.sum(axis=1, dtype=np.int64)
    every = np.arange(ids.shape[1]) < lengths[:, None]
    if (kept == every).all():
        return ids, lengths
    block = np.zeros_like(ids)
    block[every] = ids[kept]
    return block, lengths


def _targets(batch: Any, packed: Any) -> NDArray[np.int64] | None:
    """Tokens with a loss, of each row: the model at a place is asked for the next one, so the first has none."""
    if (given := batch.get("shift_labels", batch.get("labels"))) is None:
        return None
    counted = np.asarray(given) != IGNORED
    if "shift_labels" not in batch:
        counted = counted.copy()
        counted[..., 0] = False
    if packed is None:
        each: NDArray[np.int64] = counted.reshape(len(counted), -1).sum(axis=1, dtype=np.int64)
        return each
    firsts = np.cumsum(packed) - packed
    found: NDArray[np.int64] = np.add.reduceat(counted.reshape(-1).astype(np.int64), firsts)
    return found
