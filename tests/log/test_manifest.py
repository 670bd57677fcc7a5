"""The manifest: an entry that is damaged, forged or missing breaks the chain there."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from psion_ledger import log
from psion_ledger.errors import NewerFormat, Unreadable
from psion_ledger.log import claim
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from tests.ledgers import RUN_ID
from tests.log.streams import (
    JOURNAL,
    entry_of,
    read_entries,
    three_entries,
    written,
)


def test_each_flipped_byte_of_an_entry_is_found(tmp_path: Path) -> None:
    """Three bits of every byte of the middle entry: the chain breaks there, and what stands before it is kept."""
    run = three_entries(tmp_path)
    path = run / "manifest/1.json"
    data = path.read_bytes()
    _, claim_sha256 = claim.read_claim(run)
    for place in range(len(data)):
        for bit in (0, 5, 7):
            path.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
            found = manifest_of(run, claim_sha256)
            assert found == (1, 1, "manifest/1.json"), (place, bit)
    path.write_bytes(data)
    assert manifest_of(run, claim_sha256) == (3, None, None)


def manifest_of(run: Path, claim_sha256: bytes) -> tuple[int, int | None, str | None]:
    from psion_ledger.log import manifest

    known = manifest.read(run, claim_sha256)
    broken = known.broken
    return len(known.entries), broken.number if broken else None, broken.path if broken else None


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_truncated_entry_is_a_break(tmp_path: Path, cut: int) -> None:
    """An empty file, too."""
    run = three_entries(tmp_path)
    path = run / "manifest/2.json"
    path.write_bytes(path.read_bytes()[:cut])
    broken = read(run).manifest.broken
    assert broken is not None
    assert (broken.number, broken.path) == (2, "manifest/2.json")


def test_an_entry_forged_with_its_own_digest_breaks_the_next(tmp_path: Path) -> None:
    """Whoever knows the algorithm can change an entry, and not what the next one says of it."""
    run = three_entries(tmp_path)
    forge(run, 1, rank=7)
    broken = read(run).manifest.broken
    assert broken is not None
    assert (broken.number, broken.path) == (2, "manifest/2.json")
    assert broken.expected == f"follows {entry_of(run, 1)['sha256']}"


def forge(run: Path, number: int, **changes: Any) -> None:
    """Change an entry and give it the digest that goes with it."""
    fields = entry_of(run, number) | changes
    del fields["sha256"]
    body = json.dumps(fields, separators=(",", ":"))
    own = hashlib.sha256(body.encode()).hexdigest()
    (run / f"manifest/{number}.json").write_text(body[:-1] + f',"sha256":"{own}"}}\n')


def test_another_spelling_of_an_entry_is_a_break(tmp_path: Path) -> None:
    """Equal values with a space more: an entry's bytes are canonical."""
    run = three_entries(tmp_path)
    path = run / "manifest/1.json"
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number": 1'))
    broken = read(run).manifest.broken
    assert broken is not None
    assert (broken.number, broken.actual) == (1, "other bytes")


def test_a_missing_middle_entry_is_a_break(tmp_path: Path) -> None:
    """The entries behind it are not read as if nothing were missing."""
    run = three_entries(tmp_path)
    (run / "manifest/1.json").unlink()
    known = read(run).manifest
    assert known.broken is not None
    assert (len(known.entries), known.broken.number, known.broken.actual) == (1, 1, "missing, 2 is there")


def test_a_manifest_that_belongs_to_another_claim_is_a_break(tmp_path: Path) -> None:
    """Entry 0 names CLAIM."""
    run, other = three_entries(tmp_path / "a"), three_entries(tmp_path / "b")
    shutil.copy(other / "CLAIM", run / "CLAIM")
    broken = read(run).manifest.broken
    assert broken is not None
    assert (broken.number, broken.path) == (0, "manifest/0.json")


def test_nothing_is_sealed_behind_a_break(tmp_path: Path) -> None:
    """The journal stays where it is."""
    run = written(tmp_path)
    shutil.copytree(run / "journal", tmp_path / "journal")
    seal_run(run)
    shutil.rmtree(run / "journal")
    shutil.copytree(tmp_path / "journal", run / "journal")
    (run / "manifest/0.json").write_bytes(b"{}")
    with pytest.raises(Unreadable, match=r"manifest/0\.json is damaged"):
        seal_run(run)
    assert read_entries(run) == ["0.json"]
    assert (run / JOURNAL).exists()


@pytest.mark.parametrize("changes", [{}, {"type": "compact", "replaces": [0]}])
def test_a_newer_entry_is_no_damage(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Whether it can be decoded or not, its version asks for an upgrade."""
    run = three_entries(tmp_path)
    forge(run, 2, events_version=2, **changes)
    with pytest.raises(NewerFormat, match=r"manifest/2\.json: events version 2 is newer than 1: upgrade"):
        read(run)


def test_reading_as_of_more_than_there_is_is_unreadable(tmp_path: Path) -> None:
    """It says how many entries there are."""
    run = three_entries(tmp_path)
    with pytest.raises(Unreadable, match=f"run {RUN_ID}: as of 4 entries; the manifest holds 3"):
        read(run, as_of=4)
    assert len(read(run, as_of=2).manifest.entries) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "../../precious.parquet"},
        {"path": "/dev/zero"},
        {"path": "segments/batch_replayed/*.parquet"},
        {"kind": "no_such_kind"},
        {"rows": 0},
        {"bytes": 2**63},
        {"sha256": "0" * 63},
        {"sha256": "0" * 64 + "\n"},
    ],
)
def test_an_entry_that_points_anywhere_else_is_a_break(tmp_path: Path, changes: dict[str, Any]) -> None:
    """A segment has one place, below its run's folder: no reader, compactor or pruner goes where a forger points."""
    run = three_entries(tmp_path)
    fields = json.loads((run / "manifest/0.json").read_text())
    fields["files"][0] |= changes
    forge(run, 0, files=fields["files"])
    assert manifest_of(run, log.read_claim(run)[1])[:2] == (0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": "../../evil"}, {"stream": "a/b"}, {"stream": "a\n"}, {"stream": "a\x1b[2J"}, {"stream": "x" * 128},
        {"first_seq": -1}, {"last_seq": 2**63}, {"first_seq": 9}, {"link_after": "zz"}, {"attempt": -1},
    ],
)  # fmt: skip
def test_an_entry_of_no_stream_or_range_is_a_break(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Whoever names a stream names files: the grammar has no slash, no two dots, nothing that a terminal obeys."""
    run = three_entries(tmp_path)
    forge(run, 0, **changes)
    assert manifest_of(run, log.read_claim(run)[1])[:2] == (0, 0)
