"""One file of token data by its format: opened, and looked at."""

from pathlib import Path

import msgspec

from psion_ledger.contracts.token_data import DocumentIndexFile, FileFormat, TokenType
from psion_ledger.data import arrow_files, megatron_files, npy_files, parquet_files, raw_files
from psion_ledger.data.held import HELD_BYTES_MAX, Held, Room
from psion_ledger.data.rows import Rows
from psion_ledger.data.sources import Entry
from psion_ledger.errors import UsageError

# What an index can say of a row.
ROW_TOKENS_MAX = 2**31 - 1


class FoundFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds, before it is cut.

    split_name, source_family_id, path, format, dtype, column: of what it is read as.
    bytes, sha256: of the file; index: the same of a `.idx`.
    is_stream: its ids are not cut into rows. rows: how many there are; 0 of a stream. tokens: ids in it.
    shortest, longest: tokens of a row; null of a stream.
    """

    split_name: str
    source_family_id: str
    path: str
    format: FileFormat
    dtype: TokenType
    column: str | None
    bytes: int
    sha256: str
    index: DocumentIndexFile | None
    is_stream: bool
    rows: int
    tokens: int
    shortest: int | None
    longest: int | None


def opened(kind: FileFormat, held: Held, dtype: TokenType, column: str | None, index: Held | None) -> Rows:
    """The rows of a file; they close it. Raises Unreadable for contents of another format."""
    if kind == "raw":
        return raw_files.opened(held, dtype)
    if kind == "npy":
        return npy_files.opened(held)
    if kind == "megatron":
        assert index is not None, "a pair has its index"
        return megatron_files.Pair(held, index)
    assert column is not None, "a file of columns is read by the name of one"
    return parquet_files.opened(held, column) if kind == "parquet" else arrow_files.opened(held, column)


def hold(path: Path) -> Held:
    """A file that the user names. Raises UsageError where there is none, Unreadable."""
    try:
        return Held(path, Room(HELD_BYTES_MAX))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; a pattern is looked for as `train-*.bin`") from None


def look(entry: Entry) -> FoundFile:
    """Open a file and read it whole, once. Raises UsageError, Unreadable, also for an empty file or row."""
    held = hold(entry.path)
    index = hold(entry.path.with_suffix(".idx")) if entry.format == "megatron" else None
    noted = None if index is None else DocumentIndexFile(path=str(index.path), bytes=index.bytes, sha256=index.sha256)
    size, digest = held.bytes, held.sha256
    if size == 0:
        raise held.broken("empty; leave it out")
    rows = opened(entry.format, held, entry.dtype, entry.column, index)
    try:
        count, tokens, shortest, longest = 0, 0, None, None
        for lengths in rows.lengths():
            if not len(lengths):
                continue
            low, high = int(lengths.min()), int(lengths.max())
            if low == 0:
                raise held.broken(f"row {count + int(lengths.argmin())} has no token; leave such rows out")
            if high > ROW_TOKENS_MAX:
                raise held.broken(
                    f"row {count + int(lengths.argmax())} has {high:,} tokens; at most {ROW_TOKENS_MAX:,}"
                )
            shortest, longest = min(shortest or low, low), max(longest or high, high)
            count, tokens = count + len(lengths), tokens + int(lengths.sum())
        if rows.is_stream:
            tokens = rows.tokens
        if tokens == 0:
            raise held.broken("no token in it; leave it out")
    finally:
        rows.close()
    return FoundFile(
        split_name=entry.split, source_family_id=entry.family, path=str(entry.path), format=entry.format,
        dtype=rows.dtype, column=entry.column, bytes=size, sha256=digest, index=noted, is_stream=rows.is_stream,
        rows=count, tokens=tokens, shortest=shortest, longest=longest,
    )  # fmt: skip
