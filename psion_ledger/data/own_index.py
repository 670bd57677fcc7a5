"""A sequence index of the user's own, for data that only its owner can read: checked, and cut into parts."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from psion_ledger.data.families import Amount
from psion_ledger.data.held import Held
from psion_ledger.data.opening import hold
from psion_ledger.data.sources import Source, matching
from psion_ledger.errors import CannotDecide, UsageError
from psion_ledger.log.indexes import SEQUENCE_INDEX_SCHEMA

# A row may hold many documents, so parts are smaller than those that are made here.
PART_ROWS = 50_000


class OwnIndex(msgspec.Struct, frozen=True, kw_only=True):
    """Its files and their sha256s, and what its rows add to families; `shortest` and `longest` in tokens."""

    paths: list[Path]
    sha256s: list[str]
    amounts: list[Amount]
    shortest: int
    longest: int


def look(sources: list[Source]) -> OwnIndex:
    """Read it whole. Raises UsageError for rows that are not those of a plan, Unreadable."""
    every = [path for source in sources for text in source.paths for path in matching(text, ".parquet")]
    amounts, digests, lengths = list[Amount](), list[str](), set[int]()
    for path in every:
        held = hold(path)
        digests.append(held.sha256)
        for batch in _batches(held):
            amounts += _amounts(held, batch, sum(amount.sequences for amount in amounts))
            tokens = batch.column("tokens").to_numpy()
            lengths |= {int(tokens.min()), int(tokens.max())}
        held.close()
    names = [(amount.split, amount.family) for amount in amounts]
    if not names:
        raise UsageError(f"{', '.join(map(str, every))}: no row in it")
    if names != sorted(names):
        raise UsageError(f"{every[0]}: its rows stand in another order than their splits and families, by name")
    paths = [Path(os.path.abspath(path)) for path in every]
    return OwnIndex(paths=paths, sha256s=digests, amounts=amounts, shortest=min(lengths), longest=max(lengths))


def parts(own: OwnIndex) -> Iterator[tuple[bytes, int]]:
    """The rows again, cut anew. Raises CannotDecide where a file has changed meanwhile."""
    for path, digest in zip(own.paths, own.sha256s, strict=True):
        held = hold(path)
        if held.sha256 != digest:
            raise CannotDecide(f"{path}: it has changed since it was described; describe it again")
        for batch in _batches(held):
            sink = pa.BufferOutputStream()
            pq.write_table(pa.Table.from_batches([batch]), sink, compression="zstd")
            yield bytes(sink.getvalue()), batch.num_rows
        held.close()


def _batches(held: Held) -> Iterator[pa.RecordBatch]:
    """The rows with the columns of an index. Raises Unreadable."""
    try:
        file = pq.ParquetFile(pa.BufferReader(pa.py_buffer(held.data)))
        if missing := set(SEQUENCE_INDEX_SCHEMA.names) - set(file.schema_arrow.names):
            raise held.broken(
                f"no column {', '.join(sorted(missing))}; an index has {', '.join(SEQUENCE_INDEX_SCHEMA.names)}"
            )
        for batch in file.iter_batches(PART_ROWS, columns=SEQUENCE_INDEX_SCHEMA.names, use_threads=False):
            if batch.num_rows:
                table = pa.Table.from_batches([batch]).select(SEQUENCE_INDEX_SCHEMA.names).cast(SEQUENCE_INDEX_SCHEMA)
                yield from table.combine_chunks().to_batches()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise held.broken(f"no index that can be read: {str(error).splitlines()[0]}") from error


def _amounts(held: Held, batch: pa.RecordBatch, first: int) -> list[Amount]:
    """What a stretch of rows adds to its families, as they follow each other."""
    ids, tokens = batch.column("sequence_id").to_numpy(), batch.column("tokens").to_numpy()
    if batch.column("token_sha256").null_count:
        raise held.broken(f"a row without token_sha256 from id {first} on; each row has the digest of its tokens")
    if (ids != np.arange(first, first + len(ids))).any() or int(tokens.min()) < 1:
        raise held.broken(f"ids from {first} on are not dense and in order, or a row has no token")
    names = list(zip(batch.column("split_name").to_pylist(), batch.column("source_family_id").to_pylist(), strict=True))
    borders = [0, *(n for n in range(1, len(names)) if names[n] != names[n - 1]), len(names)]
    return [
        Amount(*names[begin], None, end - begin, int(tokens[begin:end].sum(dtype=np.int64)))
        for begin, end in pairwise(borders)
    ]
