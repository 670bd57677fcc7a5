"""Streams of Arrow record batches, as `datasets.save_to_disk` writes them, with a column of lists of token ids."""

from collections.abc import Iterator

import pyarrow as pa

from psion_ledger.data.held import Held
from psion_ledger.data.lists import Lists, parts_of, type_in
from psion_ledger.data.rows import Ids, Places


def opened(held: Held, column: str) -> Lists:
    """A sequence a row. Raises Unreadable for other contents, now or as they are read."""
    try:
        with _stream(held) as stream:
            dtype = type_in(held, stream.schema, column)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise held.broken(f"no stream of Arrow record batches: {str(error).splitlines()[0]}") from error
    # Batches that were written as they are look into the file; nothing of them is copied.
    return Lists(held, dtype, lambda: _walk(held, column), list)


def _stream(held: Held) -> pa.RecordBatchStreamReader:
    return pa.ipc.open_stream(pa.py_buffer(held.data))


def _walk(held: Held, column: str) -> Iterator[tuple[Ids, Places]]:
    row, place = 0, 0
    try:
        with _stream(held) as stream:
            for batch in stream:
                lists = batch.column(batch.schema.get_field_index(column))
                # Offsets and lengths are the file's word until they are looked at.
                lists.validate(full=True)
                ids, borders = parts_of(held, lists, row, place)
                row, place = row + batch.num_rows, place + len(ids)
                yield ids, borders
    except (pa.ArrowException, OSError, ValueError) as error:
        raise held.broken(f"its record batches cannot be read: {str(error).splitlines()[0]}") from error
