"""A loader whose batches are recorded as they go into training: when `next` returns one, not when a worker reads it.

Any iterable of batches will do; torch's DataLoader and torchdata's StatefulDataLoader are the usual ones. The loader's
own state, length, data set and sampler are those of the loader that is watched.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from psion_ledger.errors import UsageError
from psion_ledger.recording import rows

BatchT = TypeVar("BatchT")
# The name of a mapping's field, or a position in a tuple or list.
Key = str | int


class Records(Protocol):
    """What is told of each batch: a recorder."""

    def batch(
        self,
        ids: rows.Integers | None,
        tokens: rows.Rows,
        *,
        target_tokens: int | None = None,
        lengths: rows.Integers | None = None,
        families: Sequence[str] | None = None,
    ) -> None: ...


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """Where in a batch its parts are; the fields are the arguments of `watch`."""

    ids: Key | None
    tokens: Key
    mask: Key | None
    lengths: Key | None
    families: Key | None
    target_tokens: Key | None


def watch(
    recorder: Records,
    loader: Iterable[BatchT],
    *,
    ids: Key | None = "sequence_id",
    tokens: Key = "input_ids",
    mask: Key | None = None,
    lengths: Key | None = None,
    families: Key | None = None,
    target_tokens: Key | None = None,
) -> "Watched[BatchT]":
    """The same loader, each batch of which is recorded when it is handed out, as `batch` records it.

    Each key is the name of a field of the batch, or a position where batches are tuples. ids: rows of the train data;
    null for data that has no ids. mask: 1 for each token that is no padding, of the shape of the tokens; or lengths: of
    each row. families: of each row. target_tokens: a number, or one a row, where the plan has no rule.
    """
    keys = Keys(ids=ids, tokens=tokens, mask=mask, lengths=lengths, families=families, target_tokens=target_tokens)
    return Watched(loader, keys, recorder)


class Watched(Generic[BatchT]):
    """A loader that is watched. What it has besides its batches (`sampler`, `dataset`, ...) is that of the loader."""

    def __init__(self, loader: Iterable[BatchT], keys: Keys, recorder: Records) -> None:
        self._loader, self._keys, self._recorder = loader, keys, recorder

    def __iter__(self) -> Iterator[BatchT]:
        return map(self._recorded, self._loader)

    def __len__(self) -> int:
        if not isinstance(self._loader, Sized):
            raise TypeError(f"{type(self._loader).__name__} has no length")
        return len(self._loader)

    def state_dict(self) -> dict[str, object]:
        """Where the loader stands: behind the last batch that was handed out."""
        state: dict[str, object] = self._own("state_dict")()
        return state

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        self._own("load_state_dict")(state)

    def __getattr__(self, name: str) -> Any:
        # Asked only for what is not found here; a copy that is still empty has no loader to ask.
        if name.startswith("__") or name == "_loader":
            raise AttributeError(name)
        return getattr(self._loader, name)

    def _own(self, name: str) -> Any:
        if (method := getattr(self._loader, name, None)) is None:
            raise UsageError(f"watch: a {type(self._loader).__name__} has no {name}; a StatefulDataLoader has")
        return method

    def _recorded(self, batch: BatchT) -> BatchT:
        keys = self._keys
        ids, tokens = _part(batch, keys.ids, "ids"), _part(batch, keys.tokens, "tokens")
        if (mask := _part(batch, keys.mask, "mask")) is not None:
            tokens = unpadded(tokens, mask)
        families = _part(batch, keys.families, "families")
        targets = _part(batch, keys.target_tokens, "target_tokens")
        self._recorder.batch(
            ids,
            tokens,
            target_tokens=None if targets is None else int(rows.array_of(targets, "watch: target_tokens").sum()),
            lengths=_part(batch, keys.lengths, "lengths"),
            families=None if families is None else [str(family) for family in families],
        )
        return batch


def _part(batch: Any, key: Key | None, what: str) -> Any:
    """A part of a batch, null where it has no key. Raises UsageError where the batch does not have it."""
    if key is None:
        return None
    try:
        return batch[key]
    except (KeyError, IndexError, TypeError):
        names = batch.keys() if hasattr(batch, "keys") else range(len(batch)) if hasattr(batch, "__len__") else ()
        known = ", ".join(repr(name) for name in list(names)[:12]) or "no parts"
        raise UsageError(
            f"watch: the batch ({type(batch).__name__}) has no {key!r}: it has {known}; say with {what}= where its "
            f"{what} are"
        ) from None


def unpadded(tokens: Any, mask: Any) -> Any:
    """The rows of a block of tokens without what the mask leaves out, on whichever side. Raises UsageError."""
    block, kept = rows.array_of(tokens, "watch: tokens"), rows.array_of(mask, "watch: mask").astype(bool)
    if block.shape != kept.shape:
        raise UsageError(f"watch: tokens of shape {block.shape}, and a mask of {kept.shape}; they are of one shape")
    return block if kept.all() else [row[own] for row, own in zip(block, kept, strict=True)]
