"""Proofs that travel alone: JSON documents that the pinned public key is enough to check (`heads.proof_check`).

- `psion_ledger.inclusion_proof.v1`: a manifest entry is in a signed log, and so is one event, through its entry.
- `psion_ledger.consistency_proof.v1`: one signed head's log is the beginning of another's; nothing was rewritten.
- `psion_ledger.equivocation.v1`: two heads that one key signed, which no append-only log can both have had.

Hashes and bodies are hex; notes and manifest entries are the exact text of their files. Paths are RFC 6962's.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from psion_ledger.digest import leaf_hash
from psion_ledger.errors import NewerFormat, UsageError
from psion_ledger.events import EVENTS_VERSION, Count, Name
from psion_ledger.heads.note import NOTE_BYTES_MAX, Head, NoteRefused, unverified
from psion_ledger.heads.tree import Tree
from psion_ledger.log.files import MANIFEST_BYTES_MAX, UNDECODABLE
from psion_ledger.log.frame import FRAME_BYTES_MAX, Frame

HexDigest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
# A tree of fewer than 2**63 leaves has no longer path.
Hashes = Annotated[list[HexDigest], Meta(max_length=64)]
NoteText = Annotated[str, Meta(max_length=NOTE_BYTES_MAX)]
EntryText = Annotated[str, Meta(max_length=MANIFEST_BYTES_MAX)]
BodyHex = Annotated[str, Meta(min_length=2, max_length=2 * FRAME_BYTES_MAX, pattern=r"\A[0-9a-f]*\Z")]


class AuditPath(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a leaf stands in a tree of `size` leaves, and the audit path from it to the root."""

    index: Count
    size: Count
    hashes: Hashes


class EventProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event: the frame's body, whose leaf hash is the event's link, and its path to the entry's `events_root`."""

    stream: Name
    seq: Count
    body: BodyHex
    path: AuditPath


class InclusionProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`path` leads from the entry's leaf hash to the root that `note` signs."""

    schema: Literal["psion_ledger.inclusion_proof.v1"] = "psion_ledger.inclusion_proof.v1"
    origin: str
    note: NoteText
    entry: EntryText
    path: AuditPath
    event: EventProof | None


class ConsistencyProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`hashes` is the consistency path between the sizes and roots that the two notes sign."""

    schema: Literal["psion_ledger.consistency_proof.v1"] = "psion_ledger.consistency_proof.v1"
    origin: str
    old_note: NoteText
    new_note: NoteText
    hashes: Hashes


class Equivocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The old note signs one root at its size, and the log of the new note has another there: `new_history_root`.

    `hashes` is the consistency path from that root to the new note's; both are of one size: then it is empty.
    """

    schema: Literal["psion_ledger.equivocation.v1"] = "psion_ledger.equivocation.v1"
    origin: str
    old_note: NoteText
    new_note: NoteText
    new_history_root: HexDigest
    hashes: Hashes


Proof = InclusionProof | ConsistencyProof | Equivocation
SCHEMAS: dict[str, type[Proof]] = {
    "psion_ledger.inclusion_proof.v1": InclusionProof,
    "psion_ledger.consistency_proof.v1": ConsistencyProof,
    "psion_ledger.equivocation.v1": Equivocation,
}


class EntryFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a proof needs of a manifest entry, of whatever type; its other fields are not looked at."""

    number: Count
    events_version: Count
    stream: str
    first_seq: Count
    last_seq: Count
    link_before: str
    link_after: str
    events_root: str

    @property
    def events_total(self) -> int:
        return self.last_seq - self.first_seq + 1


decode_entry = msgspec.json.Decoder(EntryFacts).decode
_decode_frame = msgspec.msgpack.Decoder(Frame).decode


def decode_frame(body: bytes, entry: EntryFacts) -> Frame:
    """Raises NewerFormat for an event of a later version, and what msgspec raises for no event at all."""
    if entry.events_version > EVENTS_VERSION:
        raise NewerFormat(
            f"the proof's entry: events version {entry.events_version} is newer than {EVENTS_VERSION}: upgrade"
        )
    return _decode_frame(body)


def make_inclusion(
    *, note: bytes, leaf_hashes: Sequence[bytes], entry: bytes, body: bytes | None = None, links: Sequence[bytes] = ()
) -> InclusionProof:
    """That `entry` (the file's bytes) is in the log whose first entries have these leaf hashes, as `note` signs it.

    With `body`, the frame of one of the entry's events, and `links`, the links of all of them in order, that the
    event is. Raises UsageError when these do not belong together, and says which.
    """
    head = _head(note)
    tree = _tree(head, leaf_hashes)
    try:
        facts, text = decode_entry(entry), entry.decode()
    except UNDECODABLE as error:
        raise UsageError(f"no manifest entry: {error}; give the exact bytes of manifest/<number>.json") from error
    if facts.number >= head.size:
        raise UsageError(
            f"entry {facts.number} is not among the {head.size} of this head: sign a head now (`psion-ledger head`)"
        )
    if leaf_hashes[facts.number] != leaf_hash(entry):
        raise UsageError(f"entry {facts.number}: its leaf hash is another: give the bytes that the hashes are of")
    return InclusionProof(
        origin=head.origin,
        note=note.decode(),
        entry=text,
        path=_path(tree, facts.number, head.size),
        event=None if body is None else _make_event(facts, body, links),
    )


def _make_event(entry: EntryFacts, body: bytes, links: Sequence[bytes]) -> EventProof:
    tree = Tree(links)
    if tree.size != entry.events_total or tree.root().hex() != entry.events_root:
        raise UsageError(
            f"entry {entry.number}: the {tree.size:,} links are not those of its {entry.events_total:,} events: "
            "the sealed files differ from the manifest (`psion-ledger fsck --deep`)"
        )
    try:
        seq = decode_frame(body, entry).seq
    except UNDECODABLE as error:
        raise UsageError(f"no frame of an event: {error}; give the body whose leaf hash is the link") from error
    index = seq - entry.first_seq
    if not 0 <= index < tree.size or links[index] != leaf_hash(body):
        raise UsageError(f"entry {entry.number}: seq {seq} has another link: give a body of one of its events")
    return EventProof(stream=entry.stream, seq=seq, body=body.hex(), path=_path(tree, index, tree.size))


def make_consistency(*, old_note: bytes, new_note: bytes, leaf_hashes: Sequence[bytes]) -> ConsistencyProof:
    """That the log of the new note, whose first entries have these leaf hashes, begins with the log of the old note.

    Raises UsageError when it does not.
    """
    old, new = _two_heads(old_note, new_note)
    tree = _tree(new, leaf_hashes)
    if tree.root(old.size) != old.root:
        raise UsageError(f"the log at {old.size} entries had another root than the old note's: it is no beginning")
    return ConsistencyProof(
        origin=new.origin,
        old_note=old_note.decode(),
        new_note=new_note.decode(),
        hashes=_hexes(tree.consistency_path(old.size, new.size)),
    )


def make_equivocation(*, old_note: bytes, new_note: bytes, leaf_hashes: Sequence[bytes]) -> Equivocation:
    """That one key signed two histories; the leaf hashes are those of the new note's. Of equal sizes, none is needed.

    Raises UsageError when the two can both be true.
    """
    old, new = _two_heads(old_note, new_note)
    if old.size == new.size:
        root, hashes = new.root, list[bytes]()
    else:
        tree = _tree(new, leaf_hashes)
        root, hashes = tree.root(old.size), tree.consistency_path(old.size, new.size)
    if root == old.root:
        raise UsageError(f"both notes have one root at {old.size} entries: they do not contradict each other")
    return Equivocation(
        origin=new.origin,
        old_note=old_note.decode(),
        new_note=new_note.decode(),
        new_history_root=root.hex(),
        hashes=_hexes(hashes),
    )


def encode(proof: Proof) -> bytes:
    """The document as a file: two-space indent, a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(proof), indent=2) + b"\n"


def _head(note: bytes) -> Head:
    try:
        return unverified(note).head
    except NoteRefused as error:
        raise UsageError(f"no signed head: {error}") from error


def _two_heads(old_note: bytes, new_note: bytes) -> tuple[Head, Head]:
    old, new = _head(old_note), _head(new_note)
    if old.origin != new.origin:
        raise UsageError(f"heads of two logs, {old.origin} and {new.origin}: give two of one")
    if old.size > new.size:
        raise UsageError(f"the old head has {old.size} entries and the new one {new.size}: give the smaller one first")
    return old, new


def _tree(head: Head, leaf_hashes: Sequence[bytes]) -> Tree:
    tree = Tree(leaf_hashes)
    if tree.size < head.size or tree.root(head.size) != head.root:
        raise UsageError(f"the {tree.size} entries given are not those of the head at {head.size}")
    return tree


def _path(tree: Tree, index: int, size: int) -> AuditPath:
    return AuditPath(index=index, size=size, hashes=_hexes(tree.inclusion_path(index, size)))


def _hexes(hashes: Sequence[bytes]) -> list[str]:
    return [value.hex() for value in hashes]
