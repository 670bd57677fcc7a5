"""One start of training on many processes: rank 0 claims it in the ledger, and the others find that claim."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from psion_ledger import events, log
from psion_ledger.errors import CannotDecide, NoSuchRun, Unreadable, UsageError
from psion_ledger.log import claim, files, frame
from psion_ledger.log.liveness import live_holder
from psion_ledger.recording.circumstances import launch_id

WAIT_S_MAX = 600.0
_LOOK_EVERY_S = 0.1
Found = TypeVar("Found")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a process stands among those that train: its data-parallel rank, of how many. A `peer` consumes the same
    batches as a rank that records, and records nothing."""

    rank: int
    world: int
    launch: str | None
    peer: bool = False


def place_of(rank: int | Literal["peer"] | None, world: int | None, launch: str | None) -> Place:
    """From what the user says, else from the environment as torchrun sets it. Raises UsageError."""
    peer = rank == "peer"
    own = 0 if isinstance(rank, str) else rank
    own = int(os.environ.get("RANK", "0")) if own is None else own
    size = int(os.environ.get("WORLD_SIZE", "1")) if world is None else world
    if rank not in ("peer", None) and isinstance(rank, str):
        raise UsageError(f"rank={rank!r}: a number, or 'peer' for a process that consumes another rank's batches")
    if size < 1 or not 0 <= own < size:
        raise UsageError(f"rank={own}, world={size}: ranks are 0 to world - 1, counted over data-parallel processes")
    given = launch or launch_id()
    if size > 1 and given is None:
        raise UsageError(
            f"rank {own} of {size}: nothing says which processes started together; give launch= an id that all ranks "
            "of one start share and no other start has"
        )
    return Place(rank=own, world=size, launch=given, peer=peer)


def refuse_second(run: Path, launch: str | None) -> None:
    """Raise UsageError where this start has claimed an attempt already."""
    if launch is not None and (attempt := claimed_by(run, launch)) is not None:
        raise UsageError(
            f"run {run.name}: launch {launch!r} claimed attempt {attempt} already; give launch= another id for each "
            "start"
        )


def claimed_by(run: Path, launch: str) -> int | None:
    """The attempt that a start of this id claimed."""
    known, _ = claim.read_claim(run)
    for path in sorted((run / "attempts").glob("*.json")):
        if not path.stem.isdecimal():
            continue
        try:
            attempt, _ = claim.read_attempt(run, int(path.stem), known)
        except Unreadable:
            continue
        if attempt.launch_id == launch:
            return int(path.stem)
    return None


def wait_for_start(ledger: Path, run_id: str, place: Place) -> tuple[Path, int]:
    """The run and attempt of this start, once rank 0 has declared everything and begun. Raises CannotDecide when it
    does not in time."""

    def claimed() -> tuple[Path, int] | None:
        try:
            folder = log.find_run(ledger, run_id)
        except NoSuchRun:
            return None
        attempt = claimed_by(folder, place.launch or "")
        return None if attempt is None else (folder, attempt)

    folder, attempt = _awaited(claimed, f"run {run_id}: rank 0 of launch {place.launch!r} has not claimed an attempt")
    stream = f"t{attempt:04}.r00000"
    _awaited(
        lambda: _has_begun(folder, stream) or None,
        f"run {run_id}: rank 0 has not declared what attempt {attempt} trains",
    )
    return folder, attempt


def _has_begun(run: Path, stream: str) -> bool:
    """Whether a stream holds its attempt_started. What is sealed of it already had come that far."""
    journals = sorted((run / "journal" / stream).glob("*.wal"))
    if journals and files.first_seq(journals[0]) > 0:
        return True
    for path in journals:
        try:
            data = frame.read_journal(path)
        except FileNotFoundError:
            return True
        if any(isinstance(found.event, events.AttemptStarted) for found, _ in frame.Scan(data, path)):
            return True
    # All of it may be sealed by now: rank 0 has ended, and this is a rank that came late, or a second start.
    return any((run / "segments" / "attempt_started").glob(f"{stream}-*"))


def _awaited(look: Callable[[], Found | None], missing: str) -> Found:
    give_up_at = time.monotonic() + WAIT_S_MAX
    while (found := look()) is None:
        if time.monotonic() > give_up_at:
            raise CannotDecide(f"{missing} after {WAIT_S_MAX:.0f} s; see why it has not started")
        time.sleep(_LOOK_EVERY_S)
    return found


def wait_for_ends(run: Path, attempt: int, world: int, seconds_max: float) -> list[int]:
    """The ranks of an attempt whose streams a process still writes, or that have not begun, after so long."""
    give_up_at = time.monotonic() + seconds_max
    while True:
        left = [rank for rank in range(world) if not _is_closed(run, f"t{attempt:04}.r{rank:05}")]
        if not left or time.monotonic() > give_up_at:
            return left
        time.sleep(_LOOK_EVERY_S)


def _is_closed(run: Path, stream: str) -> bool:
    folder = run / "journal" / stream
    return folder.is_dir() and all(live_holder(path) is None for path in folder.glob("*.wal"))
