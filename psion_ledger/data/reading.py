"""The sequences of a plan, read back from the files that its token data names."""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path

import msgspec
import numpy as np

from psion_ledger import events
from psion_ledger.contracts.sampling_plan import SamplingPlan, Unit
from psion_ledger.contracts.token_data import FileFormat, TokenData, TokenType
from psion_ledger.data import opening
from psion_ledger.data.held import Held, Room
from psion_ledger.data.rows import Array, Ids, Rows
from psion_ledger.errors import CannotDecide

# Of all files together: what is smaller is read from memory, and the rest is mapped.
HELD_BYTES_MAX = 256 << 20
TOGETHER = 64


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A file to be opened: where it is below the corpus folder, what it must be, and what it holds of the plan. `index`
    is the path and digest of a `.idx`."""

    path: str
    sha256: str
    format: FileFormat
    dtype: TokenType
    column: str | None = None
    index: tuple[str, str] | None = None
    sequences: int
    tokens: int


def pieces_of(data: TokenData) -> dict[str, Piece]:
    """The files of token data, by id."""
    return {
        file.file_id: Piece(
            path=file.path, sha256=file.sha256, format=file.format, dtype=file.dtype, column=file.column,
            index=None if file.index is None else (file.index.path, file.index.sha256), sequences=file.sequences,
            tokens=file.tokens,
        )
        for file in data.files
    }  # fmt: skip


def opened(folder: Path, piece: Piece, unit: Unit, room: Room) -> Rows:
    """A file as the rows of the plan; of windows, its ids alone are asked for. Raises CannotDecide where it is missing,
    or not the declared one."""
    held = _held(folder / piece.path, piece.sha256, room)
    index = None if piece.index is None else _held(folder / piece.index[0], piece.index[1], room)
    rows = opening.opened(piece.format, held, piece.dtype, piece.column, index)
    if unit == "sequence" and isinstance(rows, Array) and rows.is_stream:
        length = piece.tokens // max(piece.sequences, 1) or 1
        if length * piece.sequences != piece.tokens:
            raise held.broken("a stream, and the contracts cut it into sequences of no one length")
        rows = rows.cut(length)
    found = (rows.dtype, rows.tokens, rows.rows if unit == "sequence" else piece.sequences)
    said = (piece.dtype, piece.tokens, piece.sequences)
    # A stream may hold more than the plan takes of it.
    if found[0] != said[0] or found[1] < said[1] or found[2] < said[2]:
        raise held.broken(f"it has {_told(found)}, and the contracts name {_told(said)}")
    return rows


def _digest(found: list[Ids]) -> bytes:
    """sha256 of arrays one after another, as little-endian u4; some are put together, for most are small."""
    digest = hashlib.sha256()
    for first in range(0, len(found), TOGETHER):
        digest.update(np.concatenate(found[first : first + TOGETHER], dtype="<u4", casting="unsafe").data)
    return digest.digest()


def _told(amount: tuple[TokenType, int, int]) -> str:
    return f"{amount[2]:,} sequences, {amount[1]:,} tokens of {amount[0]}"


def _held(path: Path, sha256: str, room: Room) -> Held:
    try:
        held = Held(path, room)
    except FileNotFoundError:
        raise CannotDecide(
            f"the corpus is not at hand: {path} is missing; pass the folder of its shards with --corpus"
        ) from None
    if held.sha256 != sha256:
        held.close()
        raise CannotDecide(
            f"{path} is not the shard that the contracts name: it has sha256:{held.sha256}, they name sha256:{sha256}"
        )
    return held


class Tokens:
    """The sequences of a plan, from its files, each opened once and hashed. Close it."""

    def __init__(self, plan: SamplingPlan, data: TokenData | Mapping[str, Piece], folder: Path) -> None:
        """Raises CannotDecide where a file is missing, or not the declared one."""
        self._families = plan.families
        self._window = plan.sequence_tokens if plan.unit == "window" else None
        # Of each family: its files, and where each begins, in sequences or (of windows) in tokens.
        self._files: list[list[Rows]] = []
        self._begins: list[list[int]] = []
        pieces, room = pieces_of(data) if isinstance(data, TokenData) else data, Room(HELD_BYTES_MAX)
        for family in plan.families:
            own = [pieces[shard_id] for shard_id in family.shard_ids]
            self._files.append([opened(folder, piece, plan.unit, room) for piece in own])
            sizes = (piece.tokens if self._window else piece.sequences for piece in own)
            self._begins.append(list(accumulate(sizes, initial=0)))
        self._firsts = [family.first_sequence_id for family in plan.families]

    def content(self, sequence_ids: list[int]) -> tuple[list[events.FamilyTokens], int, bytes]:
        """Tokens of each family (sorted), their total, and the sha256 of the ids as little-endian uint32. Raises
        CannotDecide for a sequence that no file holds."""
        found = list[Ids]()
        counted: dict[str, int] = {}
        for sequence_id in sequence_ids:
            number = bisect_right(self._firsts, sequence_id) - 1
            parts = self._parts(number, sequence_id)
            found += parts
            name = self._families[number].source_family_id
            counted[name] = counted.get(name, 0) + sum(map(len, parts))
        families = [events.FamilyTokens(source_family_id=name, tokens=counted[name]) for name in sorted(counted)]
        return families, sum(counted.values()), _digest(found)

    def _parts(self, number: int, sequence_id: int) -> list[Ids]:
        """The ids of one sequence; of a window that goes on in other files, from each of them."""
        begins, own = self._begins[number], self._files[number]
        at = sequence_id - self._families[number].first_sequence_id
        end = at + (self._window or 1)
        if number < 0 or sequence_id >= self._families[number].end_sequence_id or end > begins[-1]:
            raise CannotDecide(f"no shard that the contracts name holds sequence {sequence_id}")
        file = bisect_right(begins, at) - 1
        if self._window is None:
            return [own[file].row(at - begins[file])]
        found = list[Ids]()
        while at < end:
            upto = min(end, begins[file + 1])
            found.append(own[file].ids(at - begins[file], upto - begins[file]))
            at, file = upto, file + 1
        return found

    def close(self) -> None:
        for rows in (rows for own in self._files for rows in own):
            rows.close()
