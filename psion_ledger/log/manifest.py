"""The manifest: the append-only list of sealed segments, and the run's only total order.

Entry n is the file `manifest/<n>.json`. It names the sha256 of the entry before (entry 0: of CLAIM) and ends with
its own. A compact entry stands for the entries that it replaces: it holds the same events in fewer files, and says
where each of the old ranges ended. Nothing is ever taken out of the list.
"""

import os
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from psion_ledger.digest import leaf_hash, merkle_root
from psion_ledger.errors import NewerFormat, Unreadable
from psion_ledger.events import EVENTS_VERSION, KINDS, StreamRole
from psion_ledger.log import canonical, claim, files
from psion_ledger.log.collector import collector_off

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Rows = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Stream = Annotated[str, msgspec.Meta(pattern=rf"^{claim.STREAM}\Z")]


class SegmentFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Parquet file; `path` is relative to the run's folder, `sha256` hex."""

    kind: str
    path: str
    rows: Rows
    bytes: Count
    sha256: Hex


class Border(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a range that was sealed as entry `entry` ended within a compacted one, and the link it ended with."""

    entry: Count
    last_seq: Count
    link_after: Hex


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The events [first_seq, last_seq] of one stream, sealed. Digests are hex; `events_root` is RFC 6962's tree
    head over the links of the events. A compact entry replaces the entries `replaces`."""

    type: Literal["seal", "compact"]
    number: Count
    previous_sha256: Hex
    events_version: Count
    stream: Stream
    role: StreamRole
    attempt: Count
    rank: Count
    first_seq: Count
    last_seq: Count
    link_before: Hex
    link_after: Hex
    events_root: Hex
    files: list[SegmentFile]
    replaces: list[Count] = []
    borders: list[Border] = []

    @property
    def ends(self) -> list[Border]:
        """The borders of a compact entry; of a seal entry the only one."""
        return self.borders or [Border(entry=self.number, last_seq=self.last_seq, link_after=self.link_after)]


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """Where the chain of manifest entries stops to hold, and why."""

    number: int
    path: str
    expected: str
    actual: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The entries up to the first break (none: all of them), and the RFC 6962 leaf hash of each entry's bytes."""

    entries: list[Entry]
    leaf_hashes: list[bytes]
    last_sha256: str
    broken: Break | None

    def head(self) -> bytes:
        return merkle_root(self.leaf_hashes)

    def current(self) -> list[Entry]:
        """The entries that none replaces."""
        return current(self.entries)

    def last_of(self, stream: str) -> Entry | None:
        """The entry that holds a stream's last sealed event."""
        return max((e for e in self.entries if e.stream == stream), key=lambda e: e.last_seq, default=None)

    def first(self, entries_total: int) -> "Manifest":
        """The manifest as it was when it had this many entries."""
        broken = self.broken if self.broken is not None and self.broken.number < entries_total else None
        return Manifest(
            entries=self.entries[:entries_total],
            leaf_hashes=self.leaf_hashes[:entries_total],
            last_sha256=self.last_sha256,
            broken=broken,
        )


def current(entries: Iterable[Entry]) -> list[Entry]:
    known = list(entries)
    replaced = {number for entry in known for number in entry.replaces}
    return [entry for entry in known if entry.number not in replaced]


def path_of(run: Path, number: int) -> Path:
    return run / "manifest" / f"{number}.json"


def read(run: Path, claim_sha256: bytes) -> Manifest:
    """Walk the chain from CLAIM. A break is a value: a changed, missing or foreign entry ends the walk."""
    return Chain(run, claim_sha256).read()


class Chain:
    """The manifest, walked from CLAIM on: whole at first, and then from where the walk last stood."""

    def __init__(self, run: Path, claim_sha256: bytes) -> None:
        self._run = run
        self._folder = path_of(run, 0).parent
        self._entries: list[Entry] = []
        self._leaves: list[bytes] = []
        self._last: dict[str, Entry] = {}
        self._previous = claim_sha256.hex()
        self._listed = False

    def read(self) -> Manifest:
        """The manifest as it is by now."""
        broken = self._walk()
        return Manifest(
            entries=self._entries.copy(), leaf_hashes=self._leaves.copy(), last_sha256=self._previous, broken=broken
        )

    def last_of(self, stream: str) -> Entry | None:
        """The entry that holds a stream's last sealed event, as far as was walked."""
        return self._last.get(stream)

    def require_whole(self) -> None:
        """Walk on. Raises Unreadable where the chain is broken."""
        if (broken := self._walk()) is not None:
            raise Unreadable(f"run {self._run.name}: {broken.path} is damaged ({broken.actual}): nothing is added")

    @collector_off()
    def _walk(self) -> Break | None:
        while True:
            number = len(self._entries)
            path = f"{self._folder}/{number}.json"  # Of tens of thousands, a Path each would take a third of the time.
            try:
                data = files.read_regular(path)
            except FileNotFoundError:
                later = self._later(number)
                if later is not None and os.path.exists(path):
                    continue  # Two others published while we looked: this one, then the later one.
                if later is None:
                    return None
                missing = f"missing, {later} is there"
                return Break(number=number, path=f"manifest/{number}.json", expected="present", actual=missing)
            found = _entry(data, path, number, self._previous, self._entries)
            if isinstance(found, Break):
                return found
            entry, self._previous = found
            self._entries.append(entry)
            self._leaves.append(leaf_hash(data))
            if (last := self._last.get(entry.stream)) is None or entry.last_seq > last.last_seq:
                self._last[entry.stream] = entry

    def _later(self, number: int) -> int | None:
        """A number beyond one that is missing. The whole folder is listed once, for that takes longer the more it
        holds; after that the next name alone is looked for."""
        if self._listed:
            return number + 1 if os.path.lexists(f"{self._folder}/{number + 1}.json") else None
        try:
            stems = [name.removesuffix(".json") for name in os.listdir(self._folder) if name.endswith(".json")]
        except FileNotFoundError:
            stems = []
        numbers = (int(stem) for stem in stems if stem.isdecimal())
        later = min((found for found in numbers if found > number), default=None)
        self._listed = later is None
        return later

    def append(self, entry: Entry) -> Entry | None:
        """Publish `entry` as the next number, durably. None when another process was first: its range is sealed
        already, or what it replaces is replaced. Raises Unreadable where the chain is broken."""
        while True:
            self.require_whole()
            if entry.type == "seal":
                last = self._last.get(entry.stream)
                overtaken = last is not None and last.last_seq >= entry.first_seq
            else:
                overtaken = not {e.number for e in current(self._entries)}.issuperset(entry.replaces)
            if overtaken:
                settle(self._run)  # The caller drops what the other's entry covers.
                return None
            entry = msgspec.structs.replace(entry, number=len(self._entries), previous_sha256=self._previous)
            scratch = files.scratch_path(self._run)
            files.write_durable(scratch, canonical.encode(entry)[0])
            if files.publish(scratch, path_of(self._run, entry.number)):
                return entry


def _entry(data: bytes, path: str, number: int, previous: str, before: list[Entry]) -> Break | tuple[Entry, str]:
    """The entry of this number and its own sha256, when it continues those before. Raises NewerFormat."""
    name = f"manifest/{number}.json"
    try:
        entry, own = canonical.decode(data, Entry)
    except canonical.NotCanonical as error:
        return Break(number=number, path=name, expected=f"its own sha256 {error.own}", actual="other bytes")
    except files.UNDECODABLE as error:
        _refuse_newer(data, name)
        return Break(number=number, path=name, expected="a manifest entry", actual=str(error)[:300])
    if entry.events_version > EVENTS_VERSION:
        raise NewerFormat(f"{path}: events version {entry.events_version} is newer than {EVENTS_VERSION}: upgrade")
    if entry.number != number or entry.previous_sha256 != previous:
        return Break(number=number, path=name, expected=f"follows {previous}", actual=entry.previous_sha256)
    if misplaced := _misplaced(entry):
        return Break(number=number, path=name, expected="a file for its own events", actual=misplaced)
    if misfit := _misfit(entry, before):
        return Break(number=number, path=name, expected="what the entries that it replaces say", actual=misfit)
    return entry, own


def segment_path(kind: str, stream: str, first_seq: int, last_seq: int, sha256: str) -> str:
    """The one place of a segment, below its run's folder."""
    return f"segments/{kind}/{stream}-{first_seq:012}-{last_seq:012}-{sha256[:16]}.parquet"


def _misplaced(entry: Entry) -> str | None:
    """Why an entry is not to be followed: no reader or pruner goes where a forger points."""
    if entry.last_seq < entry.first_seq:
        return f"seq {entry.first_seq} to {entry.last_seq}"
    for file in entry.files:
        place = segment_path(file.kind, entry.stream, entry.first_seq, entry.last_seq, file.sha256)
        if file.kind not in KINDS or file.path != place:
            return f"{file.path[:200]} of kind {file.kind[:100]}"
    return None


def _misfit(entry: Entry, before: list[Entry]) -> str | None:
    """Why an entry does not stand for those that it replaces; None when it does."""
    if entry.type == "seal":
        return "a seal replaces nothing" if entry.replaces or entry.borders else None
    standing = {e.number: e for e in current(before)}
    if not entry.replaces or not all(number in standing for number in entry.replaces):
        return f"replaces {entry.replaces}, which do not all stand there"
    replaced = [standing[number] for number in entry.replaces]
    if any((a.stream, a.last_seq + 1) != (b.stream, b.first_seq) for a, b in pairwise(replaced)):
        return f"replaces {entry.replaces}, which do not follow each other"
    made = replacing(replaced, entry.files, entry.events_root)
    same = msgspec.structs.replace(made, number=entry.number, previous_sha256=entry.previous_sha256)
    if same != entry:
        return "another range, another identity or other borders"
    rows_total = sum(file.rows for file in entry.files)
    return None if rows_total == entry.last_seq - entry.first_seq + 1 else f"{rows_total} rows in all"


def replacing(replaced: list[Entry], segment_files: list[SegmentFile], events_root: str) -> Entry:
    """The compact entry for adjacent ranges of one stream, in their order."""
    first, last = replaced[0], replaced[-1]
    return msgspec.structs.replace(
        first,
        type="compact",
        events_version=max(entry.events_version for entry in replaced),
        last_seq=last.last_seq,
        link_after=last.link_after,
        events_root=events_root,
        files=segment_files,
        replaces=[entry.number for entry in replaced],
        borders=[border for entry in replaced for border in entry.ends],
    )


def _refuse_newer(data: bytes, name: str) -> None:
    """An entry that we cannot decode because a later version wrote it is no damage."""
    try:
        version = msgspec.json.decode(data, type=dict[str, object]).get("events_version")
    except files.UNDECODABLE:
        return
    if isinstance(version, int) and version > EVENTS_VERSION and canonical.digest_holds(data):
        raise NewerFormat(f"{name}: events version {version} is newer than {EVENTS_VERSION}: upgrade")


def settle(run: Path) -> None:
    """Make every entry that is there durable. Who published the last one may have been stopped before its own sync,
    and what rests on an entry (a deletion, a signed head, a receipt) must not outlive it."""
    files.sync_folder(run / "manifest")
