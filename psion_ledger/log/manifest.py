"""The manifest: the append-only list of sealed segments, and the run's only total order.

Entry n is the file `manifest/<n>.json`. It names the sha256 of the entry before (entry 0: of CLAIM) and ends with
its own, which is over all of the entry before it. Its bytes are canonical: what decodes must re-encode to them.
"""

from pathlib import Path
from typing import Literal

import msgspec

from psion_ledger.digest import leaf_hash, merkle_root, sha256
from psion_ledger.errors import NewerFormat
from psion_ledger.events import EVENTS_VERSION
from psion_ledger.log import files


class SegmentFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Parquet file; `path` is relative to the run's folder, `sha256` hex."""

    kind: str
    path: str
    rows: int
    bytes: int
    sha256: str


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The events [first_seq, last_seq] of one stream, sealed. Digests are hex; `events_root` is RFC 6962's tree
    head over the links of the events."""

    type: Literal["seal"]
    number: int
    previous_sha256: str
    events_version: int
    stream: str
    role: Literal["train", "verify"]
    attempt: int
    rank: int
    first_seq: int
    last_seq: int
    link_before: str
    link_after: str
    events_root: str
    files: list[SegmentFile]


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


def encode(entry: Entry) -> tuple[bytes, str]:
    """The entry's file and its own sha256, in hex."""
    body = msgspec.json.encode(entry)
    own = sha256(body).hex()
    return body[:-1] + b',"sha256":"' + own.encode() + b'"}\n', own


_OWN_BYTES = len(b',"sha256":""}\n') + 64


def path_of(run: Path, number: int) -> Path:
    return run / "manifest" / f"{number}.json"


def read(run: Path, claim_sha256: bytes, entries_max: int | None = None) -> Manifest:
    """Walk the chain from CLAIM. A break is a value: a changed, missing or foreign entry ends the walk."""
    entries: list[Entry] = []
    leaves: list[bytes] = []
    previous = claim_sha256.hex()
    broken = None
    while entries_max is None or len(entries) < entries_max:
        number = len(entries)
        path = path_of(run, number)
        name = f"manifest/{number}.json"
        try:
            data = files.read_regular(path)
        except FileNotFoundError:
            later = sorted(int(p.stem) for p in path.parent.glob("*.json") if p.stem.isdigit() and int(p.stem) > number)
            if later:
                broken = Break(number=number, path=name, expected="present", actual=f"missing, {later[0]} is there")
            break
        try:
            entry = msgspec.json.decode(data[:-_OWN_BYTES] + b"}", type=Entry)
        except files.UNDECODABLE as error:
            _refuse_newer(data, name)
            broken = Break(number=number, path=name, expected="a manifest entry", actual=str(error))
            break
        canonical, own = encode(entry)
        if canonical != data:
            broken = Break(number=number, path=name, expected=f"its own sha256 {own}", actual="other bytes")
        elif entry.number != number or entry.previous_sha256 != previous:
            broken = Break(number=number, path=name, expected=f"follows {previous}", actual=entry.previous_sha256)
        if broken is not None:
            break
        if entry.events_version > EVENTS_VERSION:
            raise NewerFormat(f"{path}: events version {entry.events_version} is newer than {EVENTS_VERSION}: upgrade")
        entries.append(entry)
        leaves.append(leaf_hash(data))
        previous = own
    return Manifest(entries=entries, leaf_hashes=leaves, last_sha256=previous, broken=broken)


def _refuse_newer(data: bytes, name: str) -> None:
    """An entry that we cannot decode because a later version wrote it is no damage."""
    try:
        version = msgspec.json.decode(data, type=dict[str, object]).get("events_version")
    except files.UNDECODABLE:
        return
    if isinstance(version, int) and version > EVENTS_VERSION:
        raise NewerFormat(f"{name}: events version {version} is newer than {EVENTS_VERSION}: upgrade")


def append(run: Path, claim_sha256: bytes, entry: Entry) -> Entry | None:
    """Publish `entry` as the next number, durably. None when its range is sealed already: another sealer was first."""
    while True:
        manifest = read(run, claim_sha256)
        if any(e.stream == entry.stream and e.last_seq >= entry.first_seq for e in manifest.entries):
            return None
        entry = msgspec.structs.replace(entry, number=len(manifest.entries), previous_sha256=manifest.last_sha256)
        scratch = files.scratch_path(run)
        files.write_durable(scratch, encode(entry)[0])
        if files.publish(scratch, path_of(run, entry.number)):
            return entry
