"""Segments that no manifest entry names. A crash can leave some; others show that entries were taken away.

A journal is dropped only after the entry for its segments is durable. So an unnamed segment whose journal is gone, and
whose events no other entry holds, was named by an entry that is not there any more: the log was rolled back.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from psion_ledger.events import KINDS
from psion_ledger.log import files, manifest

_NAME = re.compile(r"(?P<stream>.+)-(?P<first>\d{12})-(?P<last>\d{12})-[0-9a-f]{16}\.parquet")


class Unnamed(msgspec.Struct, frozen=True, kw_only=True):
    """A segment of events that no entry holds and that no journal can give again."""

    path: str
    stream: str
    first_seq: int
    last_seq: int


def listed(run: Path) -> list[str]:
    """The segments that are there. List them before the manifest is read: what is sealed in between is named then."""
    return sorted(
        path.relative_to(run).as_posix()
        for kind in sorted(KINDS)
        for path in (run / "segments" / kind).glob("*.parquet")
    )


def rolled_back(run: Path, there: list[str], known: manifest.Manifest) -> list[Unnamed]:
    """Those of the listed segments that only a deleted entry explains."""
    named = {file.path for entry in known.entries for file in entry.files}
    last = {entry.stream: entry.last_seq for entry in sorted(known.entries, key=lambda entry: entry.last_seq)}
    found = (_parsed(path) for path in there if path not in named)
    return [
        segment
        for segment in found
        if segment is not None
        and segment.last_seq > last.get(segment.stream, -1)
        and not any(_journals(run, segment))
        and (run / segment.path).is_file()
    ]


def _parsed(path: str) -> Unnamed | None:
    match = _NAME.fullmatch(Path(path).name)
    if match is None:
        return None
    return Unnamed(path=path, stream=match["stream"], first_seq=int(match["first"]), last_seq=int(match["last"]))


def _journals(run: Path, segment: Unnamed) -> Iterator[Path]:
    """The journals that a sealer may have been reading when it wrote the segment."""
    for path in (run / "journal" / segment.stream).glob("*.wal"):
        if files.first_seq(path) == segment.first_seq:
            yield path
