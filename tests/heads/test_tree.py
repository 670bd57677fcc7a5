"""Merkle paths against RFC 6962's definitions, written here a second time and word for word, and published vectors."""

import random
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psion_ledger.digest import leaf_hash, merkle_root, node_hash
from psion_ledger.errors import UsageError
from psion_ledger.heads.tree import Tree, consistency_path, inclusion_path, verify_consistency, verify_inclusion
from tests.heads.samples import leaves
from tests.test_digest import LEAVES, ROOTS

SIZE_MAX = 256
ALL = leaves(SIZE_MAX)
SEED = 20_260_401
PUBLISHED = [leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES]

# The first 4 bytes of each hash of the Certificate Transparency project's reference paths over these leaves.
PUBLISHED_INCLUSION = [
    (0, 1, []),
    (0, 8, ["96a296d2", "5f083f0a", "6b47aaf2"]),
    (5, 8, ["bc1a0643", "ca854ea1", "d37ee418"]),
    (2, 3, ["fac54203"]),
    (1, 5, ["6e340b9c", "5f083f0a", "bc1a0643"]),
]
PUBLISHED_CONSISTENCY = [
    (1, 1, []),
    (1, 8, ["96a296d2", "5f083f0a", "6b47aaf2"]),
    (6, 8, ["0ebc5d34", "ca854ea1", "d37ee418"]),
    (2, 5, ["5f083f0a", "bc1a0643"]),
]


def left_size(size: int) -> int:
    return max(1 << i for i in range(size) if 1 << i < size)


@cache
def tree_hash(first: int, end: int) -> bytes:
    """MTH(D[first:end]) of RFC 6962 section 2.1, D being `ALL`."""
    if end - first == 1:
        return ALL[first]
    k = left_size(end - first)
    return node_hash(tree_hash(first, first + k), tree_hash(first + k, end))


def audit_path(m: int, first: int, end: int) -> list[bytes]:
    """PATH(m, D[first:end]) of section 2.1.1."""
    if end - first == 1:
        return []
    k = left_size(end - first)
    if m < k:
        return [*audit_path(m, first, first + k), tree_hash(first + k, end)]
    return [*audit_path(m - k, first + k, end), tree_hash(first, first + k)]


def subproof(m: int, first: int, end: int, complete: bool) -> list[bytes]:
    """SUBPROOF(m, D[first:end], complete) of section 2.1.2."""
    if m == end - first:
        return [] if complete else [tree_hash(first, end)]
    k = left_size(end - first)
    if m <= k:
        return [*subproof(m, first, first + k, complete), tree_hash(first + k, end)]
    return [*subproof(m - k, first + k, end, False), tree_hash(first, first + k)]


def changed_paths(path: list[bytes]) -> Iterator[list[bytes]]:
    """Every flipped bit, every hash left out, doubled, swapped with the next, and one more at either end."""
    for place, node in enumerate(path):
        for bit in range(256):
            yield [*path[:place], flipped(node, bit), *path[place + 1 :]]
        yield [*path[:place], *path[place + 1 :]]
        yield [*path[:place], node, *path[place:]]
        yield [*path[:place], node[:31], *path[place + 1 :]]
        if place + 1 < len(path):
            yield [*path[:place], path[place + 1], node, *path[place + 2 :]]
    yield [*path, ALL[0]]
    yield [ALL[0], *path]
    yield path * 40 or [ALL[0]] * 1_000


def flipped(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value) ^ 1 << bit).to_bytes(len(value))


@pytest.mark.parametrize(("index", "size", "expected"), PUBLISHED_INCLUSION)
def test_inclusion_paths_are_the_published_ones(index: int, size: int, expected: list[str]) -> None:
    """And they lead to the published roots."""
    path = inclusion_path(PUBLISHED[:size], index)
    assert expected == [node.hex()[:8] for node in path]
    assert verify_inclusion(PUBLISHED[index], index, size, path, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("old_size", "size", "expected"), PUBLISHED_CONSISTENCY)
def test_consistency_paths_are_the_published_ones(old_size: int, size: int, expected: list[str]) -> None:
    """And they lead from published root to published root."""
    path = consistency_path(PUBLISHED[:size], old_size)
    assert expected == [node.hex()[:8] for node in path]
    assert verify_consistency(old_size, bytes.fromhex(ROOTS[old_size]), size, bytes.fromhex(ROOTS[size]), path)


def test_every_leaf_of_every_size_has_its_path() -> None:
    """Sizes 1 to 256, every index: the path is the RFC's, and it verifies at its own index and no neighbour's."""
    tree = Tree(ALL)
    for size in range(1, SIZE_MAX + 1):
        root = tree.root(size)
        assert (size, tree_hash(0, size)) == (size, root)
        for index in range(size):
            path = tree.inclusion_path(index, size)
            assert (size, index, audit_path(index, 0, size)) == (size, index, path)
            verdicts = [verify_inclusion(ALL[index], at, size, path, root) for at in (index - 1, index, index + 1)]
            assert (size, index, [False, True, False]) == (size, index, verdicts)


def test_every_pair_of_sizes_has_its_consistency_path() -> None:
    """1 <= old <= new <= 256: the path is the RFC's, it verifies, and not from another root."""
    tree = Tree(ALL)
    for size in range(1, SIZE_MAX + 1):
        root = tree_hash(0, size)
        for old_size in range(1, size + 1):
            old_root = tree_hash(0, old_size)
            path = tree.consistency_path(old_size, size)
            assert (old_size, size, subproof(old_size, 0, size, True)) == (old_size, size, path)
            others = [verify_consistency(old_size, old_root, size, root, path),
                      verify_consistency(old_size, ALL[0] if old_size > 1 else ALL[1], size, root, path),
                      verify_consistency(old_size, old_root, size, flipped(root, 0), path)]  # fmt: skip
            assert (old_size, size, [True, False, False]) == (old_size, size, others)


def test_the_first_leaves_of_a_large_tree_are_a_tree() -> None:
    """A path within a prefix is the same whether or not more leaves follow."""
    tree = Tree(ALL)
    for size in (1, 2, 7, 8, 100, 255):
        small = Tree(ALL[:size])
        assert (small.root(), [small.inclusion_path(i) for i in range(size)]) == (
            tree.root(size), [tree.inclusion_path(i, size) for i in range(size)]
        )  # fmt: skip


@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (2, 3), (6, 7), (3, 8), (8, 13)])
def test_a_changed_inclusion_proof_is_refused(index: int, size: int) -> None:
    """Every bit of every hash, of the leaf and of the root; hashes more, fewer or in other order; every other index."""
    root, path = merkle_root(ALL[:size]), inclusion_path(ALL[:size], index)
    accepted = [changed for changed in changed_paths(path) if verify_inclusion(ALL[index], index, size, changed, root)]
    accepted_bits = [
        bit
        for bit in range(256)
        if verify_inclusion(flipped(ALL[index], bit), index, size, path, root)
        or verify_inclusion(ALL[index], index, size, path, flipped(root, bit))
    ]
    accepted_indexes = [at for at in range(-1, size + 2) if verify_inclusion(ALL[index], at, size, path, root)]
    assert (accepted, accepted_bits, accepted_indexes) == ([], [], [index])


@pytest.mark.parametrize(("old_size", "size"), [(1, 2), (2, 3), (4, 7), (6, 8), (5, 13), (8, 13), (12, 13), (7, 7)])
def test_a_changed_consistency_proof_is_refused(old_size: int, size: int) -> None:
    """Every bit of every hash and of both roots; hashes more, fewer or in other order; every other old size."""
    old_root, root = merkle_root(ALL[:old_size]), merkle_root(ALL[:size])
    path = consistency_path(ALL[:size], old_size)
    accepted = [
        changed for changed in changed_paths(path) if verify_consistency(old_size, old_root, size, root, changed)
    ]
    accepted_bits = [
        bit
        for bit in range(256)
        if verify_consistency(old_size, flipped(old_root, bit), size, root, path)
        or verify_consistency(old_size, old_root, size, flipped(root, bit), path)
    ]
    accepted_sizes = [old for old in range(-1, size + 2) if verify_consistency(old, old_root, size, root, path)]
    assert (accepted, accepted_bits, accepted_sizes) == ([], [], [old_size])


def test_a_rewritten_leaf_breaks_every_later_path() -> None:
    """A tree of 20 with leaf 3 changed is no continuation of any tree that has it."""
    rewritten = Tree([*ALL[:3], ALL[99], *ALL[4:20]])
    verdicts = [
        verify_consistency(old, merkle_root(ALL[:old]), 20, rewritten.root(), rewritten.consistency_path(old))
        for old in range(21)
    ]
    assert verdicts == [True] * 4 + [False] * 17


def test_the_empty_tree_begins_every_tree() -> None:
    """By its own root and an empty path, and no other."""
    empty = merkle_root([])
    assert ([], empty) == (Tree(ALL[:5]).consistency_path(0), Tree([]).root())
    verdicts = [
        verify_consistency(0, empty, 5, merkle_root(ALL[:5]), []),
        verify_consistency(0, empty, 0, empty, []),
        verify_consistency(0, ALL[0], 5, merkle_root(ALL[:5]), []),
        verify_consistency(0, empty, 0, ALL[0], []),
        verify_consistency(0, empty, 5, merkle_root(ALL[:5]), [ALL[0]]),
    ]
    assert verdicts == [True, True, False, False, False]


def test_a_path_beyond_the_top_of_the_tree_is_refused() -> None:
    """Though one more hash does lead to the root that is claimed: a tree of that size has no such place."""
    extra, root = ALL[99], merkle_root(ALL[:7])
    path, consistency = inclusion_path(ALL[:7], 6), consistency_path(ALL[:7], 4)
    longer_root, longer_old_root = node_hash(extra, root), node_hash(extra, merkle_root(ALL[:4]))
    longer_old_leaf = node_hash(extra, merkle_root(ALL[:3]))
    verdicts = [
        verify_inclusion(ALL[0], 0, 1, [extra], node_hash(extra, ALL[0])),
        verify_inclusion(ALL[6], 6, 7, [*path, extra], longer_root),
        verify_consistency(4, longer_old_root, 7, longer_root, [*consistency, extra]),
        verify_consistency(3, longer_old_leaf, 7, longer_root, [*consistency_path(ALL[:7], 3), extra]),
    ]
    assert verdicts == [False] * 4


@pytest.mark.parametrize(("size", "expected"), [(2**63 - 1, True), (2**63, False)])
def test_no_tree_has_2_to_the_63_leaves(size: int, expected: bool) -> None:
    """The first leaf's path of 63 hashes leads to the root at either size; sizes end where a signed integer does."""
    path = [ALL[place] for place in range(1, 64)]
    root = ALL[0]
    for node in path:
        root = node_hash(root, node)
    verdicts = [verify_inclusion(ALL[0], 0, size, path, root), verify_consistency(1, ALL[0], size, root, path)]
    assert verdicts == [expected] * 2


HASH = st.one_of(st.binary(max_size=40), st.binary(min_size=32, max_size=32))
NUMBER = st.one_of(st.integers(-3, 70), st.integers(), st.integers(2**62, 2**66))


@given(HASH, NUMBER, NUMBER, st.lists(HASH, max_size=70), HASH)
def test_no_hostile_proof_raises(one: bytes, first: int, second: int, path: list[bytes], other: bytes) -> None:
    """Whatever the numbers, lengths and counts; nothing found by chance holds, but two equal roots."""
    assert verify_inclusion(one, first, second, path, other) is (first == 0 and second == 1 and not path
                                                                 and one == other and len(one) == 32)  # fmt: skip
    same = first == second and one == other and not path and 0 <= first < 2**63 and len(one) == 32
    assert verify_consistency(first, one, second, other, path) is (same and first > 0)


def test_a_path_outside_the_tree_is_refused() -> None:
    """The caller's mistake, and the message says what the tree has."""
    with pytest.raises(UsageError, match="leaf 3 of a tree of 3 leaves: give one from 0 to 2"):
        inclusion_path(ALL[:3], 3)
    with pytest.raises(UsageError, match="an old tree of 4 leaves in one of 3: give a size from 0 to 3"):
        consistency_path(ALL[:3], 4)
    with pytest.raises(UsageError, match="the first 4 leaves of a tree of 3"):
        Tree(ALL[:3]).root(4)


def roots_at(all_leaves: list[bytes], sizes: set[int]) -> dict[int, bytes]:
    """The roots of many prefixes by a running stack of complete subtrees: no code that the paths use."""
    stack: list[tuple[int, bytes]] = []
    roots: dict[int, bytes] = {}
    for size, leaf in enumerate(all_leaves, start=1):
        height, node = 0, leaf
        while stack and stack[-1][0] == height:
            height, node = height + 1, node_hash(stack.pop()[1], node)
        stack.append((height, node))
        if size in sizes:
            root = stack[-1][1]
            for _, left in reversed(stack[:-1]):
                root = node_hash(left, root)
            roots[size] = root
    return roots


@pytest.mark.slow
def test_random_pairs_of_sizes_to_a_million_are_consistent() -> None:
    """5,000 seeded pairs and one leaf of each old tree: paths verify, and with one bit changed they do not."""
    generator = random.Random(SEED)
    pairs = [tuple(sorted((generator.randint(1, 1_000_000), generator.randint(1, 1_000_000)))) for _ in range(5_000)]
    million = leaves(1_000_000)
    tree = Tree(million)
    roots = roots_at(million, {size for pair in pairs for size in pair})
    for old_size, size in pairs:
        path = tree.consistency_path(old_size, size)
        index = generator.randrange(old_size)
        inclusion = tree.inclusion_path(index, size)
        place, bit = generator.randrange(len(inclusion)), generator.randrange(256)
        wrong = [*inclusion[:place], flipped(inclusion[place], bit), *inclusion[place + 1 :]]
        verdicts = [
            verify_consistency(old_size, roots[old_size], size, roots[size], path),
            verify_consistency(old_size, flipped(roots[old_size], bit), size, roots[size], path),
            verify_inclusion(million[index], index, size, inclusion, roots[size]),
            verify_inclusion(million[index], index, size, wrong, roots[size]),
        ]
        assert (SEED, old_size, size, index, [True, False, True, False]) == (SEED, old_size, size, index, verdicts)
