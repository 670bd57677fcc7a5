"""Digests: RFC 6962's tree against its definition and published roots, canonical JSON, length prefixes."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psion_ledger import digest

# The leaves and roots of the Certificate Transparency project's reference tests of RFC 6962.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def tree_hash(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word; leaves are data, not hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = max(2**i for i in range(len(leaves)) if 2**i < len(leaves))
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:k]) + tree_hash(leaves[k:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_the_tree_has_the_published_roots(size: int) -> None:
    """Sizes 0 to 8."""
    leaves = [digest.leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES[:size]]
    assert ROOTS[size] == digest.merkle_root(leaves).hex()


@pytest.mark.parametrize("size", range(65))
def test_the_tree_is_the_recursive_definition(size: int) -> None:
    """Sizes 0 to 64: every shape of an incomplete tree up to there."""
    data = [b"leaf %d" % number for number in range(size)]
    assert tree_hash(data) == digest.merkle_root(digest.leaf_hash(leaf) for leaf in data)


def test_the_order_of_leaves_matters() -> None:
    """And a leaf is no node: a tree of two is not the leaf made of their hashes."""
    a, b = digest.leaf_hash(b"a"), digest.leaf_hash(b"b")
    assert len({digest.merkle_root([a, b]), digest.merkle_root([b, a]), digest.leaf_hash(a + b)}) == 3


def test_sha256_is_the_standards() -> None:
    """FIPS 180-4's example."""
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert expected == digest.sha256(b"abc").hex()


def test_a_file_is_hashed_as_its_bytes(tmp_path: Path) -> None:
    """Larger than one read."""
    data = bytes(range(256)) * 4096 + b"end"
    (tmp_path / "file").write_bytes(data)
    assert hashlib.sha256(data).digest() == digest.sha256_file(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        digest.sha256_file(tmp_path / "none")


def test_canonical_json_sorts_keys_at_every_depth() -> None:
    """Compact, UTF-8, arrays as they are."""
    value = {"b": [{"z": 1, "a": None}, True], "a": "é\n", "10": 1, "9": 2}
    expected = '{"10":1,"9":2,"a":"é\\n","b":[{"a":null,"z":1},true]}'
    assert expected.encode() == digest.canonical_json(value)


@settings(deadline=None, database=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-(2**63), 2**63 - 1)))
def test_equal_maps_have_equal_canonical_bytes(value: dict[str, int]) -> None:
    """In whatever order they were built."""
    assert digest.canonical_json(value) == digest.canonical_json(dict(reversed(value.items())))


@settings(deadline=None, database=None)
@given(st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_different_parts_have_different_bytes(one: list[bytes], other: list[bytes]) -> None:
    """However the same bytes are divided among them."""
    same = digest.length_prefixed(*one) == digest.length_prefixed(*other)
    assert same == (one == other)


def test_length_prefixes_are_four_bytes_big_endian() -> None:
    """Before each part, the empty one too."""
    assert digest.length_prefixed(b"ab", b"") == b"\0\0\0\x02ab\0\0\0\0"
