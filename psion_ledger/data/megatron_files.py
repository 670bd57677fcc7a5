"""Megatron's pairs: a `.bin` of token ids, and a `.idx` that says where its sequences and documents end.

The index: magic, version (u8), code of the type (1 byte), sequences and documents (u8 each), then lengths (i4) and byte
pointers (i8) of the sequences, and the number of the first sequence of each document (i8), with their end as the last.
"""

from collections.abc import Iterator

import numpy as np

from psion_ledger.data.held import Held
from psion_ledger.data.rows import CHUNK_ROWS, Ids, Places, checked, type_of

MAGIC, VERSION = b"MMIDIDX\x00\x00", 1
CODES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f8", 7: "<f4", 8: "<u2"}
_HEADER = np.dtype([("version", "<u8"), ("code", "u1"), ("sequences", "<u8"), ("documents", "<u8")])


class Pair:
    """A sequence of the index a row."""

    is_stream = False

    def __init__(self, held: Held, index: Held) -> None:
        """Raises Unreadable for an index that is none, or not of this file."""
        self._held, self._index = held, index
        if bytes(index.data[: len(MAGIC)]) != MAGIC or index.bytes < len(MAGIC) + _HEADER.itemsize:
            raise index.broken("no index of Megatron's: it does not begin with its magic")
        header = np.frombuffer(index.data, _HEADER, 1, len(MAGIC))[0]
        sequences, documents = int(header["sequences"]), int(header["documents"])
        if header["version"] != VERSION or int(header["code"]) not in CODES:
            raise index.broken(
                f"version {header['version']} with type code {header['code']}, and known is version {VERSION}"
            )
        at = len(MAGIC) + _HEADER.itemsize
        needed = at + sequences * 12 + documents * 8
        if index.bytes != needed:
            raise index.broken(
                f"{index.bytes:,} bytes, and {sequences:,} sequences with {documents:,} documents take {needed:,}; "
                "an index with modes (multimodal) is not read"
            )
        self._lengths = np.frombuffer(index.data, "<i4", sequences, at)
        self._pointers = np.frombuffer(index.data, "<i8", sequences, at + sequences * 4)
        self._documents = np.frombuffer(index.data, "<i8", documents, at + sequences * 12)
        kind = np.dtype(CODES[int(header["code"])])
        self.dtype = type_of(held, kind)
        self._width, self.rows = kind.itemsize, sequences
        self.tokens = self._checked()
        self._ids = checked(held, np.frombuffer(held.data, kind))

    def _checked(self) -> int:
        """The tokens of all sequences. Raises Unreadable unless they follow each other over the whole `.bin`, and
        documents over all sequences."""
        tokens = 0
        for first in range(0, self.rows, CHUNK_ROWS):
            lengths = self._lengths[first : first + CHUNK_ROWS].astype(np.int64)
            expected = (tokens + np.cumsum(lengths) - lengths) * self._width
            wrong = np.flatnonzero((lengths < 0) | (self._pointers[first : first + CHUNK_ROWS] != expected))
            if len(wrong):
                raise self._index.broken(f"sequence {first + wrong[0]} does not begin where the one before it ends")
            tokens += int(lengths.sum())
        if tokens * self._width != self._held.bytes:
            needed = tokens * self._width
            raise self._held.broken(
                f"{self._held.bytes:,} bytes, and its index says {needed:,}; was it cut, or is it another's?"
            )
        documents = self._documents
        ends = (int(documents[0]), int(documents[-1])) if len(documents) else None
        if ends != (0, self.rows) or bool((np.diff(documents) < 0).any()):
            raise self._index.broken("its documents do not follow each other over all sequences")
        return tokens

    def lengths(self) -> Iterator[Places]:
        for first in range(0, self.rows, CHUNK_ROWS):
            yield self._lengths[first : first + CHUNK_ROWS].astype(np.int64)

    def borders(self, first: int, end: int) -> Places:
        begins = self._pointers[first:end] // self._width
        behind = int(self._pointers[end]) // self._width if end < self.rows else self.tokens
        return np.append(begins, behind).astype(np.int64)

    def ids(self, first: int, end: int) -> Ids:
        return self._ids[first:end]

    def row(self, number: int) -> Ids:
        first = int(self._pointers[number]) // self._width
        return self._ids[first : first + int(self._lengths[number])]

    def documents_of(self, first: int, end: int) -> tuple[Places, Places]:
        """For each row of [first, end): the number of its document in this file, and its first token in that."""
        numbers = np.searchsorted(self._documents, np.arange(first, end), "right") - 1
        begins = self._pointers[self._documents[numbers]] // self._width
        return numbers.astype(np.int64), (self._pointers[first:end] // self._width - begins).astype(np.int64)

    def close(self) -> None:
        self._lengths = self._pointers = self._documents = self._ids = np.empty(0, np.int64)
        self._held.close()
        self._index.close()
