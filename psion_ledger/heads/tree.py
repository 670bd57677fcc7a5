"""Merkle paths: that a leaf stands in a tree, and that one tree is the beginning of another.

Sources: RFC 6962 sections 2.1.1 (audit paths) and 2.1.2 (consistency proofs) say what they are, RFC 9162 sections
2.1.3.2 and 2.1.4.2 how they are verified. Leaves are hashed already (`digest.leaf_hash`); every hash has 32 bytes, and
a path is a list of them, nearest to the leaves first.
"""

from collections.abc import Iterable, Sequence

from psion_ledger.digest import merkle_root, node_hash
from psion_ledger.errors import UsageError

HASH_BYTES = 32
SIZE_MAX = 2**63 - 1


class Tree:
    """A tree whose complete subtrees are hashed once: 64 bytes of memory a leaf. Then the root of any of its first
    sizes, and any path, costs hashes that grow with the logarithm of the size only."""

    def __init__(self, leaf_hashes: Iterable[bytes]) -> None:
        level = b"".join(leaf_hashes)
        assert len(level) % HASH_BYTES == 0
        self.size = len(level) // HASH_BYTES
        self._levels = [level]
        while len(level) >= 2 * HASH_BYTES:
            level = _parents(level)
            self._levels.append(level)

    def root(self, size: int | None = None) -> bytes:
        """The tree head over the first `size` leaves (None: all of them)."""
        size = self._first(size)
        return self._hash(0, size) if size else merkle_root([])

    def inclusion_path(self, index: int, size: int | None = None) -> list[bytes]:
        """PATH(index, D[size]) of RFC 6962: what `verify_inclusion` needs. Raises UsageError outside the tree."""
        size = self._first(size)
        if not 0 <= index < size:
            raise UsageError(f"leaf {index} of a tree of {size:,} leaves: give one from 0 to {size - 1}")
        path, first, end = [], 0, size
        while end - first > 1:
            middle = first + _left_size(end - first)
            if index < middle:
                path.append(self._hash(middle, end))
                end = middle
            else:
                path.append(self._hash(first, middle))
                first = middle
        return path[::-1]

    def consistency_path(self, old_size: int, size: int | None = None) -> list[bytes]:
        """PROOF(old_size, D[size]) of RFC 6962; empty from size 0 and between equal sizes. Raises UsageError when the
        old tree is the larger one."""
        size = self._first(size)
        if not 0 <= old_size <= size:
            raise UsageError(f"an old tree of {old_size:,} leaves in one of {size:,}: give a size from 0 to {size:,}")
        path: list[bytes] = []
        if old_size == 0:
            return path
        first, end = 0, size
        while old_size != end:
            middle = first + _left_size(end - first)
            if old_size <= middle:
                path.append(self._hash(middle, end))
                end = middle
            else:
                path.append(self._hash(first, middle))
                first = middle
        # From leaf 0 on, the subtree left over is the old tree itself, whose root the verifier has.
        if first:
            path.append(self._hash(first, end))
        return path[::-1]

    def _first(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise UsageError(f"the first {size:,} leaves of a tree of {self.size:,}: it does not have them")
        return size

    def _hash(self, first: int, end: int) -> bytes:
        """The hash over the leaves [first, end), which is not empty, as RFC 6962 divides a tree."""
        subtrees = []
        while first < end:
            height = (end - first).bit_length() - 1
            offset = (first >> height) * HASH_BYTES
            subtrees.append(self._levels[height][offset : offset + HASH_BYTES])
            first += 1 << height
        root = subtrees.pop()
        while subtrees:
            root = node_hash(subtrees.pop(), root)
        return root


def _parents(level: bytes) -> bytes:
    """The level above; a last node without a sibling has no parent there."""
    pair = 2 * HASH_BYTES
    return b"".join(
        node_hash(level[at : at + HASH_BYTES], level[at + HASH_BYTES : at + pair])
        for at in range(0, len(level) - pair + 1, pair)
    )


def _left_size(size: int) -> int:
    """The largest power of two below `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_path(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """One path; for many of one tree make a `Tree`. Raises UsageError outside the tree."""
    return Tree(leaf_hashes).inclusion_path(index)


def consistency_path(leaf_hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """One path; for many of one tree make a `Tree`. Raises UsageError when the old tree is the larger one."""
    return Tree(leaf_hashes).consistency_path(old_size)


def verify_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether leaf `index` of the tree of `size` leaves with this root has this hash. Never raises, whatever the sizes
    and lengths are."""
    if not 0 <= index < size <= SIZE_MAX or not _are_hashes(leaf_hash, root, *path):
        return False
    at, last, found = index, size - 1, leaf_hash
    for node in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(node, found)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, node)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the tree with the old root is the beginning of the one with the new root. Never raises, whatever the
    sizes and lengths are. The empty tree begins every tree."""
    if not 0 <= old_size <= new_size <= SIZE_MAX or not _are_hashes(old_root, new_root, *path):
        return False
    if old_size == 0:
        return not path and old_root == merkle_root([]) and (new_size > 0 or new_root == old_root)
    if old_size == new_size:
        return not path and old_root == new_root
    # A complete old tree is a node of the new one, so its root is left out of the path.
    nodes = [old_root, *path] if old_size & (old_size - 1) == 0 else [*path]
    if not path:
        return False
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_found = new_found = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old_found, new_found = node_hash(node, old_found), node_hash(node, new_found)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            new_found = node_hash(new_found, node)
        at, last = at >> 1, last >> 1
    return last == 0 and old_found == old_root and new_found == new_root


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
