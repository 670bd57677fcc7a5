"""What the ledger knows of a run before a new attempt."""

from pathlib import Path
from typing import Any

import msgspec

from psion_ledger import events, log
from psion_ledger.contracts import Contracts
from psion_ledger.errors import CannotDecide, LedgerError
from psion_ledger.ledger import Run
from psion_ledger.ordered import contracts_that_hold
from psion_ledger.reading import read
from psion_ledger.recording.saving import Checkpoint

NAME_CHARACTERS_SHOWN = 200


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What rank 0's last attempt said of itself: its number, its world, and where it began."""

    attempt: int
    world: int
    checkpoint_id: str | None
    cut_step: int
    cursor_position: int
    threads: int | None


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run had come; of a new run, nothing.

    `contracts` are null until all of them are declared; `documents` are the declared ones' exact texts by role.
    `checkpoints` are those that count, the highest step first, and `superseded` the others; `holders` is the last
    checkpoint written at each path. `previous` pins where the last attempt's streams end.
    """

    folder: Path
    documents: dict[str, str] = msgspec.field(default_factory=dict)
    contracts: Contracts | None = None
    settings: dict[str, str] | None = None
    start: Start | None = None
    attempts: int = 0
    checkpoints: list[Checkpoint] = msgspec.field(default_factory=list)
    superseded: list[Checkpoint] = msgspec.field(default_factory=list)
    holders: dict[str, str] = msgspec.field(default_factory=dict)
    stage_started: bool = False
    promoted: bool = False
    stage_completed: bool = False
    finished: bool = False
    previous: list[events.StreamEnd] = msgspec.field(default_factory=list)


def read_past(folder: Path, artifacts: Path) -> Past:
    """Read how far a run had come. Raises CannotDecide for a record that cannot be read."""
    with Run(read(folder)) as run:
        run.require_whole()
        run.relate(["progress", "checkpoints"])

        def first(query: str) -> Any:
            return run.con.execute(query).fetchone()

        def there(relation: str, where: str = "true") -> bool:
            return bool(first(f"select count(*) > 0 from {relation} where {where}")[0])

        settings = first("select settings from run_started")
        attempts = int(first("select coalesce(max(attempt), 0) from stream_opened where role = 'train'")[0])
        documents = dict(run.contracts_text)
        checkpoints = _checkpoints(run, artifacts)
        return Past(
            folder=folder,
            documents=documents,
            contracts=None if (start := _start(run)) is None else _contracts(run),
            settings=settings and {row["name"]: row["value"] for row in settings[0]},
            start=start,
            attempts=attempts,
            checkpoints=[checkpoint for effective, checkpoint in checkpoints if effective],
            superseded=[checkpoint for effective, checkpoint in checkpoints if not effective],
            holders=_holders(run),
            stage_started=there("stage_started"),
            promoted=there("checkpoint_promoted"),
            stage_completed=there("stage_completed"),
            finished=there("progress", "finished"),
            # The last attempt that opened a stream: one that died before it did has nothing to pin.
            previous=log.previous_ends(folder, attempts + 1),
        )


def _contracts(run: Run) -> Contracts:
    try:
        return contracts_that_hold(run)
    except LedgerError as error:
        words = run.command(f"psion-ledger audit {run.run_id}")
        raise CannotDecide(f"run {run.run_id}: its contracts do not hold; `{words}` shows what is wrong") from error


def _start(run: Run) -> Start | None:
    row = run.first(
        "select attempt, world_size, checkpoint_id, cut_step, cursor_position, threads_per_process "
        "from attempt_started where role = 'train' and rank = 0 order by attempt desc limit 1"
    )
    if row is None:
        return None
    attempt, world, checkpoint_id, cut, cursor, threads = row
    return Start(
        attempt=attempt, world=world, checkpoint_id=checkpoint_id, cut_step=cut, cursor_position=cursor, threads=threads
    )


def _checkpoints(run: Run, artifacts: Path) -> list[tuple[bool, Checkpoint]]:
    """Every checkpoint that was not removed, and whether its step counts."""
    rows = run.con.execute(
        "select effective, checkpoint_id, step, cursor_position, files from checkpoints "
        "where checkpoint_id not in (select checkpoint_id from checkpoint_removed) order by step desc, attempt desc"
    ).fetchall()
    return [
        (bool(effective), checkpoint_of(artifacts, checkpoint_id, step, cursor, files))
        for effective, checkpoint_id, step, cursor, files in rows
    ]


def checkpoint_of(artifacts: Path, checkpoint_id: str, step: int, position: int, files: list[Any]) -> Checkpoint:
    """A checkpoint from its columns. Raises CannotDecide for paths that lead out of the artifacts."""
    found = [events.CheckpointFile(**file) for file in files]
    for file in found:
        if file.path.startswith("/") or {"", ".", ".."} & set(file.path.split("/")) or "\0" in file.path:
            raise CannotDecide(
                f"the ledger names the file {file.path[:NAME_CHARACTERS_SHOWN]!r}, which is no plain path below "
                f"{artifacts}; nothing was read: no recorder of ours wrote it"
            )
    parents = [Path(file.path).parent.parts for file in found]
    shared = 0
    while parents and all(len(parts) > shared and parts[shared] == parents[0][shared] for parts in parents):
        shared += 1
    folder = artifacts.joinpath(*parents[0][:shared]) if parents else artifacts
    return Checkpoint(
        checkpoint_id=checkpoint_id, step=step, position=position, folder=folder, root=artifacts, files=found
    )


def _holders(run: Run) -> dict[str, str]:
    """The last checkpoint written at each path, of those that were not removed."""
    rows = run.con.execute(
        "select checkpoint_id, list_transform(files, lambda f: f.path) from checkpoint_written "
        "where checkpoint_id not in (select checkpoint_id from checkpoint_removed) order by attempt, seq"
    ).fetchall()
    return {path: checkpoint_id for checkpoint_id, paths in rows for path in paths}
