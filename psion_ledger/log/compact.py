"""Compaction: adjacent segments of one stream become fewer files, under an entry that replaces theirs.

It deletes nothing. The events are re-derived from their columns before they are written again, so that nothing
wrong is ever handed on. Pruning, asked for by itself, deletes the files that no entry needs any more.
"""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from psion_ledger.digest import merkle_root
from psion_ledger.errors import Unreadable
from psion_ledger.log import claim, files, manifest, reread, verified
from psion_ledger.log.segment import write_segment

# What one compacted range may hold: it is in memory while it is written.
RANGE_BYTES_MAX = 64 << 20


def compact_run(run: Path) -> list[manifest.Entry]:
    """Compact every stream; the entries that were published. Raises Unreadable for a record that does not hold."""
    _, claim_sha256 = claim.read_claim(run)
    chain = manifest.Chain(run, claim_sha256)
    chain.require_whole()
    known = chain.read()
    with files.reported(run):
        made = [_compact(run, chain, known, group) for group in _groups(known.current())]
    return [entry for entry in made if entry is not None]


def _groups(current: list[manifest.Entry]) -> Iterator[list[manifest.Entry]]:
    """Adjacent ranges of one stream, as many as fit into one."""
    ordered = sorted(current, key=lambda entry: (entry.stream, entry.first_seq))
    for _, entries in groupby(ordered, key=lambda entry: (entry.stream, entry.events_version)):
        group: list[manifest.Entry] = []
        bytes_total = 0
        for entry in entries:
            own = sum(file.bytes for file in entry.files)
            if group and bytes_total + own > RANGE_BYTES_MAX:
                if len(group) > 1:
                    yield group
                group, bytes_total = [], 0
            group.append(entry)
            bytes_total += own
        if len(group) > 1:
            yield group


def _compact(
    run: Path, chain: manifest.Chain, known: manifest.Manifest, group: list[manifest.Entry]
) -> manifest.Entry | None:
    links: list[bytes] = []
    for entry in group:
        if why := reread.fault(run, known, entry):
            raise Unreadable(f"run {run.name}, entry {entry.number}: {why}; `psion-ledger fsck --deep` says more")
        links.extend(link for _, _, link in reread.events(run, entry))
    stream, first_seq, last_seq = group[0].stream, group[0].first_seq, group[-1].last_seq
    written = []
    for kind in sorted({file.kind for entry in group for file in entry.files}):
        parts = [reread.promised(entry, file) for entry in group for file in entry.files if file.kind == kind]
        written.append(write_segment(run, kind, verified.tables(run, parts), stream, first_seq, last_seq))
    files.sync_folder(run / "segments")
    entry = manifest.replacing(group, written, merkle_root(links).hex())
    return chain.append(entry)


def _require_whole(run: Path, file: manifest.SegmentFile) -> None:
    if files.measure(run, file.path, file.bytes)[1] != file.sha256:
        raise Unreadable(f"{run / file.path}: missing, or not the bytes that were sealed; restore it from a copy")


def prune_run(run: Path) -> list[str]:
    """Delete the files that compacted entries replaced, once the files that stand for them are whole; their paths."""
    known = manifest.read(run, claim.read_claim(run)[1])
    if known.broken is not None:
        raise Unreadable(f"run {run.name}: {known.broken.path} is damaged ({known.broken.actual}): nothing is pruned")
    needed = {file.path for entry in known.current() for file in entry.files}
    for entry in known.current():
        for file in entry.files if entry.type == "compact" else ():
            _require_whole(run, file)
    pruned = []
    with files.reported(run):
        manifest.settle(run)
        # All at once, and synced afterwards: whoever reads meanwhile looks again once, and finds what stands for them.
        for path in sorted({file.path for entry in known.entries for file in entry.files} - needed):
            try:
                (run / path).unlink()
            except FileNotFoundError:
                continue
            pruned.append(path)
        for folder in sorted({(run / path).parent for path in pruned}):
            files.sync_folder(folder)
    return pruned
