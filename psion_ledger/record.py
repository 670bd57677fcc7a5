"""Reading a run's folder as evidence: what the manifest promises, held against what is there.

Nothing here takes a lock or raises for a violation. The order of reading makes a live run safe to read: all
journals first, then the manifest, then forget the frames that were sealed in between.
"""

from itertools import zip_longest
from pathlib import Path

import msgspec

from psion_ledger.errors import Unreadable
from psion_ledger.log import claim, files, manifest
from psion_ledger.log.frame import Damage, Frame, Scan


class LedgerFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the record names, as promised and as found (null: not there). Digests are hex.

    Of a file that a later compaction made, a record as of an earlier entry holds the events `through_seq` alone.
    """

    path: str
    entry: int | None
    kind: str
    stream: str
    first_seq: int
    last_seq: int
    rows: int
    bytes_expected: int | None
    bytes_actual: int | None
    sha256_expected: str
    sha256_actual: str | None
    through_seq: int | None = None

    @property
    def holds(self) -> bool:
        return self.sha256_actual == self.sha256_expected


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """The unsealed frames of one journal; `damage` says where and why its bytes were not read to their end."""

    path: str
    stream: str
    first_seq: int
    link_before: bytes
    link_after: bytes
    frames: list[Frame]
    damage: Damage | None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it is on disk. `as_of` limits it to the first entries of the manifest, without a tail."""

    folder: Path
    claim: claim.Claim
    manifest: manifest.Manifest
    files: list[LedgerFile]
    tails: list[Tail]
    as_of: int | None


def read(folder: Path, as_of: int | None = None) -> Record:
    """Read a run. Raises NoSuchRun, Unreadable, NewerFormat or LimitHit for what cannot be read at all."""
    claimed, claim_sha256 = claim.read_claim(folder)
    for _ in range(2):
        journals = {} if as_of is not None else _read_journals(folder)
        whole = manifest.read(folder, claim_sha256)
        known = whole if as_of is None else whole.first(as_of)
        found = _files(folder, whole, known)
        if all(file.sha256_actual is not None for file in found):
            break  # Else a file has gone: a compaction may have replaced it, so look once more.
    if as_of is not None and len(known.entries) < as_of:
        raise Unreadable(f"run {folder.name}: as of {as_of} entries; the manifest holds {len(known.entries)}")
    paths = list(journals)
    tails = [
        tail
        for path, following in zip_longest(paths, paths[1:])
        if (tail := _tail(folder, path, journals[path], following, known)) is not None
    ]
    return Record(folder=folder, claim=claimed, manifest=known, files=found, tails=tails, as_of=as_of)


def _files(folder: Path, whole: manifest.Manifest, known: manifest.Manifest) -> list[LedgerFile]:
    """The files that hold the events of `known`'s entries: those of the entries that stand in the `whole` manifest,
    which may be compacted ones that reach further."""
    through = {entry.stream: entry.last_seq for entry in sorted(known.entries, key=lambda entry: entry.last_seq)}
    return [
        _check(folder, entry, file, None if entry.last_seq <= through[entry.stream] else through[entry.stream])
        for entry in whole.current()
        if entry.first_seq <= through.get(entry.stream, -1)
        for file in entry.files
    ]


def _read_journals(folder: Path) -> dict[Path, bytes]:
    journals: dict[Path, bytes] = {}
    for path in sorted((folder / "journal").glob("*/*.wal")):
        try:
            journals[path] = files.read_regular(path, files.JOURNAL_BYTES_MAX)
        except FileNotFoundError:
            continue  # Sealed since the listing; the manifest, read later, has it.
    return journals


def _tail(folder: Path, path: Path, data: bytes, following: Path | None, known: manifest.Manifest) -> Tail | None:
    """What of a journal is not sealed. A journal is sealed whole or not at all."""
    name = path.relative_to(folder).as_posix()
    following_seq = files.first_seq(following) if following and following.parent == path.parent else None
    scan = Scan(data, name, following_seq)
    last = known.last_of(path.parent.name)
    if last is not None and last.last_seq >= scan.header.first_seq:
        return None
    frames = [frame for frame, _ in scan]
    if not frames and scan.damage is None:
        return None
    return Tail(
        path=name,
        stream=path.parent.name,
        first_seq=scan.header.first_seq,
        link_before=scan.header.link_before,
        link_after=scan.link,
        frames=frames,
        damage=scan.damage,
    )


def _check(folder: Path, entry: manifest.Entry, file: manifest.SegmentFile, through_seq: int | None) -> LedgerFile:
    bytes_actual, sha256_actual = files.measure(folder, file.path, file.bytes)
    return LedgerFile(
        path=file.path,
        entry=entry.number,
        kind=file.kind,
        stream=entry.stream,
        first_seq=entry.first_seq,
        last_seq=entry.last_seq,
        rows=file.rows,
        bytes_expected=file.bytes,
        bytes_actual=bytes_actual,
        sha256_expected=file.sha256,
        sha256_actual=sha256_actual,
        through_seq=through_seq,
    )
