"""The frames of a journal as tables, a kind each: for a sealer, and for whoever reads what is not sealed yet."""

from collections import defaultdict

import msgspec
import pyarrow as pa

from psion_ledger import events
from psion_ledger.log import columns, manifest
from psion_ledger.log.collector import collector_off
from psion_ledger.log.frame import Frame, Scan

# Decoding in chunks with the collector off: larger chunks leave the cache, and the collector would walk them.
CHUNK_FRAMES = 4096
# A chunk of large frames is small, too: lists of integers take eight times their bytes, and lists of structs more.
CHUNK_BYTES = 4 << 20


class Identity(msgspec.Struct, frozen=True):
    """What stands beside every event of a stream: its role, attempt and rank."""

    role: events.StreamRole
    attempt: int
    rank: int


# Of a stream that does not begin as one does; a law says so.
UNKNOWN = Identity("train", 1, 0)


def identity_of(entry: manifest.Entry) -> Identity:
    """Of the stream whose events an entry holds."""
    return Identity(entry.role, entry.attempt, entry.rank)


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """The whole frames of one journal: a table of each kind, by kind, the links in order of seq, and the stream's first
    event if it is among them. `identity` is null where nothing said it."""

    identity: Identity | None
    tables: dict[str, pa.Table]
    links: list[bytes]
    opened: events.StreamOpened | None


def decode(scan: Scan, stream: str, identity: Identity | None, events_version: int = events.EVENTS_VERSION) -> Decoded:
    """Walk a scan to its end. `identity` is what the stream's earlier journals said of it, null if there is none; a
    stream_opened that stands first says it itself. The tables have the columns of `events_version`."""
    batches: dict[str, list[pa.RecordBatch]] = defaultdict(list)
    chunk: dict[type[msgspec.Struct], list[Frame]] = defaultdict(list)
    links: list[bytes] = []
    opened: events.StreamOpened | None = None
    flushed = scan.end

    def flush() -> None:
        who = identity or UNKNOWN
        for struct, frames in chunk.items():
            kind = str(struct.__struct_config__.tag)
            batches[kind].append(columns.batch(kind, frames, stream, who.role, who.attempt, who.rank, events_version))
        chunk.clear()

    with collector_off():
        for frame, link in scan:
            if not links and frame.seq == 0 and isinstance(frame.event, events.StreamOpened):
                opened = frame.event
                identity = Identity(opened.role, opened.attempt, opened.rank)
            links.append(link)
            chunk[type(frame.event)].append(frame)
            if len(links) % CHUNK_FRAMES == 0 or scan.end - flushed >= CHUNK_BYTES:
                flush()
                flushed = scan.end
        flush()
    tables = {kind: pa.Table.from_batches(batches[kind]) for kind in sorted(batches)}
    return Decoded(identity=identity, tables=tables, links=links, opened=opened)
