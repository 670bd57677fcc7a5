"""Sealing: journals that their writer has left become Parquet files, then a manifest entry, then go away.

The same code seals after every rotation, at the end of a run and after a kill. Each step can be repeated: a crash
before the entry leaves files that nobody names, a crash after it leaves a journal that is dropped next time.
"""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from psion_ledger.digest import merkle_root, sha256
from psion_ledger.errors import LimitHit, Unreadable, UsageError
from psion_ledger.log import claim, files, manifest
from psion_ledger.log.decoding import decode, identity_of
from psion_ledger.log.frame import Scan, foreign, read_journal
from psion_ledger.log.liveness import is_gone, live_holder
from psion_ledger.log.screen import screen

_DICTIONARY = {"stream", "role", "pass_id", "split_name", "split_kind", "source_family_id", "evaluation_id"}


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """What one sealing did. `torn` names the journals that ended inside a frame, and where they were cut."""

    entries: list[manifest.Entry]
    torn: list[str]


def seal_run(run: Path, stream: str = "*", *, writer_is_gone: bool = False) -> Sealed:
    """Seal every journal (of one stream, if it is named) that its writer has rotated away from, closed or left dead,
    oldest first in each stream. With `writer_is_gone` also one that is locked, if the process that opened its stream
    on this machine has ended: a child that it forked keeps the lock. Raises CannotDecide for a journal that is damaged
    where it was durable: it stays."""
    claimed, claim_sha256 = claim.read_claim(run)
    known = manifest.Chain(run, claim_sha256)
    entries: list[manifest.Entry] = []
    torn: list[str] = []
    for folder in sorted((run / "journal").glob(stream)):
        paths = sorted(folder.glob("*.wal"))
        for path, following in zip_longest(paths, paths[1:]):
            try:
                if live_holder(path) is not None and not (writer_is_gone and is_gone(path)):
                    break
                with files.reported(run):
                    sealed = _seal_journal(run, claimed, known, path, following, torn)
            except FileNotFoundError:
                continue  # Another sealer was first.
            if sealed is not None:
                entries.append(sealed)
    return Sealed(entries=entries, torn=torn)


def _seal_journal(
    run: Path, claimed: claim.Claim, known: manifest.Chain, path: Path, following: Path | None, torn: list[str]
) -> manifest.Entry | None:
    following_seq = None if following is None else files.first_seq(following)
    data = read_journal(path)
    # What is sealed must be durable as it was read: else a power loss could leave segments of events that are gone.
    files.sync_file(path)
    scan = Scan(data, path, following_seq)
    header = scan.header
    if (whose := foreign(header, claimed, path.parent.name)) is not None:
        raise Unreadable(f"{path}: {whose}; move it away")
    try:
        claim.check_stream(header.stream)
    except UsageError as error:
        raise Unreadable(f"{path}: {error}; move it away") from error
    known.require_whole()
    before = known.last_of(header.stream)
    if before is not None and before.last_seq >= header.first_seq:
        manifest.settle(run)  # The journal is what could replace the entry.
        path.unlink(missing_ok=True)
        return None
    if before is not None and before.link_after != header.link_before.hex():
        raise Unreadable(f"{path}: does not continue {header.stream} as sealed through seq {before.last_seq}")
    # As the writer's version has them: encoded again, they give the links that it wrote.
    identity = None if before is None else identity_of(before)
    decoded = decode(scan, header.stream, identity, header.events_version)
    links, identity = decoded.links, decoded.identity
    if scan.damage is not None:
        if scan.damage.tampered:
            raise Unreadable(
                f"{path}: {scan.damage}; nothing of it is sealed: restore it from a copy, or give up what stands "
                "behind with `psion-ledger seal --cut-damage`"
            )
        torn.append(f"{path.relative_to(run)}: cut at byte {scan.end} of {len(data)}: {scan.damage.what}")
    if not links:
        path.unlink(missing_ok=True)
        return None
    if identity is None:
        raise Unreadable(f"stream {header.stream}, seq {header.first_seq}: a stream begins with stream_opened")
    last_seq = header.first_seq + len(links) - 1
    entry = manifest.Entry(
        type="seal", number=0, previous_sha256="", events_version=header.events_version,
        stream=header.stream, role=identity.role, attempt=identity.attempt, rank=identity.rank,
        first_seq=header.first_seq, last_seq=last_seq,
        link_before=header.link_before.hex(), link_after=links[-1].hex(), events_root=merkle_root(links).hex(),
        files=[
            write_segment(run, kind, table, header.stream, header.first_seq, last_seq)
            for kind, table in decoded.tables.items()
        ],
    )  # fmt: skip
    files.sync_folder(run / "segments")
    published = known.append(entry)
    path.unlink(missing_ok=True)
    return published


def _leaves(field: pa.Field, prefix: str = "") -> Iterator[tuple[str, pa.DataType]]:
    """Parquet's dotted leaf paths of a field, and their types."""
    path = f"{prefix}{field.name}"
    if pa.types.is_list(field.type):
        yield from _leaves(field.type.value_field.with_name("element"), f"{path}.list.")
    elif pa.types.is_struct(field.type):
        for child in field.type:
            yield from _leaves(child, f"{path}.")
    else:
        yield path, field.type


def parquet_bytes(table: pa.Table, compression: str = "zstd") -> pa.Buffer:
    """The one way that the ledger writes Parquet: zstd 3, and the encoding that suits each column.

    Statistics are kept for integers that cannot be null, and for nothing else: DuckDB 2.0 answers `is null` wrongly
    on a plain column whose statistics show one value and some nulls, and `isnan` on any float column that has some.
    """
    leaves = [leaf for field in table.schema for leaf in _leaves(field)]
    dictionary = [path for path, _ in leaves if path.rsplit(".", 1)[-1] in _DICTIONARY]
    encodings = {
        path: "DELTA_BINARY_PACKED" if pa.types.is_integer(kind) else "BYTE_STREAM_SPLIT"
        for path, kind in leaves
        if pa.types.is_integer(kind) or pa.types.is_floating(kind)
    }
    plain_integers = [f.name for f in table.schema if pa.types.is_integer(f.type) and not f.nullable]
    out = pa.BufferOutputStream()
    pq.write_table(
        table,
        out,
        compression=compression,
        compression_level=3 if compression == "zstd" else None,
        use_dictionary=dictionary,
        column_encoding=encodings,
        write_statistics=plain_integers,
    )
    return out.getvalue()


def write_segment(
    run: Path, kind: str, table: pa.Table, stream: str, first_seq: int, last_seq: int
) -> manifest.SegmentFile:
    """Give the rows of one kind in a range of a stream their file, durably. The caller syncs the segments' folder."""
    folder = run / "segments" / kind
    files.make_folder(folder)
    data = parquet_bytes(table)
    try:
        screen(data, kind, table.schema, table.num_rows)
    except LimitHit:
        # It shrinks as no honest file would, and every reader would refuse it.
        data = parquet_bytes(table, compression="none")
    digest = sha256(data).hex()
    scratch = files.scratch_path(run)
    files.write_durable(scratch, data)
    name = manifest.segment_path(kind, stream, first_seq, last_seq, digest)
    if not files.publish(scratch, run / name) and files.measure(run, name, len(data))[1] != digest:
        raise Unreadable(f"{run / name}: stands where a segment belongs, with other bytes; move it away")
    return manifest.SegmentFile(kind=kind, path=name, rows=table.num_rows, bytes=len(data), sha256=digest)
