"""A head that somebody kept outside, held against the record: nothing else shows a history that was rewritten whole.

The key is pinned by the caller. Where the record is another history than the head's, the ledger may hold a newer head
that the same key signed: the two together prove to anybody that its owner told two stories.
"""

from typing import TYPE_CHECKING, Literal

import msgspec

from psion_ledger import heads
from psion_ledger.errors import Inaccessible, LedgerError, UsageError
from psion_ledger.log import files
from psion_ledger.reading import Record

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A kept head whose signature holds: the note as it was given, and what it says."""

    note: bytes
    head: heads.Head
    key: "Ed25519PublicKey"


class Witnessed(msgspec.Struct, frozen=True, kw_only=True):
    """What the record is to a kept head: `anchored` is its continuation, by `entries_after` entries."""

    status: Literal["anchored", "rolled_back", "forked", "another_log"]
    entries_after: int
    expected: str
    actual: str


def keep(note: bytes, key: "Ed25519PublicKey") -> Kept:
    """A note that the caller gives. Raises UsageError when the pinned key did not sign it."""
    try:
        return Kept(note=note, head=heads.verify(note, key), key=key)
    except heads.NoteRefused as error:
        raise UsageError(f"the kept head: {error}; give what `psion-ledger head` printed, and its key") from error


def hold(record: Record, kept: Kept) -> Witnessed:
    """Hold the record against a kept head. Raises UsageError for the head of a run of another name, and for one that
    is later than the record is looked at."""
    own = heads.origin(record.claim.run_id, record.claim.nonce)
    head = kept.head
    if head.origin.split("/")[1] != record.claim.run_id:
        raise UsageError(f"the kept head is of {head.origin}, and this is run {record.claim.run_id}")
    if record.as_of is not None and head.size > record.as_of:
        raise UsageError(f"the kept head has {head.size} entries: it says nothing of the first {record.as_of} alone")
    tree = heads.Tree(record.manifest.leaf_hashes)
    expected = f"{head.size} entries of {head.origin} with root {head.root.hex()}"
    after = tree.size - head.size
    if head.origin != own:
        return Witnessed(status="another_log", entries_after=0, expected=expected, actual=f"the log {own}")
    if after < 0:
        actual = f"rolled back: {tree.size} entries"
        return Witnessed(status="rolled_back", entries_after=0, expected=expected, actual=actual)
    root = tree.root(head.size)
    if root != head.root:
        actual = f"another history: {tree.size} entries, with root {root.hex()} at {head.size}"
        return Witnessed(status="forked", entries_after=0, expected=expected, actual=actual)
    return Witnessed(status="anchored", entries_after=after, expected=expected, actual=expected)


def signed_heads(record: Record, key: "Ed25519PublicKey") -> list[tuple[heads.Head, bytes]]:
    """The heads in the ledger that the pinned key signed and that are of the record's own history, by size."""
    tree = heads.Tree(record.manifest.leaf_hashes)
    found = []
    for path in (record.folder / "heads").glob("*.note"):
        try:
            note = files.read_regular(path, heads.NOTE_BYTES_MAX)
            head = heads.verify(note, key)
        except Inaccessible:
            raise
        except (heads.NoteRefused, LedgerError, FileNotFoundError):
            continue  # A check of the files finds it.
        if head.size <= tree.size and tree.root(head.size) == head.root:
            found.append((head, note))
    return sorted(found, key=lambda pair: pair[0].size)


def equivocation(record: Record, kept: Kept) -> bytes | None:
    """The proof that the key signed two histories, the kept head's and this record's; None without a signed head of
    this record that is no older than the kept one, or when the two agree."""
    if hold(record, kept).status != "forked":
        return None
    for head, note in signed_heads(record, kept.key):
        if head.size >= kept.head.size:
            leaves = record.manifest.leaf_hashes[: head.size]
            return heads.encode(heads.make_equivocation(old_note=kept.note, new_note=note, leaf_hashes=leaves))
    return None
