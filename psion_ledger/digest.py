"""Digests: SHA-256, canonical JSON bytes, and the Merkle tree of RFC 6962.

Sources: RFC 6962 section 2.1 (Merkle tree hash, leaf prefix 0x00, node prefix 0x01).
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

_sha256 = hashlib.sha256
_CANONICAL = msgspec.json.Encoder(order="sorted")


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def sha256_file(path: Path) -> bytes:
    """SHA-256 of a file's bytes; raises OSError as `open` does."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def canonical_json(value: object) -> bytes:
    """Compact JSON with sorted keys, UTF-8: equal values give equal bytes. For values without floats."""
    return _CANONICAL.encode(value)


def length_prefixed(*parts: bytes) -> bytes:
    """Each part behind its length as a big-endian uint32, so that no two lists of parts share their bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def leaf_hash(data: bytes) -> bytes:
    return _sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return _sha256(b"\x01" + left + right).digest()


def merkle_root(leaf_hashes: Iterable[bytes]) -> bytes:
    """RFC 6962 tree head over leaf hashes (32 bytes each), in memory logarithmic in their number.

    Keeps one complete subtree per set bit of the count, largest first, and folds them right to left.
    """
    subtrees: list[tuple[int, bytes]] = []
    for leaf in leaf_hashes:
        height, node = 0, leaf
        while subtrees and subtrees[-1][0] == height:
            node = node_hash(subtrees.pop()[1], node)
            height += 1
        subtrees.append((height, node))
    if not subtrees:
        return hashlib.sha256(b"").digest()
    root = subtrees.pop()[1]
    while subtrees:
        root = node_hash(subtrees.pop()[1], root)
    return root
