"""Any integer array, from any library, as the rows that an event speaks of: ids, tokens and their digests."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, SupportsFloat, SupportsIndex

import msgspec

from psion_ledger.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOKEN_ID_MAX = 2**32 - 1


class ArrayLike(Protocol):
    """An array or tensor of integers or floats: of numpy, of torch on any device, or what numpy can read."""

    @property
    def shape(self) -> Sequence[int]: ...


Integers = ArrayLike | Sequence[SupportsIndex]
Rows = ArrayLike | Sequence[Sequence[SupportsIndex]] | Sequence[ArrayLike]
# A number, or an array or tensor of one element.
Number = SupportsFloat | ArrayLike
Numbers = ArrayLike | Sequence[float]


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of token ids, without padding: `flat` is all of them one after another (uint32), `lengths` of each row."""

    flat: Any
    lengths: list[int]

    @property
    def total(self) -> int:
        return sum(self.lengths)

    @property
    def sha256(self) -> bytes:
        """Over the token ids as little-endian uint32."""
        return hashlib.sha256(self.flat.tobytes()).digest()

    def row_sha256s(self) -> list[bytes]:
        """Of each row alone."""
        digests, first = [], 0
        for length in self.lengths:
            digests.append(hashlib.sha256(self.flat[first : first + length].tobytes()).digest())
            first += length
        return digests


def array_of(values: Any, what: str) -> "NDArray[Any]":
    """A numpy array of what any library calls one; tensors leave their graph and device. Raises UsageError."""
    import numpy as np

    for method in ("detach", "cpu"):
        if callable(step := getattr(values, method, None)):
            values = step()
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{what}: not an array of numbers: {error}") from error


def integers_of(values: Any, what: str) -> "NDArray[np.int64]":
    """One dimension of integers, none below zero. Raises UsageError."""
    import numpy as np

    found = array_of(values, what)
    if found.size == 0:
        return np.empty(0, np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise UsageError(f"{what}: expected one dimension of integers, found {found.dtype} of shape {found.shape}")
    if int(found.min()) < 0:
        raise UsageError(f"{what}: {int(found.min())} is below zero")
    return found.astype(np.int64)


def tokens_of(tokens: Any, lengths: Any | None, what: str) -> Tokens:
    """Rows of token ids: two dimensions, of which `lengths` says how many of each row are no padding, or a list of
    rows. Raises UsageError."""
    import numpy as np

    if isinstance(tokens, (list, tuple)) and (not tokens or _is_row(tokens[0])):
        rows = [integers_of(row, f"{what}, row {number}") for number, row in enumerate(tokens)]
    else:
        block = array_of(tokens, what)
        if block.ndim != 2 or block.dtype.kind not in "iu":
            raise UsageError(
                f"{what}: expected integers of shape [sequences, tokens], found {block.dtype} of shape {block.shape}"
            )
        rows = list(block)
    if lengths is not None:
        own = integers_of(lengths, f"{what}: lengths").tolist()
        if len(own) != len(rows) or any(length > len(row) for length, row in zip(own, rows, strict=True)):
            raise UsageError(f"{what}: lengths {own[:8]} do not fit {len(rows)} rows; give the real tokens of each row")
        rows = [row[:length] for row, length in zip(rows, own, strict=True)]
    flat = np.concatenate(rows) if rows else np.empty(0, np.uint32)
    if flat.size and not 0 <= int(flat.min()) <= int(flat.max()) <= TOKEN_ID_MAX:
        raise UsageError(f"{what}: token ids are 0 to {TOKEN_ID_MAX}, found {int(flat.min())} to {int(flat.max())}")
    return Tokens(flat=flat.astype("<u4"), lengths=[len(row) for row in rows])


def _is_row(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) == 1


def floats_of(values: Any, what: str) -> list[float]:
    """One dimension of numbers. Raises UsageError."""
    import numpy as np

    found = array_of(values, what)
    if found.size and (found.ndim != 1 or found.dtype.kind not in "iuf"):
        raise UsageError(f"{what}: expected one dimension of numbers, found {found.dtype} of shape {found.shape}")
    return [float(value) for value in found.astype(np.float64).tolist()]


def number_of(value: Any, what: str) -> float:
    """One number: a float, or an array or tensor of one element, which leaves its graph. Raises UsageError."""
    if callable(detach := getattr(value, "detach", None)):
        value = detach()
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{what}: not one number: {error}") from error
