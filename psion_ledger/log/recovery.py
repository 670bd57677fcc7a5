"""Opening a run again after its writers have gone: what they left is sealed, and pinned by the next attempt."""

from pathlib import Path

from psion_ledger.digest import sha256
from psion_ledger.errors import Unreadable, WriterBusy
from psion_ledger.events import StreamEnd
from psion_ledger.log import claim, files, journal, manifest


def refuse_if_live(run: Path) -> None:
    """Raise WriterBusy when any process still writes this run's journals."""
    for path in sorted((run / "journal").glob("*/*.wal")):
        if holder := journal.live_holder(path):
            raise WriterBusy(f"run {run.name}: {holder} still writes stream {path.parent.name}; stop it first")


def previous_ends(run: Path, attempt: int) -> list[StreamEnd]:
    """The last seq and link of every stream of the attempt before `attempt`, by name. All must be sealed."""
    known = manifest.read(run, claim.read_claim(run)[1])
    if known.broken is not None:
        raise Unreadable(f"run {run.name}: {known.broken.path} is damaged: {known.broken.actual}")
    ends = {
        entry.stream: StreamEnd(
            stream=entry.stream, last_seq=entry.last_seq, chain_head=bytes.fromhex(entry.link_after)
        )
        for entry in known.entries
        if entry.attempt == attempt - 1
    }
    return [ends[stream] for stream in sorted(ends)]


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
