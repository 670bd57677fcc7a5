"""Opening a run again after its writers have gone: what they left is sealed, and pinned by the next attempt."""

from pathlib import Path

from psion_ledger.errors import Unreadable, UsageError
from psion_ledger.events import StreamEnd
from psion_ledger.log import claim, files, manifest
from psion_ledger.log.names import completion_number, is_of_rank


def previous_ends(run: Path, attempt: int) -> list[StreamEnd]:
    """The last seq and link of every stream, by name, that no attempt before `attempt` has pinned. All must be sealed.

    Rank 0 pins them all, so these are the streams since the last attempt in which a rank 0 opened one: in most runs
    those of the attempt before.
    """
    known = _whole(run)
    before = [entry for entry in known.entries if entry.attempt < attempt]
    since = max((entry.attempt for entry in before if (entry.role, entry.rank) == ("train", 0)), default=0)
    return _ends(known, sorted({entry.stream for entry in before if entry.attempt >= since}))


def _whole(run: Path) -> manifest.Manifest:
    known = manifest.read(run, claim.read_claim(run)[1])
    if known.broken is not None:
        raise Unreadable(f"run {run.name}: {known.broken.path} is damaged: {known.broken.actual}")
    return known


def _ends(known: manifest.Manifest, streams: list[str]) -> list[StreamEnd]:
    ends = [last for stream in streams if (last := known.last_of(stream)) is not None]
    return [
        StreamEnd(stream=end.stream, last_seq=end.last_seq, chain_head=bytes.fromhex(end.link_after)) for end in ends
    ]


def pinned_by(rank: int, ends: list[StreamEnd]) -> list[StreamEnd]:
    """Those of the `ends` that a train stream of `rank` pins: rank 0 all of them, another its own predecessor's."""
    own = [end for end in ends if is_of_rank(end.stream, rank)]
    return ends if rank == 0 else own[-1:]


def completion_ends(run: Path, attempt: int) -> list[StreamEnd]:
    """What a completion stream rests on, by name: the ends of all train streams of the last attempt, of every
    verification that no process writes, and of the completion stream before. All must be sealed."""
    known = _whole(run)
    latest = max((n for e in known.entries if (n := completion_number(e.stream)) is not None), default=None)
    wanted = {
        entry.stream
        for entry in known.entries
        if (entry.role == "train" and entry.attempt == attempt)
        or (entry.role == "verify" and not any((run / "journal" / entry.stream).glob("*.wal")))
        or (latest is not None and completion_number(entry.stream) == latest)
    }
    return _ends(known, sorted(wanted))


def keep_head(run: Path, size: int, note: bytes) -> None:
    """Keep a signed head in the ledger, for proofs. Raises UsageError when another of that size is there."""
    with files.reported(run):
        manifest.settle(run)
        files.make_folder(run / "heads")
        path = run / "heads" / f"{size}.note"
        scratch = files.scratch_path(run)
        files.write_durable(scratch, note)
        if not files.publish(scratch, path) and files.read_regular(path) != note:
            raise UsageError(f"{path}: another head of {size} entries is there; move it away to sign with this key")
        files.sync_folder(run)
