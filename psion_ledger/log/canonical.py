"""JSON files that end with their own sha256. What decodes must re-encode to the same bytes, so that no bit can change.

The digest stands last, and is over everything before it closed with a brace: the document as it was without it.
"""

from typing import TypeVar

import msgspec

from psion_ledger.digest import sha256

T = TypeVar("T", bound=msgspec.Struct)
_OWN_BYTES = len(b',"sha256":""}\n') + 64


class NotCanonical(ValueError):
    """The document decodes, and its bytes are not the ones that it has. `own` is the digest that it should end with."""

    def __init__(self, own: str) -> None:
        super().__init__(f"its bytes are not those of its own sha256 {own}")
        self.own = own


def encode(document: msgspec.Struct) -> tuple[bytes, str]:
    """The file's bytes, and the digest (hex) that they end with."""
    body = msgspec.json.encode(document)
    own = sha256(body).hex()
    return body[:-1] + b',"sha256":"' + own.encode() + b'"}\n', own


def digest_holds(data: bytes) -> bool:
    """Whether a document that may be of a later version than ours ends with its own digest."""
    return data[-_OWN_BYTES:] == b',"sha256":"' + sha256(data[:-_OWN_BYTES] + b"}").hex().encode() + b'"}\n'


def decode(data: bytes, kind: type[T]) -> tuple[T, str]:
    """The document and its own digest (hex). Raises NotCanonical, or what msgspec raises for other bytes."""
    document = msgspec.json.decode(data[:-_OWN_BYTES] + b"}", type=kind)
    expected, own = encode(document)
    if expected != data:
        raise NotCanonical(own)
    return document, own
