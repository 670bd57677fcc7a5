"""A column of lists of token ids, a row each, as parquet and arrow have it."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from psion_ledger.contracts.token_data import TokenType
from psion_ledger.data.held import Held
from psion_ledger.data.rows import Ids, Places, checked, type_of


def type_in(held: Held, schema: Any, column: str) -> TokenType:
    """The type of an id in the column of an Arrow schema. Raises Unreadable where it is no column of lists of ids."""
    place = schema.get_field_index(column)
    if place < 0:
        raise held.broken(
            f"no single column {column!r}; it has {', '.join(schema.names[:20]) or 'none'}: name one with column="
        )
    kind = schema.field(place).type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not pa.types.is_integer(kind.value_type):
        raise held.broken(f"column {column!r} is of {kind}, and token ids are a list of integers a row")
    return type_of(held, np.dtype(kind.value_type.to_pandas_dtype()))


def parts_of(held: Held, column: Any, row: int, place: int) -> tuple[Ids, Places]:
    """The ids of an array of lists, and where each of its rows begins and ends in them. `row` and `place` are those of
    the first one in the file. Raises Unreadable for nulls and for ids that are none."""
    if column.null_count:
        raise held.broken(f"a null among the rows from {row} on; leave such rows out")
    ids = column.flatten()
    if ids.null_count:
        raise held.broken(f"a null among the token ids of the rows from {row} on")
    if pa.types.is_fixed_size_list(column.type):
        borders = np.arange(len(column) + 1, dtype=np.int64) * column.type.list_size
    else:
        borders = column.offsets.to_numpy().astype(np.int64)
        borders -= borders[0]
    return checked(held, ids.to_numpy(), place), borders


class Lists:
    """Rows of differing lengths. `walk` reads the file from its beginning, part by part; `kept` keeps what it gives
    where it can be read again at any place, and is called when that is asked for first."""

    is_stream = False

    def __init__(
        self,
        held: Held,
        dtype: TokenType,
        walk: Callable[[], Iterator[tuple[Ids, Places]]],
        kept: Callable[[Iterator[tuple[Ids, Places]]], list[tuple[Ids, Places]]],
    ) -> None:
        self.dtype = dtype
        self._held, self._walk, self._kept = held, walk, kept
        self._parts: list[tuple[Ids, Places]] | None = None
        self._first_rows, self._first_ids = np.zeros(1, np.int64), np.zeros(1, np.int64)

    def _found(self) -> list[tuple[Ids, Places]]:
        if self._parts is None:
            self._parts = [part for part in self._kept(self._walk()) if len(part[1]) > 1]
            rows = [len(borders) - 1 for _, borders in self._parts]
            self._first_rows = np.cumsum([0, *rows], dtype=np.int64)
            self._first_ids = np.cumsum([0, *(len(ids) for ids, _ in self._parts)], dtype=np.int64)
        return self._parts

    @property
    def rows(self) -> int:
        self._found()
        return int(self._first_rows[-1])

    @property
    def tokens(self) -> int:
        self._found()
        return int(self._first_ids[-1])

    def lengths(self) -> Iterator[Places]:
        for _, borders in self._walk():
            yield np.diff(borders)

    def borders(self, first: int, end: int) -> Places:
        parts, found = self._found(), list[Places]()
        for number in self._over(self._first_rows, first, end):
            own = slice(max(first - self._first_rows[number], 0), end - self._first_rows[number])
            found.append(parts[number][1][:-1][own] + self._first_ids[number])
        last = int(np.searchsorted(self._first_rows, end, "left")) - 1
        behind = parts[last][1][end - self._first_rows[last]] + self._first_ids[last] if end else 0
        return np.concatenate([*found, np.array([behind], np.int64)])

    def ids(self, first: int, end: int) -> Ids:
        parts, found = self._found(), list[Ids]()
        for number in self._over(self._first_ids, first, end):
            start = self._first_ids[number]
            found.append(parts[number][0][max(first - start, 0) : end - start])
        return found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.uint8), *found])

    def row(self, number: int) -> Ids:
        parts = self._found()
        part = bisect_right(self._first_rows, number) - 1
        ids, borders = parts[part]
        at = number - int(self._first_rows[part])
        return ids[borders[at] : borders[at + 1]]

    @staticmethod
    def _over(firsts: Places, first: int, end: int) -> range:
        """The parts that hold something of [first, end)."""
        if first >= end:
            return range(0)
        return range(int(np.searchsorted(firsts, first, "right")) - 1, int(np.searchsorted(firsts, end, "left")))

    def close(self) -> None:
        self._parts = []
        self._held.close()
