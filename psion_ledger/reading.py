"""Reading a run's folder as evidence: what the manifest promises, held against what is there.

Nothing here raises for a violation: `faults` lists what keeps an answer from resting on the record. The order of
reading makes a live run safe to read: all journals first, then the manifest, then forget the frames that were sealed in
between.
"""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import msgspec
import pyarrow as pa

from psion_ledger.errors import CannotDecide, Damaged, Inaccessible, Unreadable
from psion_ledger.events import StreamOpened
from psion_ledger.log import claim, files, manifest, unnamed
from psion_ledger.log.decoding import Identity, decode, identity_of
from psion_ledger.log.frame import Damage, Scan, first_link
from psion_ledger.log.liveness import live_holder


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
    events_version: int
    bytes_expected: int | None
    bytes_actual: int | None
    sha256_expected: str
    sha256_actual: str | None
    through_seq: int | None = None

    @property
    def holds(self) -> bool:
        return self.sha256_actual == self.sha256_expected


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """The unsealed events of one journal, a table of each kind, and the stream's first event if it is among them.
    `damage` says where and why the journal was not read to its end."""

    path: str
    stream: str
    first_seq: int
    events: int
    link_before: bytes
    link_after: bytes
    opened: StreamOpened | None
    identity: Identity | None
    tables: dict[str, pa.Table]
    damage: Damage | None


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the record, relative to its folder, that is not what the record promises, and in which way. `torn` is
    what a crash leaves: a journal whose last frame is cut, until it is sealed."""

    file: str
    reason: str
    torn: bool = False


class AttemptClaim(msgspec.Struct, frozen=True, kw_only=True):
    """The claim of an attempt that holds, and the sha256 (hex) of its file."""

    attempt: int
    file: str
    sha256: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it is on disk. `as_of` limits it to the first entries of the manifest, without a tail. `rolled_back`
    are the segments of entries that were taken away."""

    folder: Path
    claim: claim.Claim
    manifest: manifest.Manifest
    files: list[LedgerFile]
    tails: list[Tail]
    attempts: list[Fault]
    claims: list[AttemptClaim]
    rolled_back: list[unnamed.Unnamed]
    as_of: int | None

    @property
    def faults(self) -> list[Fault]:
        """Why no answer can rest on the record; none when its bytes are those that were written."""
        return list(_faults(self))

    def require_unchanged(self) -> None:
        """Raise Damaged when a sealed file has changed since the record was read."""
        for file in self.files:
            if file.holds and files.measure(self.folder, file.path, file.bytes_expected)[1] != file.sha256_expected:
                raise Damaged(self.folder, file.path, "it was changed while it was read")

    def require_whole(self) -> None:
        """Raise Damaged, naming the first fault, when there is one."""
        for fault in _faults(self):
            raise Damaged(self.folder, fault.file, fault.reason)


def read(folder: Path, as_of: int | None = None) -> Record:
    """Read a run. Raises NoSuchRun, Unreadable, NewerFormat or LimitHit for what cannot be read at all."""
    claimed, claim_sha256 = claim.read_claim(folder)
    chain = manifest.Chain(folder, claim_sha256)
    for _ in range(2):
        there = unnamed.listed(folder)
        chain.read()
        found_tails = [] if as_of is not None else list(_read_journals(folder, claimed, chain))
        whole = chain.read()
        known = whole if as_of is None else whole.first(as_of)
        found = _files(folder, whole, known)
        rolled_back = [] if whole.broken is not None else unnamed.rolled_back(folder, there, whole)
        if all(file.sha256_actual is not None for file in found) and not rolled_back:
            break  # Else a file has gone or come: a compaction or a sealer may have been at work, so look once more.
    if as_of is not None and len(known.entries) < as_of:
        raise Unreadable(f"run {folder.name}: as of {as_of} entries; the manifest holds {len(known.entries)}")
    tails = list(_continuing(claimed, found_tails, known))
    faults, claims = _attempts(folder, claimed, known, tails)
    return Record(
        folder=folder, claim=claimed, manifest=known, files=found, tails=tails,
        attempts=faults, claims=claims, rolled_back=rolled_back, as_of=as_of,
    )  # fmt: skip


def _faults(record: Record) -> Iterator[Fault]:
    if (broken := record.manifest.broken) is not None:
        yield Fault(file=broken.path, reason=f"expected {broken.expected}, found {broken.actual}")
    for file in record.files:
        if not file.holds:
            found = "it is missing" if file.sha256_actual is None else f"found {file.sha256_actual}"
            yield Fault(file=file.path, reason=f"expected sha256 {file.sha256_expected}, {found}")
    for tail in record.tails:
        if tail.damage is not None:
            torn = not tail.damage.tampered
            mend = "; `psion-ledger seal` cuts it there" if torn else ""
            yield Fault(file=tail.path, reason=f"{tail.damage}{mend}", torn=torn)
    yield from record.attempts
    for segment in record.rolled_back:
        yield Fault(file=segment.path, reason="no manifest entry names it, and its journal is gone: rolled back")


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


def _read_journals(folder: Path, claimed: claim.Claim, chain: manifest.Chain) -> Iterator[Tail]:
    """The journals that are not sealed as far as was walked, one in memory at a time."""
    identity: dict[str, Identity | None] = {}
    paths = sorted((folder / "journal").glob("*/*.wal"))
    for path, following in zip_longest(paths, paths[1:]):
        stream = path.parent.name
        last = chain.last_of(stream)
        if stream not in identity:
            identity[stream] = None if last is None else identity_of(last)
        following_seq = files.first_seq(following) if following and following.parent == path.parent else None
        try:
            tail = _tail(folder, claimed, path, following_seq, last, identity[stream])
        except FileNotFoundError:
            continue  # Sealed since the listing; the manifest, read later, has it.
        if tail is not None:
            identity[stream] = tail.identity
            yield tail


def _text(name: str) -> str:
    """A name of a file as text: any byte that is none is spelled out."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _tail(
    folder: Path,
    claimed: claim.Claim,
    path: Path,
    following_seq: int | None,
    last: manifest.Entry | None,
    identity: Identity | None,
) -> Tail | None:
    """The events of a journal that is not sealed. A journal is sealed whole or not at all."""
    name, stream = _text(path.relative_to(folder).as_posix()), _text(path.parent.name)
    # Asked before the bytes are read: a writer that dies in between leaves no less than was read.
    live = live_holder(path) is not None
    scan = Scan.of(path, claimed, name, following_seq)
    if last is not None and last.last_seq >= scan.header.first_seq:
        return None
    decoded = decode(scan, stream, identity)
    # A live writer may not have finished the frame that was read.
    damage = None if scan.damage is None or (live and not scan.damage.tampered) else scan.damage
    return Tail(
        path=name, stream=stream, first_seq=scan.header.first_seq, events=len(decoded.links),
        link_before=scan.header.link_before, link_after=scan.link, opened=decoded.opened, identity=decoded.identity,
        tables=decoded.tables, damage=damage,
    )  # fmt: skip


def _continuing(claimed: claim.Claim, tails: list[Tail], known: manifest.Manifest) -> Iterator[Tail]:
    """The tails that are not sealed by now, each held against its run and against the end that it must continue."""
    ends: dict[str, tuple[int, bytes]] = {}
    nonce = bytes.fromhex(claimed.nonce)
    for tail in tails:
        sealed = known.last_of(tail.stream)
        if sealed is not None and sealed.last_seq >= tail.first_seq:
            continue
        if tail.stream not in ends:
            first = (-1, first_link(claimed.run_id, tail.stream, nonce))
            ends[tail.stream] = first if sealed is None else (sealed.last_seq, bytes.fromhex(sealed.link_after))
        if not tail.events and tail.damage is None:
            continue
        seq, link = ends[tail.stream]
        if (tail.first_seq, tail.link_before) != (seq + 1, link) and tail.damage is None and known.broken is None:
            what = f"it does not continue its stream: expected seq {seq + 1} and link {link.hex()}"
            damage = Damage(offset=0, seq=tail.first_seq, what=what, durable_through=seq, tampered=True)
            tail = msgspec.structs.replace(tail, damage=damage)
        ends[tail.stream] = (tail.first_seq + tail.events - 1, tail.link_after)
        yield tail


def _attempts(
    folder: Path, claimed: claim.Claim, known: manifest.Manifest, tails: list[Tail]
) -> tuple[list[Fault], list[AttemptClaim]]:
    """The claim of each attempt that has a stream: those that are not there, and those that hold."""
    sealed = {entry.attempt for entry in known.entries}
    unsealed = {tail.opened.attempt for tail in tails if tail.opened is not None}
    faults, claims = list[Fault](), list[AttemptClaim]()
    for number in sorted(sealed | unsealed):
        name = f"attempts/{number}.json"
        try:
            _, sha256 = claim.read_attempt(folder, number, claimed)
        except Inaccessible:
            raise
        except CannotDecide as error:
            faults.append(Fault(file=name, reason=str(error)))
        else:
            claims.append(AttemptClaim(attempt=number, file=name, sha256=sha256.hex()))
    return faults, claims


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
        events_version=entry.events_version,
        bytes_expected=file.bytes,
        bytes_actual=bytes_actual,
        sha256_expected=file.sha256,
        sha256_actual=sha256_actual,
        through_seq=through_seq,
    )
