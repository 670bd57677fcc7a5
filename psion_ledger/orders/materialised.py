"""An order that was written to files before training. Its ids are entries: numbers from 0 over the train sequences.

.u4 .u8     raw little-endian unsigned integers, without a header
.npy        numpy's format, one dimension of integers
.parquet    one column of integers
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from psion_ledger.contracts import Contracts
from psion_ledger.data import npy_files
from psion_ledger.errors import CannotDecide, UsageError
from psion_ledger.log.contract_files import Part
from psion_ledger.orders import passes

NOWHERE = -1
Format = Literal["u4", "u8", "npy", "parquet"]
_FORMATS: dict[str, Format] = {".npy": "npy", ".parquet": "parquet", ".u4": "u4", ".u8": "u8"}


def format_of(path: Path) -> Format:
    """The format that a file's name says. Raises UsageError."""
    if (known := _FORMATS.get(path.suffix)) is None:
        raise UsageError(
            f"{path}: its name does not say how ids are written; say it with format: u4, u8, npy or parquet"
        )
    return known


def decoded(data: bytes, name: str) -> passes.Ids:
    """The ids (int64) of an order file, by the suffix of its name. Raises CannotDecide for what is none."""
    suffix = name.rsplit(".", 1)[-1]
    try:
        if suffix in ("u4", "u8"):
            found = np.frombuffer(data, "<u4" if suffix == "u4" else "<u8")
        elif suffix == "npy":
            found = npy_files.array(data, 1)
        else:
            found = _parquet(data)
    except (ValueError, OSError, MemoryError) as error:
        raise CannotDecide(f"{name}: not an order file: {str(error).splitlines()[0]}") from error
    # Beyond what an int64 holds no data has rows.
    ids: passes.Ids = np.where(found > np.iinfo(np.int64).max, NOWHERE, found).astype(np.int64)
    return ids


def _parquet(data: bytes) -> NDArray[np.integer[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(data))
        if table.num_columns != 1:
            raise ValueError(f"{table.num_columns} columns, and an order has one")
        column = table.column(0)
        if not pa.types.is_integer(column.type) or column.null_count:
            raise ValueError(f"a column of {column.type} with {column.null_count} nulls, and an order has integers")
        found: NDArray[np.integer[Any]] = column.to_numpy()
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    return found


class Materialised:
    """The order in the files of the contract; `read` gives the verified bytes of one."""

    def __init__(self, contracts: Contracts, parts: list[Part], read: Callable[[Part], bytes]) -> None:
        self._parts, self._read = parts, read
        self._entries = passes.entries_total(contracts)
        everything = passes.Passes(contracts, lambda number: np.arange(self._entries, dtype=np.int64))
        self._ids = np.append(everything.sequence_ids(0, self._entries), NOWHERE)
        self._held: tuple[Part, passes.Ids] | None = None

    @property
    def positions(self) -> int:
        """How many positions the files hold."""
        return self._parts[-1].first + self._parts[-1].rows

    def sequence_ids(self, first: int, end: int) -> passes.Ids:
        """The sequence id (int64) at each position in [first, end), -1 where the file names no train sequence. Raises
        CannotDecide beyond the last file."""
        if end > self.positions:
            raise CannotDecide(f"the order files end at position {self.positions}, and {end} are asked for")
        found = [np.empty(0, np.int64)]
        for part in self._parts:
            own = range(max(first, part.first), min(end, part.first + part.rows))
            if own:
                found.append(self._of(part)[own.start - part.first : own.stop - part.first])
        entries = np.concatenate(found)
        inside = (entries >= 0) & (entries < self._entries)
        return self._ids[np.where(inside, entries, self._entries)]

    def _of(self, part: Part) -> passes.Ids:
        if self._held is None or self._held[0] != part:
            ids = decoded(self._read(part), part.path)
            if len(ids) != part.rows:
                raise CannotDecide(f"{part.path}: {len(ids)} ids, and its contract says {part.rows}")
            self._held = part, ids
        return self._held[1]
