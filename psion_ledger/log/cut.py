"""A stream that is damaged where it was durable is cut there when a person says so: what stands before can be sealed.

Nothing is deleted: the journals stay as they were, under `<first seq>.damaged`, where no reader takes them for events.
The gap is recorded first, in a stream of its own, so that no audit of the run passes. A crash may come between any two
steps; the next cut does what is left.
"""

import contextlib
import os
import socket
from itertools import chain, count
from pathlib import Path

import msgspec

from psion_ledger import __version__, events
from psion_ledger.errors import Unreadable
from psion_ledger.log import claim, files, manifest
from psion_ledger.log.frame import Scan, first_link, read_journal
from psion_ledger.log.journal import open_writer
from psion_ledger.log.liveness import live_holder
from psion_ledger.log.names import gap_stream

KEPT_SUFFIX = ".damaged"


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that now ends after `after_seq`. At least `events_lost` events stand behind it, in the journals `kept`,
    named relative to the run's folder."""

    stream: str
    after_seq: int
    events_lost: int
    reason: str
    kept: list[str]


class _Break(msgspec.Struct, frozen=True, kw_only=True):
    """The place among a stream's journals where it is damaged, and how many bytes of that journal hold."""

    place: int
    bytes_whole: int
    after_seq: int
    reason: str


def cut_damage(run: Path) -> list[Cut]:
    """Cut every stream that no process writes at its first damage. Raises Unreadable where nothing says whose stream
    it is, WriterFailed when the disk refuses."""
    claimed, claim_sha256 = claim.read_claim(run)
    known = manifest.Chain(run, claim_sha256)
    known.require_whole()
    with files.reported(run):
        found = [_cut(run, claimed, known, folder) for folder in sorted((run / "journal").glob("*"))]
    return [cut for cut in found if cut is not None]


def _cut(run: Path, claimed: claim.Claim, known: manifest.Chain, folder: Path) -> Cut | None:
    sealed = known.last_of(folder.name)
    paths = [path for path in sorted(folder.glob("*.wal")) if sealed is None or files.first_seq(path) > sealed.last_seq]
    if any(live_holder(path) is not None for path in paths):
        return None
    if sealed is not None:
        end = sealed.last_seq, bytes.fromhex(sealed.link_after)
    else:
        end = -1, first_link(claimed.run_id, folder.name, bytes.fromhex(claimed.nonce))
    broken = _first_break(paths, *end)
    if broken is None:
        return None
    left = paths[broken.place :]
    cut = Cut(
        stream=folder.name, after_seq=broken.after_seq, reason=broken.reason,
        events_lost=sum(_events_behind(path, broken.after_seq) for path in left),
        kept=[path.with_suffix(KEPT_SUFFIX).relative_to(run).as_posix() for path in left],
    )  # fmt: skip
    _record(run, cut, *_identity(paths[0], sealed))
    for path in left:
        with contextlib.suppress(FileExistsError):  # A cut that was stopped here has kept it.
            os.link(path, path.with_suffix(KEPT_SUFFIX), follow_symlinks=False)
    files.sync_folder(folder)
    whole = left[:1] if broken.bytes_whole else []
    for path in reversed(left[len(whole) :]):
        path.unlink()
    for path in whole:
        scratch = files.scratch_path(run)
        files.write_durable(scratch, read_journal(path)[: broken.bytes_whole])
        os.replace(scratch, path)
    files.sync_folder(folder)
    return cut


def _first_break(paths: list[Path], last_seq: int, link: bytes) -> _Break | None:
    """Where journals stop to continue each other from the end of what is sealed. A torn tail is no break."""
    for place, path in enumerate(paths):
        following = paths[place + 1 : place + 2]
        before = _Break(place=place, bytes_whole=0, after_seq=last_seq, reason="")
        try:
            scan = Scan(read_journal(path), path, files.first_seq(following[0]) if following else None)
        except Unreadable as error:
            return msgspec.structs.replace(before, reason=str(error))
        if (scan.header.first_seq, scan.header.link_before) != (last_seq + 1, link):
            return msgspec.structs.replace(before, reason=f"{path.name}: it does not continue the stream")
        for frame, found in scan:
            last_seq, link = frame.seq, found
        if scan.damage is not None and scan.damage.tampered:
            return _Break(place=place, bytes_whole=scan.end, after_seq=last_seq, reason=f"{path.name}: {scan.damage}")
    return None


def _events_behind(path: Path, after_seq: int) -> int:
    """How many frames of a journal are whole and stand behind the cut."""
    try:
        scan = Scan(read_journal(path), path)
    except Unreadable:
        return 0
    return sum(frame.seq > after_seq for frame, _ in scan) + sum(1 for _ in scan.survivors())


def _identity(first: Path, sealed: manifest.Entry | None) -> tuple[int, int]:
    """Attempt and rank of a stream, from what is sealed or from its first event."""
    if sealed is not None:
        return sealed.attempt, sealed.rank
    opened = next((frame.event for frame, _ in Scan(read_journal(first), first)), None)
    if not isinstance(opened, events.StreamOpened):
        raise Unreadable(f"{first}: nothing of it can be read; restore it from a copy")
    return opened.attempt, opened.rank


def _record(run: Path, cut: Cut, attempt: int, rank: int) -> None:
    gap = events.GapRecorded(
        gap_stream=cut.stream, after_seq=max(cut.after_seq, 0), events_lost=cut.events_lost, reason=cut.reason
    )
    opened = events.StreamOpened(
        role="verify", attempt=attempt, rank=rank, host=socket.gethostname(), pid=os.getpid(),
        code_version=__version__, attempt_sha256=claim.attempt_sha256(run, attempt), previous=[],
    )  # fmt: skip
    name = gap_stream(cut.stream)
    # One may be there, of a cut that was stopped or of the writer that could not write.
    free = (
        one for one in chain([name], (f"{name}-{n}" for n in count(2))) if not os.path.lexists(run / "journal" / one)
    )
    with open_writer(run, opened, stream=next(free)) as writer:
        writer.emit(gap)
        writer.sync()
