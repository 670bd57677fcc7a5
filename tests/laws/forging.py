"""A manifest as one would forge it: own digests and chain hold, whatever the entries say."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from psion_ledger.log import canonical, manifest, read_claim


def entries(folder: Path) -> list[manifest.Entry]:
    return manifest.read(folder, read_claim(folder)[1]).entries


def rewritten(folder: Path, kept: list[manifest.Entry]) -> None:
    """A manifest of these entries whose own digests and chain hold, as one would forge it."""
    previous = read_claim(folder)[1].hex()
    for path in (folder / "manifest").iterdir():
        path.unlink()
    for number, entry in enumerate(kept):
        data, own = canonical.encode(msgspec.structs.replace(entry, number=number, previous_sha256=previous))
        manifest.path_of(folder, number).write_bytes(data)
        previous = own


def forged(change: Callable[[list[manifest.Entry]], list[manifest.Entry]]) -> Callable[[Path], None]:
    return lambda folder: rewritten(folder, change(entries(folder)))


def step_file(folder: Path) -> manifest.SegmentFile:
    """The segment of `step_completed` in the first entry."""
    return next(file for file in entries(folder)[0].files if file.kind == "step_completed")
