"""Check a proof from its own bytes and the pinned public key alone, trusting nothing else.

Every step that does not hold is a finding. What is no proof at all is the caller's mistake, and raises.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from psion_ledger.digest import leaf_hash, sha256
from psion_ledger.errors import LimitHit, NewerFormat, UsageError
from psion_ledger.heads.note import Head, NoteRefused, verify
from psion_ledger.heads.proof import (
    SCHEMAS,
    AuditPath,
    ConsistencyProof,
    EntryFacts,
    Equivocation,
    EventProof,
    InclusionProof,
    Proof,
    decode_entry,
    decode_frame,
)
from psion_ledger.heads.tree import verify_consistency, verify_inclusion
from psion_ledger.log.files import MANIFEST_BYTES_MAX, UNDECODABLE
from psion_ledger.log.frame import FRAME_BYTES_MAX

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# The largest body in hex, an entry whose every byte is escaped, and room for the rest.
PROOF_BYTES_MAX = 2 * FRAME_BYTES_MAX + 6 * MANIFEST_BYTES_MAX + (1 << 20)
_ENTRY_END = re.compile(rb',"sha256":"([0-9a-f]{64})"}\n\Z')


class Finding(msgspec.Struct, frozen=True):
    """One step of a proof that does not hold.

    code: note_refused, origin_differs, entry_unreadable, entry_digest_differs, entry_misplaced, entry_not_in_head,
        event_misplaced, event_unreadable, event_seq_differs, event_link_differs, event_not_in_entry,
        not_consistent, heads_agree, sizes_not_ordered; and of a proof that holds, when it is not the one that was
        expected: another_run, another_entry, another_event.
    pointer: a JSON pointer (RFC 6901) into the document.
    """

    code: str
    pointer: str
    expected: str
    actual: str


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What was to be proven, and every step that fails; `heads` are those that the pinned key did sign."""

    proof: Proof
    heads: list[Head]
    findings: list[Finding]

    @property
    def holds(self) -> bool:
        return not self.findings


class _Header(msgspec.Struct):
    schema: str


def check(document: bytes, public_key: "Ed25519PublicKey") -> Checked:
    """Verify a proof of any of the three kinds.

    Raises UsageError for what is no proof, NewerFormat for one of a later version, LimitHit for an absurd size.
    """
    proof = decode(document)
    heads: list[Head] = []
    findings: list[Finding] = []
    notes = {"note": proof.note} if isinstance(proof, InclusionProof) else {
        "old_note": proof.old_note, "new_note": proof.new_note
    }  # fmt: skip
    for field, text in notes.items():
        try:
            head = verify(text.encode(), public_key)
        except NoteRefused as error:
            findings.append(Finding("note_refused", f"/{field}", "a head that the pinned key signed", str(error)))
            continue
        heads.append(head)
        if head.origin != proof.origin:
            findings.append(Finding("origin_differs", f"/{field}", proof.origin, head.origin))
    if findings:
        # What nobody signed is not worth more words.
        return Checked(proof=proof, heads=heads, findings=findings)
    match proof:
        case InclusionProof():
            findings += _inclusion(proof, heads[0])
        case ConsistencyProof():
            findings += _consistency(proof, *heads)
        case Equivocation():
            findings += _equivocation(proof, *heads)
    return Checked(proof=proof, heads=heads, findings=findings)


def decode(document: bytes) -> Proof:
    """The document of a proof, nothing of it checked; raises as `check` does."""
    if len(document) > PROOF_BYTES_MAX:
        raise LimitHit(f"the proof is larger than {PROOF_BYTES_MAX:,} bytes")
    try:
        schema = msgspec.json.decode(document, type=_Header).schema
        kind = SCHEMAS.get(schema)
        if kind is not None:
            return msgspec.json.decode(document, type=kind)
    except UNDECODABLE as error:
        raise UsageError(f"not a proof: {error}; give the document as `psion-ledger prove` wrote it") from error
    base = schema.rpartition(".v")[0]
    if any(known.startswith(f"{base}.v") for known in SCHEMAS):
        raise NewerFormat(f"the proof is a {schema}, which this version does not know: upgrade")
    raise UsageError(f"the document is a {schema!r}, and no proof; a proof is one of {', '.join(SCHEMAS)}")


def _inclusion(proof: InclusionProof, head: Head) -> Iterator[Finding]:
    data = proof.entry.encode()
    try:
        entry = decode_entry(data)
    except UNDECODABLE as error:
        yield Finding("entry_unreadable", "/entry", "a manifest entry", str(error))
        return
    end = _ENTRY_END.search(data)
    own = sha256(data[: end.start()] + b"}").hex() if end else ""
    if end is None or end[1].decode() != own:
        yield Finding("entry_digest_differs", "/entry", "ends with its own sha256", "it does not")
    yield from _placed("entry_misplaced", "/path", proof.path, entry.number, head.size)
    if not _leads(leaf_hash(data), proof.path, head.root.hex()):
        yield Finding("entry_not_in_head", "/path/hashes", f"leads to {head.root.hex()}", "it does not")
    if proof.event is not None:
        yield from _event(proof.event, entry)


def _event(event: EventProof, entry: EntryFacts) -> Iterator[Finding]:
    if event.stream != entry.stream or not entry.first_seq <= event.seq <= entry.last_seq:
        expected = f"{entry.stream} {entry.first_seq} to {entry.last_seq}"
        yield Finding("event_misplaced", "/event/seq", expected, f"{event.stream} {event.seq}")
    yield from _placed("event_misplaced", "/event/path", event.path, event.seq - entry.first_seq, entry.events_total)
    try:
        body = bytes.fromhex(event.body)
        frame = decode_frame(body, entry)
    except UNDECODABLE as error:
        yield Finding("event_unreadable", "/event/body", "the frame of an event", str(error))
        return
    if frame.seq != event.seq:
        yield Finding("event_seq_differs", "/event/body", str(event.seq), str(frame.seq))
    link = leaf_hash(body)
    if frame.seq == entry.first_seq and frame.previous_link.hex() != entry.link_before:
        yield Finding("event_link_differs", "/event/body", entry.link_before, frame.previous_link.hex())
    if frame.seq == entry.last_seq and link.hex() != entry.link_after:
        yield Finding("event_link_differs", "/event/body", entry.link_after, link.hex())
    if not _leads(link, event.path, entry.events_root):
        yield Finding("event_not_in_entry", "/event/path/hashes", f"leads to {entry.events_root}", "it does not")


def _placed(code: str, pointer: str, path: AuditPath, index: int, size: int) -> Iterator[Finding]:
    if (path.index, path.size) != (index, size):
        yield Finding(code, pointer, f"leaf {index} of {size}", f"leaf {path.index} of {path.size}")


def _leads(leaf: bytes, path: AuditPath, root: str) -> bool:
    hashes = [bytes.fromhex(value) for value in path.hashes]
    try:
        return verify_inclusion(leaf, path.index, path.size, hashes, bytes.fromhex(root))
    except ValueError:  # An entry's events_root that is no hex.
        return False


def _consistency(proof: ConsistencyProof, old: Head, new: Head) -> Iterator[Finding]:
    if old.size > new.size:
        yield Finding("sizes_not_ordered", "/old_note", f"at most {new.size} entries", str(old.size))
        return
    hashes = [bytes.fromhex(value) for value in proof.hashes]
    if not verify_consistency(old.size, old.root, new.size, new.root, hashes):
        expected = f"leads from {old.root.hex()} at {old.size} to {new.root.hex()} at {new.size}"
        yield Finding("not_consistent", "/hashes", expected, "it does not")


def _equivocation(proof: Equivocation, old: Head, new: Head) -> Iterator[Finding]:
    """What is proven is that the heads contradict each other; it does not hold when they may not."""
    if old.size > new.size:
        yield Finding("sizes_not_ordered", "/old_note", f"at most {new.size} entries", str(old.size))
        return
    hashes = [bytes.fromhex(value) for value in proof.hashes]
    if not verify_consistency(old.size, bytes.fromhex(proof.new_history_root), new.size, new.root, hashes):
        expected = f"leads from {proof.new_history_root} at {old.size} to {new.root.hex()} at {new.size}"
        yield Finding("not_consistent", "/hashes", expected, "it does not")
    if proof.new_history_root == old.root.hex():
        yield Finding("heads_agree", "/new_history_root", f"another root at {old.size} than the old note's", "the same")
