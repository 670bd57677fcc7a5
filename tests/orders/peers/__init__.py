"""Derived orders beside the libraries that they are taken from: the real ones, at many seeds and sizes.

    python -m tests.orders.peers NAME [NAME ...]     compare with what is installed, and print a table

A library that is not installed is no reason to fail: the slow test skips it and says so. Some cannot stand beside the
others; each of those is compared in an environment of its own by the same command. RESULTS.md has what was said.
"""

from collections.abc import Iterator

import msgspec

# One, a prime, a power of two, and more than 2**16.
SIZES = (1, 97, 256, 65_551)
SEEDS = tuple(range(10))
PASSES = 3


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One order at one seed and size, and whether the library's ids and ours are the same."""

    order: str
    case: str
    seed: int
    entries: int
    equal: bool


Comparisons = Iterator[Comparison]
