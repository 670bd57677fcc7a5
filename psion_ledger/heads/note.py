"""Signed tree heads: C2SP checkpoints, which are three lines of text, as C2SP signed notes with Ed25519.

    psion-ledger/<run id>/<nonce>          the origin: which log
    <size>                                 entries of the manifest
    <base64 of the root>                   RFC 6962's tree head over them

    — <origin> <base64 of the key's id and the signature of the three lines>

Sources: c2sp.org/signed-note, c2sp.org/tlog-checkpoint. Stricter than they are: what is read must be, byte for byte,
what would be written, so that no bit of a head can change; a checkpoint has no extension lines; the key's name is the
origin. Signatures by other keys, such as those of witnesses, may stand below and are not looked at.
"""

import base64
import re
from typing import TYPE_CHECKING

import msgspec

from psion_ledger.heads.keys import key_id
from psion_ledger.heads.tree import HASH_BYTES, SIZE_MAX

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NOTE_BYTES_MAX = 64 << 10
_KEY_ID_BYTES = 4
_SIGNATURE_START = "\N{EM DASH} "
_ORIGIN = re.compile(r"psion-ledger/[a-z0-9][a-z0-9._-]{0,63}/[0-9a-f]{32}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteRefused(ValueError):
    """Why a note is no head of ours, or not signed by the pinned key: in one line, without the note's own text.

    Outside the tree of `psion_ledger.errors`, as it depends on where the note was: one in a ledger is a finding, one
    that the caller gave a UsageError.
    """


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first `size` entries of the log `origin` have the tree head `root` (32 bytes)."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """One signature line; `key_id` has 4 bytes, `signature` for Ed25519 64."""

    key_name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        return f"{_SIGNATURE_START}{self.key_name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What a note says, and who says that they signed it: nothing here is verified."""

    head: Head
    signatures: list[Signature]

    def encode(self) -> bytes:
        return (self.head.text + "\n" + "".join(signature.line for signature in self.signatures)).encode()


def origin(run_id: str, nonce: str) -> str:
    """The name of a run's log, and of the key that signs its heads; `nonce` is the claim's, in hex."""
    return f"psion-ledger/{run_id}/{nonce}"


def sign(head: Head, private_key: "Ed25519PrivateKey") -> bytes:
    """The note that `verify` accepts under the public key of this private key."""
    signature = Signature(
        key_name=head.origin,
        key_id=key_id(head.origin, private_key.public_key()),
        signature=private_key.sign(head.text.encode()),
    )
    return Note(head=head, signatures=[signature]).encode()


def verify(data: bytes, public_key: "Ed25519PublicKey") -> Head:
    """The head that the pinned key signed. Raises NoteRefused for any other note.

    Whose log it is, the caller compares: `head.origin` with `origin(run_id, nonce)`.
    """
    from cryptography.exceptions import InvalidSignature

    note = unverified(data)
    name = note.head.origin
    pinned = key_id(name, public_key)
    ours = [s for s in note.signatures if (s.key_name, s.key_id) == (name, pinned)]
    if not ours:
        raise NoteRefused(f"no signature by the pinned key, whose id under this note's origin is {pinned.hex()}")
    for signature in ours:
        try:
            public_key.verify(signature.signature, note.head.text.encode())
        except InvalidSignature:
            raise NoteRefused("the signature is not the pinned key's over this text") from None
    return note.head


def unverified(data: bytes) -> Note:
    """A note's content, to look at before a key is at hand. Raises NoteRefused for what no note of ours looks like."""
    if len(data) > NOTE_BYTES_MAX:
        raise NoteRefused(f"larger than the {NOTE_BYTES_MAX:,} bytes of the largest note")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise NoteRefused("not UTF-8") from None
    if _CONTROL.search(text):
        raise NoteRefused("a control character, such as a carriage return: a note has line feeds only")
    # What `splitlines` also takes for ends of lines are none here.
    lines = text.split("\n")
    if len(lines) < 6 or lines[3] or lines[-1]:
        raise NoteRefused("not three lines, an empty one, and then signature lines, each with its line feed")
    note = Note(head=_head(*lines[:3]), signatures=[_signature(line) for line in lines[4:-1]])
    if note.encode() != data:
        raise NoteRefused("base64 with other bits than its bytes need: not what was signed")
    return note


def _head(name: str, size: str, root: str) -> Head:
    if not _ORIGIN.fullmatch(name):
        raise NoteRefused("line 1 is not psion-ledger/<run id>/<nonce>")
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", size) or int(size) > SIZE_MAX:
        raise NoteRefused("line 2 is not a size: decimal digits without leading zeros, below 2**63")
    decoded = _base64(root)
    if len(decoded) != HASH_BYTES:
        raise NoteRefused(f"line 3 is not the base64 of {HASH_BYTES} bytes")
    return Head(origin=name, size=int(size), root=decoded)


def _signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_SIGNATURE_START).partition(" ")
    decoded = _base64(encoded)
    named = line.startswith(_SIGNATURE_START) and name and "+" not in name and not re.search(r"\s", name)
    if not named or len(decoded) <= _KEY_ID_BYTES:
        raise NoteRefused("a line below the empty one is not a dash, a key's name, and a signature in base64")
    return Signature(key_name=name, key_id=decoded[:_KEY_ID_BYTES], signature=decoded[_KEY_ID_BYTES:])


def _base64(text: str) -> bytes:
    """The bytes, or none for what is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
