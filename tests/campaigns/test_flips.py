"""Flips: the seeded tenth, and that a check which looks less closely would be found out."""

import json
from typing import Any

import msgspec
import pytest

from psion_ledger.fsck import check
from psion_ledger.log import canonical
from tests.campaigns.flips import Ledger, flip_all, flips
from tests.campaigns.results import empty_folder
from tests.campaigns.whole_ledgers import canonical_ledger


@pytest.mark.slow
def test_a_tenth_of_the_flipped_bits_is_found_and_located() -> None:
    """`python -m tests.campaigns flips --full` is every one, and a thousand ledgers in which nothing is wrong."""
    result = flips(0.1, seed=1)
    assert result.failures == []
    assert result.distinct > 10_000


def every_bit(*tops: str) -> list[tuple[str, int]]:
    with empty_folder() as folder:
        sizes = Ledger(canonical_ledger(folder)).bytes
    return [(name, bit) for name, size in sizes.items() if name.startswith(tops) for bit in range(0, 8 * size, 7)]


@pytest.mark.slow
def test_a_check_that_takes_any_json_of_a_claim_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what decodes need not be the very bytes that it encodes to, spaces and digits of the digest can change."""

    def lax(data: bytes, kind: type[Any]) -> tuple[Any, str]:
        document = json.loads(data)
        return msgspec.convert({k: v for k, v in document.items() if k != "sha256"}, kind), document["sha256"]

    assert flip_all(every_bit("attempts/1"))[0] == []
    monkeypatch.setattr(canonical, "decode", lax)
    assert len(flip_all(every_bit("attempts/1"))[0]) > 10


@pytest.mark.slow
def test_a_check_that_does_not_read_segments_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every bit of one is missed."""
    bits = every_bit("segments/stream_opened")[:200]
    assert flip_all(bits)[0] == []
    monkeypatch.setattr(check, "_segments", lambda folder, known: iter(()))
    assert len(flip_all(bits)[0]) == len(bits)


def test_the_ledger_whose_bits_are_flipped_is_the_same_each_time() -> None:
    """So that a case names the same bit again; the attempts alone say which process it was."""
    found = []
    for _ in range(2):
        with empty_folder() as folder:
            run = canonical_ledger(folder)
            files = [path for path in sorted(run.rglob("*")) if path.is_file() and path.parent.name != "attempts"]
            found.append([(path.relative_to(run).as_posix(), path.read_bytes()) for path in files])
    assert found[0] == found[1]
