"""Sealed events read back from their columns: encoded again, they give the links and roots that were sealed.

What a file's sha256 cannot show, this does: that the rows are the very events that the writer chained, in the
stream that they say. It decodes Parquet, which a forger may have made: call it where a crash harms nobody.
"""

import heapq
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from psion_ledger.digest import leaf_hash, merkle_root
from psion_ledger.errors import Unreadable, UsageError
from psion_ledger.log import columns, manifest, verified
from psion_ledger.log.frame import encode

ROWS_AT_ONCE = 4096
Row = tuple[int, int, int, list[Any]]


def events(run: Path, entry: manifest.Entry) -> Iterator[tuple[int, bytes, bytes]]:
    """Seq, body and link of each event of an entry, in the order of seq, chained from where the entry begins.

    Raises Unreadable for rows that are no events of this entry: of another schema or stream, or not dense.
    """
    link = bytes.fromhex(entry.link_before)
    expected = entry.first_seq
    kinds = [_rows(run, entry, file) for file in entry.files]
    for seq, recorded_at_ns, durable_through, event in heapq.merge(*kinds, key=itemgetter(0)):
        if seq != expected:
            raise Unreadable(f"stream {entry.stream}: seq {seq} stands where seq {expected} belongs")
        body = encode((seq, recorded_at_ns, link, durable_through, event))
        link = leaf_hash(body)
        expected += 1
        yield seq, body, link
    if expected != entry.last_seq + 1:
        raise Unreadable(f"stream {entry.stream}: ends at seq {expected - 1}, and should at seq {entry.last_seq}")


def _rows(run: Path, entry: manifest.Entry, file: manifest.SegmentFile) -> Iterator[Row]:
    identity = (entry.stream, entry.role, entry.attempt, entry.rank)
    data = verified.read(run, promised(entry, file))
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as parquet:
            for batch in parquet.iter_batches(ROWS_AT_ONCE):
                for field, value in zip(columns.STREAM_COLUMNS, identity, strict=True):
                    if batch.column(field.name).unique().to_pylist() != [value]:
                        raise Unreadable(f"{file.path}: its rows say another {field.name} than {value}")
                yield from columns.rows(file.kind, batch, entry.events_version)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise Unreadable(f"{file.path}: no Parquet of {file.kind}: {str(error).splitlines()[0]}") from error


def promised(entry: manifest.Entry, file: manifest.SegmentFile) -> verified.Promised:
    """A file of an entry, with the columns that its kind had in the entry's version."""
    schema = columns.schema(file.kind, entry.events_version)
    return verified.Promised(path=file.path, sha256=file.sha256, rows=file.rows, schema=schema)


def fault(run: Path, known: manifest.Manifest, entry: manifest.Entry) -> str | None:
    """Why an entry's columns do not give its links and roots, and those of every range that it replaced; None when
    they do."""
    links: list[bytes] = []
    ends = {end.last_seq: known.entries[end.entry] for end in entry.ends}
    try:
        for seq, _, link in events(run, entry):
            links.append(link)
            sealed = ends.get(seq)
            if sealed is not None:
                own = links[sealed.first_seq - entry.first_seq :]
                if (link.hex(), merkle_root(own).hex()) != (sealed.link_after, sealed.events_root):
                    return f"seqs {sealed.first_seq} to {seq} do not give the link and root that were sealed"
    except Unreadable as error:
        return str(error)
    if merkle_root(links).hex() != entry.events_root:
        return f"seqs {entry.first_seq} to {entry.last_seq} do not give the root of this entry"
    return None


def event(run: Path, known: manifest.Manifest, stream: str, seq: int) -> tuple[int, bytes, list[bytes]]:
    """The entry that sealed an event, the event's body, and the links of all of that entry's events.

    Raises UsageError when the event is not sealed, Unreadable when the columns are not what was sealed.
    """
    sealed = [e for e in known.entries if e.stream == stream and e.first_seq <= seq <= e.last_seq]
    if not sealed:
        raise UsageError(f"run {run.name}: seq {seq} of stream {stream} is not sealed: there is no proof of it yet")
    original = next(entry for entry in sealed if entry.type == "seal")
    body, links = b"", []
    for number, found, link in events(run, next(entry for entry in known.current() if entry in sealed)):
        if original.first_seq <= number <= original.last_seq:
            links.append(link)
        if number == seq:
            body = found
    return original.number, body, links
