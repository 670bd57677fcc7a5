"""A contract of several files, as it is kept: what the writer keeps and lists, and which list is taken."""

import json
from pathlib import Path
from typing import Any

import pytest

from psion_ledger import log
from psion_ledger.digest import canonical_json, sha256
from psion_ledger.errors import ContractRefused, Unreadable, UsageError
from psion_ledger.log import contract_files
from psion_ledger.log.contract_files import Part, parts_of
from tests.corpora import spelled
from tests.ledgers import RUN_ID


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return log.create_run(tmp_path, RUN_ID)


def kept(run: Path, *parts: tuple[bytes, int]) -> list[Part]:
    return parts_of("sequence_index", log.add_files(run, "sequence_index", parts))


# ---- The writer ----


def test_each_file_is_kept_under_its_digest_and_listed_in_its_place(run: Path) -> None:
    """Path, bytes, rows, the first row, sha256: of three files the third begins behind the rows of two."""
    parts = kept(run, (b"a", 3), (b"bc", 4), (b"d", 1))
    assert [(part.bytes, part.rows, part.first) for part in parts] == [(1, 3, 0), (2, 4, 3), (1, 1, 7)]
    for part, data in zip(parts, (b"a", b"bc", b"d"), strict=True):
        digest = sha256(data).hex()
        assert (part.sha256, part.path) == (digest, f"contracts/sequence_index-{digest[:16]}.parquet")
        assert (run / part.path).read_bytes() == data


def test_the_list_is_canonical_json(run: Path) -> None:
    """So that the same files give the same contract, with the same digest."""
    text = log.add_files(run, "sequence_index", [(b"a", 1)])
    assert canonical_json(json.loads(text)).decode() == text
    assert [list(row) for row in json.loads(text)] == [["bytes", "first", "path", "rows", "sha256"]]


def test_the_same_files_are_kept_once(run: Path) -> None:
    """A second start, after a crash before they were declared, finds them there."""
    first = log.add_files(run, "sequence_index", [(b"a", 1), (b"b", 1)])
    inodes = {path.name: path.stat().st_ino for path in (run / "contracts").iterdir()}
    assert first == log.add_files(run, "sequence_index", [(b"a", 1), (b"b", 1)])
    assert inodes == {path.name: path.stat().st_ino for path in (run / "contracts").iterdir()}
    assert list((run / "tmp").iterdir()) == []


@pytest.mark.parametrize("suffix", ["npy", "u4", "u8"])
def test_order_files_have_the_name_of_their_format(run: Path, suffix: str) -> None:
    """Raw ids have no header that tells."""
    (part,) = parts_of("order_files", log.add_files(run, "order_files", [(b"\1\0\0\0\2\0\0\0", 2)], suffix))
    assert part.path == f"contracts/order_files-{part.sha256[:16]}.{suffix}"


@pytest.mark.parametrize(
    "parts",
    [[], [(b"", 1)], [(b"a", 0)], [(b"a", 1), (b"b", -1)], [(b"a", 1 << 62)]],
    ids=["no file", "no byte", "no row", "less than no row", "more rows than a number holds"],
)
def test_what_no_reader_takes_is_not_listed(run: Path, parts: list[tuple[bytes, int]]) -> None:
    """It is refused before it is declared, not by whoever audits the run."""
    with pytest.raises(UsageError, match=r"^sequence_index#"):
        log.add_files(run, "sequence_index", parts)


def test_a_part_that_is_too_large_is_refused_unwritten(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to do; the largest one is kept."""
    monkeypatch.setattr(contract_files, "PART_BYTES_MAX", 4)
    with pytest.raises(UsageError, match=r"a part of its sequence_index has 5 bytes, .* write fewer rows into each"):
        log.add_files(run, "sequence_index", [(b"12345", 1)])
    assert list((run / "contracts").iterdir()) == []
    assert [part.bytes for part in kept(run, (b"1234", 1))] == [4]


def test_more_parts_than_a_reader_takes_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as it takes are kept."""
    monkeypatch.setattr(contract_files, "PARTS_MAX", 2)
    assert len(kept(run, (b"a", 1), (b"b", 1))) == 2
    with pytest.raises(ContractRefused, match="3 files; a contract has 1 to 2"):
        log.add_files(run, "sequence_index", [(b"a", 1), (b"b", 1), (b"c", 1)])


@pytest.mark.parametrize("other", [b"other", None], ids=["other bytes", "a folder"])
def test_what_stands_in_a_files_place_is_not_listed_as_it(run: Path, other: bytes | None) -> None:
    """Damage of the file that an earlier start kept: the list would promise what is not there."""
    (part,) = kept(run, (b"a", 1))
    (run / part.path).unlink()
    (run / part.path).mkdir() if other is None else (run / part.path).write_bytes(other)
    with pytest.raises(Unreadable, match=f"{run / part.path}: stands where a file of the sequence_index belongs"):
        log.add_files(run, "sequence_index", [(b"a", 1)])


# ---- The list ----

DIGEST = sha256(b"a").hex()
GOOD: dict[str, Any] = {
    "path": f"contracts/sequence_index-{DIGEST[:16]}.parquet", "bytes": 1, "rows": 2, "first": 0, "sha256": DIGEST,
}  # fmt: skip
LISTS: dict[str, tuple[Any, str]] = {
    "no JSON": ("[", "sequence_index#: not a list of files"),
    "deep JSON": ("[" * 100_000, "sequence_index#: not a list of files"),
    "no list": (GOOD, "sequence_index#: not a list of files"),
    "null": (None, "sequence_index#: not a list of files"),
    "empty": ([], "0 files; a contract has 1 to 100,000"),
    "a field more": ([GOOD | {"more": 1}], "not a list of files"),
    "a field less": ([{name: value for name, value in GOOD.items() if name != "first"}], "not a list of files"),
    "a text for a number": ([GOOD | {"rows": "2"}], "not a list of files"),
    "a fraction": ([GOOD | {"rows": 1.5}], "not a list of files"),
    "outside": ([GOOD | {"path": "../outside.parquet"}], "#/0/path: .* is not named after its contract and digest"),
    "absolute": ([GOOD | {"path": f"/{GOOD['path']}"}], "#/0/path"),
    "above": ([GOOD | {"path": f"contracts/../{GOOD['path']}"}], "#/0/path"),
    "another folder": ([GOOD | {"path": GOOD["path"].replace("contracts", "segments")}], "#/0/path"),
    "a line more": ([GOOD | {"path": GOOD["path"] + "\n"}], "#/0/path"),
    "another contract's": ([GOOD | {"path": GOOD["path"].replace("sequence_index", "order_files")}], "#/0/path"),
    "another digest's": ([GOOD | {"path": GOOD["path"].replace(DIGEST[:16], "0" * 16)}], "#/0/path"),
    "another format": ([GOOD | {"path": GOOD["path"].replace("parquet", "csv")}], "#/0/path"),
    "a digest cut": ([GOOD | {"sha256": DIGEST[:63]}], "#/0/sha256: .* is no sha256 in hex"),
    "a digest of other letters": ([GOOD | {"sha256": DIGEST[:63] + "G"}], "#/0/sha256"),
    "not from the first": ([GOOD | {"first": 1}], "2 rows from 1, in 1 bytes; expected 1 row or more from 0 on"),
    "a gap": ([GOOD, GOOD | {"first": 3}], "#/1: 2 rows from 3, .* expected 1 row or more from 2 on"),
    "an overlap": ([GOOD, GOOD | {"first": 1}], "#/1: 2 rows from 1, .* expected 1 row or more from 2 on"),
    "no row": ([GOOD | {"rows": 0}], "0 rows from 0"),
    "rows below none": ([GOOD | {"rows": -1}], "-1 rows from 0"),
    "endless rows": ([GOOD | {"rows": 1 << 62}], "rows from 0"),
    "no byte": ([GOOD | {"bytes": 0}], "in 0 bytes"),
    "oversized": ([GOOD | {"bytes": (64 << 20) + 1}], "in 67,108,865 bytes; expected .* at most 67,108,864 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_is_none_of_ours_is_refused(name: str) -> None:
    """The message says which part of it, in one line."""
    listed, said = LISTS[name]
    with pytest.raises(ContractRefused, match=said) as refused:
        parts_of("sequence_index", spelled(listed))
    assert "\n" not in str(refused.value)


def test_a_good_list_is_taken() -> None:
    """The neighbour of all those above, so that they are refused for what they say."""
    parts = parts_of("sequence_index", spelled([GOOD, GOOD | {"first": 2}]))
    assert [(part.first, part.rows) for part in parts] == [(0, 2), (2, 2)]
