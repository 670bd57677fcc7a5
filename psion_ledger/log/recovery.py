"""Opening a run again after its writers have gone: what they left is sealed, and pinned by the next attempt."""

from pathlib import Path

from psion_ledger.digest import sha256
from psion_ledger.errors import Unreadable
from psion_ledger.events import StreamEnd
from psion_ledger.log import claim, files, manifest


def previous_ends(run: Path, attempt: int) -> list[StreamEnd]:
    """The last seq and link of every stream of the attempt before `attempt`, by name. All must be sealed."""
    known = manifest.read(run, claim.read_claim(run)[1])
    if known.broken is not None:
        raise Unreadable(f"run {run.name}: {known.broken.path} is damaged: {known.broken.actual}")
    streams = sorted({entry.stream for entry in known.entries if entry.attempt == attempt - 1})
    ends = [last for stream in streams if (last := known.last_of(stream)) is not None]
    return [
        StreamEnd(stream=end.stream, last_seq=end.last_seq, chain_head=bytes.fromhex(end.link_after)) for end in ends
    ]


def add_sequence_index(run: Path, parquet: bytes) -> tuple[str, bytes]:
    """Keep the sequence index in the run's folder, durably. Its path there, and its sha256 (32 bytes)."""
    digest = sha256(parquet)
    folder = run / "contracts"
    files.make_folder(folder)
    path = folder / f"sequence_index-{digest.hex()[:16]}.parquet"
    scratch = files.scratch_path(run)
    files.write_durable(scratch, parquet)
    files.publish(scratch, path)
    files.sync_folder(run)
    return f"contracts/{path.name}", digest
