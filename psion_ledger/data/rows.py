"""The token ids of a file as one walk of ids, and where its rows end in it."""

import hashlib
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from psion_ledger.contracts.token_data import TokenType
from psion_ledger.data.held import Held

Ids = NDArray[np.integer[Any]]
Places = NDArray[np.int64]
TOKEN_MAX = 2**32 - 1
CHUNK_IDS = 1 << 20
CHUNK_ROWS = 1 << 16
TYPES: dict[str, TokenType] = {
    "u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64", "i4": "int32", "i8": "int64"
}  # fmt: skip


class Rows(Protocol):
    """`dtype` is the type of an id in the file. `is_stream`: its ids are not cut into rows yet. Close it."""

    dtype: TokenType
    is_stream: bool

    @property
    def rows(self) -> int:
        """How many rows; 0 of a stream."""
        ...

    @property
    def tokens(self) -> int:
        """How many ids, of all rows."""
        ...

    def lengths(self) -> Iterator[Places]:
        """Tokens of each row, in parts; of a stream nothing."""
        ...

    def borders(self, first: int, end: int) -> Places:
        """Where the rows [first, end) begin among the ids, and where the last one ends: `end - first + 1` places."""
        ...

    def ids(self, first: int, end: int) -> Ids:
        """The ids at the places [first, end)."""
        ...

    def row(self, number: int) -> Ids:
        """The ids of one row."""
        ...

    def close(self) -> None: ...


def type_of(held: Held, kind: "np.dtype[Any]") -> TokenType:
    """The type's name in contracts. Raises Unreadable for one that token ids do not have."""
    name = TYPES.get(f"{kind.kind}{kind.itemsize}")
    if name is None or kind.newbyteorder("<") != kind:
        asked = ", ".join(TYPES.values())
        raise held.broken(f"ids of {kind.name} ({kind.str}); write them as one of {asked}, little-endian")
    return name


def checked(held: Held, ids: Ids, first: int = 0) -> Ids:
    """The ids as they are. Raises Unreadable where one is negative or does not fit uint32; `first` is the place of the
    first one."""
    if ids.dtype.kind == "u" and ids.dtype.itemsize <= 4:
        return ids
    for begin in range(0, len(ids), CHUNK_IDS):
        part = ids[begin : begin + CHUNK_IDS]
        if int(part.min()) < 0 or int(part.max()) > TOKEN_MAX:
            outside = int(np.flatnonzero((part < 0) | (part > TOKEN_MAX))[0])
            place, value = first + begin + outside, int(part[outside])
            raise held.broken(f"token {value} at place {place} is none: ids are 0 to {TOKEN_MAX}")
    return ids


def token_sha256(ids: Ids) -> bytes:
    """sha256 of the ids as little-endian u4, 32 bytes; memory does not grow with their number."""
    digest = hashlib.sha256()
    for begin in range(0, len(ids), CHUNK_IDS):
        digest.update(widened(ids[begin : begin + CHUNK_IDS]))
    return digest.digest()


def widened(ids: Ids) -> memoryview:
    """The ids as little-endian u4, one after another in memory."""
    return np.ascontiguousarray(ids, "<u4").data


class Array:
    """One array of ids that were checked: rows of `length` tokens each, or a stream where that is null."""

    def __init__(self, held: Held, ids: Ids, length: int | None) -> None:
        self.dtype = type_of(held, ids.dtype)
        self.is_stream = length is None
        self._held, self._ids, self._length = held, ids, length

    def cut(self, length: int) -> "Array":
        """The same ids as rows of so many tokens; a tail that is shorter is left out."""
        return Array(self._held, self._ids[: len(self._ids) // length * length], length)

    @property
    def rows(self) -> int:
        return len(self._ids) // self._length if self._length else 0

    @property
    def tokens(self) -> int:
        return len(self._ids)

    def lengths(self) -> Iterator[Places]:
        for first in range(0, self.rows, CHUNK_ROWS):
            yield np.full(min(CHUNK_ROWS, self.rows - first), self._length, np.int64)

    def borders(self, first: int, end: int) -> Places:
        assert self._length is not None, "a stream is cut before its rows are asked for"
        return np.arange(first, end + 1, dtype=np.int64) * self._length

    def ids(self, first: int, end: int) -> Ids:
        return self._ids[first:end]

    def row(self, number: int) -> Ids:
        assert self._length is not None, "a stream is cut before its rows are asked for"
        return self._ids[number * self._length : (number + 1) * self._length]

    def close(self) -> None:
        self._ids = self._ids[:0].copy()
        self._held.close()
