"""Absurd lengths and numbers: files of a tebibyte, frames of four gibibytes, the 10^12th attempt, 100,000 entries."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from psion_ledger.log import manifest
from tests.hostile import RUN_ID, Commands
from tests.hostile.forging import STREAM, appended, body_with, journal
from tests.laws.forging import entries, rewritten

pytestmark = pytest.mark.slow
TEBIBYTE = 1 << 40
Codes = dict[str, int | tuple[int, ...]]


def stretched(path: Path, size: int = TEBIBYTE) -> None:
    """Zeros to the end, which take no room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.truncate(size)


def segment(run: Path) -> Path:
    return run / entries(run)[0].files[0].path


def claimed(run: Path, **values: int | str) -> None:
    """The first entry says this of its first file."""
    first, *more = entries(run)
    changed = [msgspec.structs.replace(first.files[0], **values), *first.files[1:]]
    rewritten(run, [msgspec.structs.replace(first, files=changed), *more])


def stretched_as_claimed(run: Path) -> None:
    stretched(segment(run))
    claimed(run, bytes=TEBIBYTE)


def stranger(run: Path) -> Path:
    """Where a journal would stand."""
    path = journal(run)
    path.write_bytes(b"")
    return path


def under_forty_names(run: Path, path: Path) -> None:
    """One file of 128 MiB of zeros, as forty journals."""
    stretched(path, 128 << 20)
    for number in range(1, 40):
        other = run / "journal" / f"v.{number}" / path.name
        other.parent.mkdir()
        os.link(path, other)


def index(run: Path) -> Path:
    return next(run.glob("contracts/*"))


def attempt(run: Path, number: int) -> None:
    (run / "attempts" / f"{number}.json").write_bytes(b"{}")


# What is done; and the exit code of each command that looks there. What the manifest contradicts is a violation, and
# so is for `fsck` whatever is not as it should be; what is not read at all leaves a question open.
SIZES: dict[str, tuple[Callable[[Path], object], Codes]] = {
    "a claim": (lambda run: stretched(run / "CLAIM"), {"audit": 3, "fsck": 3, "seal": 3}),
    "an entry": (lambda run: stretched(run / "manifest/0.json"), {"audit": 3, "fsck": 3}),
    "the next entry": (lambda run: stretched(run / "manifest/4.json"), {"audit": 3, "fsck": 3}),
    "an entry of 16 MiB": (lambda run: stretched(run / "manifest/4.json", 16 << 20), {"audit": 1, "fsck": 1}),
    "a segment": (lambda run: stretched(segment(run)), {"audit": 1, "fsck": 1, "compact": (0, 3)}),
    "a segment, as claimed": (stretched_as_claimed, {"audit": 3, "fsck": (1, 3), "compact": (0, 3)}),
    "a segment's size": (lambda run: claimed(run, bytes=2**63 - 1), {"audit": 1, "fsck": 1}),
    "a segment's size, too large": (lambda run: claimed(run, bytes=2**63), {"audit": 1, "fsck": 1}),
    "a segment's rows": (lambda run: claimed(run, rows=2**63 - 1), {"audit": 3, "fsck": 0}),
    "the index": (lambda run: stretched(index(run)), {"audit": 1, "fsck": 1}),
    "another index": (
        lambda run: stretched(index(run).with_name(f"sequence_index-{0:016}.parquet")),
        {"fsck": (1, 3)},
    ),
    "a head": (lambda run: stretched(run / "heads/2.note"), {"fsck": 1}),
    "an attempt": (lambda run: stretched(run / "attempts/1.json"), {"fsck": 1}),
    "an attempt's number": (lambda run: attempt(run, 10**12), {"fsck": 1}),
    "an attempt's number of 200 digits": (lambda run: attempt(run, 10**200), {"fsck": 1}),
    "an entry's number that is none": (lambda run: (run / "manifest" / "\u00b2.json").write_bytes(b"{}"), {"audit": 0}),
    "a journal": (lambda run: stretched(journal(run)), {"audit": 3, "fsck": 3, "seal": 3}),
    "a journal of zeros": (lambda run: stretched(journal(run), 128 << 20), {"audit": 3, "fsck": 3}),
    "no journal under forty names": (lambda run: under_forty_names(run, stranger(run)), {"audit": 3, "fsck": 1}),
    "a journal of zeros under forty names": (lambda run: under_forty_names(run, journal(run)), {"audit": 1, "fsck": 1}),
    "a frame": (lambda run: journal(run, struct.pack("<II", 2**32 - 1, 0) + bytes(99)), {"audit": 3, "fsck": 3}),
    "a frame of 64 MiB": (lambda run: journal(run, struct.pack("<II", 2**26, 0) + bytes(99)), {"audit": 3, "fsck": 3}),
    "a frame's depth": (
        lambda run: journal(run, body_with(run, b"\x91" * 100_000)),
        {"audit": 1, "fsck": 1, "seal": 3},
    ),
    "a frame's depth of maps": (
        lambda run: journal(run, body_with(run, b"\x81\xa1a" * 100_000)),
        {"audit": 1, "fsck": 1, "seal": 3},
    ),
    "a claim's depth": (lambda run: (run / "CLAIM").write_bytes(b"[" * 100_000), {"audit": 3, "fsck": 1, "seal": 3}),
    "an entry's depth": (
        lambda run: (run / "manifest/4.json").write_bytes(b'{"events_version":' + b"[" * 100_000),
        {"audit": 1, "fsck": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SIZES)
def test_what_is_absurd_is_not_read(commands: Commands, run: Path, what: str) -> None:
    """Its size is looked at, and no more is taken from it than there is."""
    damage, codes = SIZES[what]
    damage(run)
    for command, code in codes.items():
        commands.ends(run.parent, code, command, RUN_ID)


def small_entry() -> manifest.Entry:
    digest = "5e" * 32
    return manifest.Entry(
        type="seal", number=0, previous_sha256=digest, events_version=1, stream=STREAM, role="verify", attempt=1,
        rank=0, first_seq=0, last_seq=0, link_before=digest, link_after=digest, events_root=digest, files=[],
    )  # fmt: skip


def test_a_manifest_of_100000_small_entries_is_read_in_time(commands: Commands, run: Path) -> None:
    """They name no files, and are chained: the stream that they make up begins with a link that it cannot have."""
    appended(run, small_entry(), 100_000)
    for command in ("audit", "fsck"):
        commands.ends(run.parent, 1, command, RUN_ID)
    commands.ends(run.parent, 0, "show", RUN_ID)


def test_50000_heads_are_read_in_time(commands: Commands, run: Path) -> None:
    """None of them is one, and each is said to be none."""
    (run / "heads").mkdir()
    for number in range(50_000):
        (run / "heads" / f"{number}.note").write_bytes(b"x")
    commands.ends(run.parent, 1, "fsck", RUN_ID)


def test_20000_journals_are_read_in_time(commands: Commands, run: Path) -> None:
    """All of one stream, and all empty: each but the last should have had an event, as the next one's name says."""
    for number in range(20_000):
        journal(run, name=f"{number:012}.wal")
    for command, code in {"audit": 1, "fsck": 1, "seal": 3}.items():
        commands.ends(run.parent, code, command, RUN_ID)
