"""A look at an order file before anybody trains by it: how long it is, what it names, and what looks wrong in it.

Published files had rows beyond their data, and stretches of one value where a writer had died.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from psion_ledger.errors import CannotDecide, UsageError
from psion_ledger.log import files
from psion_ledger.orders.materialised import Format, decoded, format_of

CHUNK_IDS = 1 << 20
# Parquet and numpy files are decoded whole.
DECODED_BYTES_MAX = 1 << 30
ROWS_MAX = 1 << 33
# So many neighbours of one value are no accident of a shuffle.
STRETCH_IDS_SUSPECT = 16
Ids = NDArray[np.int64] | NDArray[np.uint32] | NDArray[np.uint64]


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Neighbours of one value: which, from which position on, and how many."""

    value: int
    first_position: int
    ids: int


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What an order file holds. `repeats` are ids that come again in one pass, `pass_positions` long; `outside` are ids
    of no row of the data. `first_repeat` and `first_outside` are positions, null where there is none."""

    path: str
    format: Format
    bytes: int
    sha256: str
    ids: int
    lowest: int | None
    highest: int | None
    rows: int | None
    outside: int
    first_outside: int | None
    pass_positions: int | None
    repeats: int
    passes_with_repeats: int
    first_repeat: int | None
    longest_stretch: Stretch | None
    zeros: int

    @property
    def faults(self) -> list[Literal["empty", "outside", "repeats", "stretch"]]:
        """What keeps a file from being the order of a shuffled pass."""
        stretch = self.longest_stretch
        seen: dict[Literal["empty", "outside", "repeats", "stretch"], bool] = {
            "empty": self.ids == 0,
            "outside": self.outside > 0,
            "repeats": self.repeats > 0,
            "stretch": stretch is not None and stretch.ids >= STRETCH_IDS_SUSPECT,
        }
        return [name for name, is_seen in seen.items() if is_seen]


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest, self.bytes = file, hashlib.sha256(), 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        self.bytes += len(data)
        return data


def inspect(path: Path, ids_format: Format | None, rows: int | None, pass_positions: int | None) -> Inspection:
    """Read an order file once. `rows` is how many rows the data have, `pass_positions` how long a pass is (as many as
    there are rows, unless given). Raises UsageError, CannotDecide."""
    known = ids_format or format_of(path)
    length = pass_positions or rows
    if max(rows or 0, length or 0) > ROWS_MAX:
        raise UsageError(f"{path}: at most {ROWS_MAX:,} rows and positions of a pass can be looked at")
    try:
        fd = files.open_regular(path)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    with os.fdopen(fd, "rb") as file:
        hashed = _Hashed(file)
        look = _Look(rows, length)
        for chunk in _chunks(hashed, path, known):
            look.take(chunk)
        return look.found(str(path), known, hashed)


def _chunks(file: _Hashed, path: Path, ids_format: Format) -> Iterator[Ids]:
    if ids_format in ("npy", "parquet"):
        data = file.read(DECODED_BYTES_MAX + 1)
        if len(data) > DECODED_BYTES_MAX:
            raise CannotDecide(
                f"{path}: more than {DECODED_BYTES_MAX:,} bytes; write it as raw u4, which is read in parts"
            )
        ids = decoded(data, path.name if path.suffix == f".{ids_format}" else f"{path.name}.{ids_format}")
        for first in range(0, len(ids), CHUNK_IDS):
            yield ids[first : first + CHUNK_IDS]
        return
    width = 4 if ids_format == "u4" else 8
    while data := file.read(CHUNK_IDS * width):
        if len(data) % width:
            raise CannotDecide(f"{path}: {file.bytes:,} bytes are no whole number of ids of {width}")
        yield np.frombuffer(data, f"<u{width}")


class _Look:
    """What is known of the ids so far."""

    def __init__(self, rows: int | None, pass_positions: int | None) -> None:
        self._rows, self._length = rows, pass_positions
        self._ids, self._zeros, self._outside = 0, 0, 0
        self._first_outside: int | None = None
        self._lowest: int | None = None
        self._highest: int | None = None
        self._longest: Stretch | None = None
        self._open: Stretch | None = None  # The one that the next ids may go on with.
        self._seen = np.zeros(rows or 0, bool)
        self._repeats = 0
        self._first_repeat: int | None = None
        self._passes_with_repeats: set[int] = set()

    def take(self, ids: Ids) -> None:
        self._extremes(ids)
        self._stretches(ids)
        if self._rows is not None and self._length is not None:
            self._passes(ids)
        self._ids += len(ids)

    def _extremes(self, ids: Ids) -> None:
        low, high = int(ids.min()), int(ids.max())
        self._lowest = low if self._lowest is None else min(self._lowest, low)
        self._highest = high if self._highest is None else max(self._highest, high)
        self._zeros += int(np.count_nonzero(ids == 0))
        if self._rows is not None:
            outside = np.flatnonzero((ids < 0) | (ids >= self._rows))
            self._outside += len(outside)
            if len(outside) and self._first_outside is None:
                self._first_outside = self._ids + int(outside[0])

    def _stretches(self, ids: Ids) -> None:
        borders = np.concatenate([[0], np.flatnonzero(np.diff(ids)) + 1, [len(ids)]])
        lengths = np.diff(borders)
        before, last = self._open, len(lengths) - 1
        for at in sorted({0, int(lengths.argmax()), last}):
            first, count, value = int(borders[at]), int(lengths[at]), int(ids[borders[at]])
            own = Stretch(value=value, first_position=self._ids + first, ids=count)
            if at == 0 and before is not None and before.value == value:
                own = Stretch(value=value, first_position=before.first_position, ids=before.ids + count)
            if self._longest is None or own.ids > self._longest.ids:
                self._longest = own
            if at == last:
                self._open = own

    def _passes(self, ids: Ids) -> None:
        assert self._length is not None
        first = 0
        while first < len(ids):
            number, place = divmod(self._ids + first, self._length)
            if place == 0:
                self._seen[:] = False
            part = ids[first : first + self._length - place]
            inside = part[(part >= 0) & (part < len(self._seen))].astype(np.int64)
            values, at = np.unique(inside, return_index=True)
            again = np.ones(len(inside), bool)
            again[at[~self._seen[values]]] = False
            self._seen[values] = True
            if again.any():
                self._repeats += int(again.sum())
                self._passes_with_repeats.add(number)
                if self._first_repeat is None:
                    places = np.flatnonzero((part >= 0) & (part < len(self._seen)))
                    self._first_repeat = self._ids + first + int(places[np.flatnonzero(again)[0]])
            first += len(part)

    def found(self, path: str, ids_format: Format, file: _Hashed) -> Inspection:
        return Inspection(
            path=path, format=ids_format, bytes=file.bytes, sha256=file.digest.hexdigest(), ids=self._ids,
            lowest=self._lowest, highest=self._highest, rows=self._rows, outside=self._outside,
            first_outside=self._first_outside, pass_positions=self._length if self._rows is not None else None,
            repeats=self._repeats, passes_with_repeats=len(self._passes_with_repeats),
            first_repeat=self._first_repeat, longest_stretch=self._longest, zeros=self._zeros,
        )  # fmt: skip
