"""How an attempt begins: rank 0 makes or reopens the run and declares what it promises, the others find that."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from psion_ledger import __version__, contracts, digest, events, log
from psion_ledger.contracts import Contracts
from psion_ledger.contracts.base_checkpoint import BaseCheckpoint
from psion_ledger.errors import CannotDecide, ContractRefused, UsageError
from psion_ledger.program import stage_id
from psion_ledger.recording import circumstances, saving
from psion_ledger.recording.launch import Place, refuse_second, wait_for_start
from psion_ledger.recording.past import Past, checkpoint_of, read_past
from psion_ledger.recording.promises import Promises
from psion_ledger.recording.saving import Checkpoint
from psion_ledger.recording.session import Begun, Session


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says of this start, besides what it promises; the fields are the arguments of `record`."""

    ledger: Path
    run_id: str
    place: Place
    artifacts: Path
    corpus: Path | None
    settings: Mapping[str, str]
    resume_from: Path | None
    resume_command: str | None = None
    base_folder: str | os.PathLike[str] | None = None
    deterministic: bool = False
    data_workers: int = 0
    checkpoint_family: str = "train"
    on_failure: log.OnFailure = "raise"
    finish: bool = True


def begin_first(attempt: Attempt, promises: Promises) -> Session:
    """Rank 0 of a new run. Raises UsageError, ContractRefused, WriterFailed."""
    folder = log.create_run(attempt.ledger, attempt.run_id)
    return _begun(attempt, folder, Past(folder=folder), promises)


def begin_again(attempt: Attempt, past: Past, promises: Promises) -> Session:
    """Rank 0 of a later attempt; `promises` are what the run declared, or still has to."""
    folder = past.folder
    if past.finished:
        raise UsageError(f"run {folder.name} is finished; begin another with another run_id")
    _refuse_another_world(past, promises.contracts, attempt.place.world)
    return _begun(attempt, folder, past, promises)


def _refuse_another_world(past: Past, promised: Contracts, world: int) -> None:
    """An order that depends on how many ranks draw it is another one on another world."""
    order = promised.sampling_plan.order
    bound = any(parameter.name == "replicas" for parameter in order.parameters)
    if bound and past.start is not None and past.start.world != world:
        raise UsageError(
            f"the order {order.name} depends on the number of ranks: the run was started on {past.start.world}, and "
            f"now on {world}; resume it on as many"
        )


def _begun(attempt: Attempt, folder: Path, past: Past, promises: Promises) -> Session:
    refuse_second(folder, attempt.place.launch)
    base = _base(promises.contracts.base_checkpoint, attempt.base_folder)
    checkpoint = _to_load(folder, past, attempt.resume_from) or base
    number = log.claim_attempt(folder, attempt.place.launch)
    writer = _opened(attempt, folder, number, past.previous)
    try:
        if past.settings is None:
            named = [events.Setting(name=name, value=value) for name, value in sorted(attempt.settings.items())]
            writer.emit(events.RunStarted(settings=named, resume_command=attempt.resume_command))
        documents = _declare(writer, folder, past, promises, attempt.checkpoint_family)
        _start(attempt, writer, checkpoint)
    except BaseException:
        writer.close()
        raise
    return _session(attempt, folder, number, past, promises.contracts, documents, checkpoint, writer)


def begin_other(attempt: Attempt) -> Session:
    """Another rank: it finds what rank 0 of the same launch has claimed and declared."""
    folder, number = wait_for_start(attempt.ledger, attempt.run_id, attempt.place)
    past, promised = read_declared(attempt, folder, number)
    checkpoint = started_from(attempt, past, promised)
    own = log.previous_ends(folder, number)
    writer = _opened(attempt, folder, number, own)
    try:
        _start(attempt, writer, checkpoint)
    except BaseException:
        writer.close()
        raise
    return _session(attempt, folder, number, past, promised, past.documents, checkpoint, writer)


def begin_beside(attempt: Attempt) -> tuple[int, Contracts, Checkpoint | None]:
    """A process that takes the batches of a rank that records: the attempt, its contracts, and what it goes on from."""
    folder, number = wait_for_start(attempt.ledger, attempt.run_id, attempt.place)
    past, promised = read_declared(attempt, folder, number)
    return number, promised, started_from(attempt, past, promised)


def read_declared(attempt: Attempt, folder: Path, number: int) -> tuple[Past, Contracts]:
    """What rank 0 has declared for an attempt. Raises CannotDecide, and UsageError for another world than its own."""
    past = read_past(folder, attempt.artifacts)
    if past.start is None or past.start.attempt != number or past.contracts is None:
        raise CannotDecide(f"run {folder.name}: rank 0 has not begun attempt {number}")
    if past.start.world != attempt.place.world:
        raise UsageError(f"world={attempt.place.world}, and rank 0 began attempt {number} with {past.start.world}")
    return past, past.contracts


def started_from(attempt: Attempt, past: Past, promised: Contracts) -> Checkpoint | None:
    """The checkpoint that rank 0 goes on from."""
    wanted = None if past.start is None else past.start.checkpoint_id
    if wanted is None:
        return None
    base = _base(promised.base_checkpoint, attempt.base_folder)
    known = [*past.checkpoints, *past.superseded, *([base] if base is not None else [])]
    return next((checkpoint for checkpoint in known if checkpoint.checkpoint_id == wanted), None)


def _opened(attempt: Attempt, folder: Path, number: int, previous: list[events.StreamEnd]) -> log.Writer:
    rank = attempt.place.rank
    opened = events.StreamOpened(
        role="train", attempt=number, rank=rank, host=socket.gethostname(), pid=os.getpid(), code_version=__version__,
        attempt_sha256=log.attempt_sha256(folder, number), previous=log.pinned_by(rank, previous),
    )  # fmt: skip
    return log.open_writer(folder, opened, on_failure=attempt.on_failure)


def _declare(writer: log.Writer, folder: Path, past: Past, promises: Promises, family: str) -> dict[str, str]:
    """Declare the contracts that are not declared yet, then start the stage that they promise; durable on return.
    Returns every contract's text by role."""
    texts: dict[events.ContractRole, tuple[str, str]] = {}
    for role, document in promises.contracts.documents.items():
        texts[role] = (str(document.schema_version), contracts.encode_document(document))
    documents = dict(past.documents)
    for role, (schema, text) in texts.items():
        if documents.setdefault(role, text) != text:
            raise ContractRefused(
                f"run {folder.name} had begun to promise another {role}; begin it as before, or begin a new run"
            )
        if role not in past.documents:
            _emit_contract(writer, role, schema, text)
    for role, made in promises.files.items():
        if role not in past.documents:
            suffix, parts = made()
            documents[role] = log.add_files(folder, role, parts, suffix)
            _emit_contract(writer, role, f"psion_ledger.{role}.v1", documents[role])
    config = promises.contracts.stage_config
    if config is not None and not past.stage_started:
        writer.emit(
            events.StageStarted(
                stage_id=stage_id(folder.name, 1, config.stage_kind), stage_kind=config.stage_kind, ordinal=1,
                checkpoint_family=family,
                config_sha256=digest.sha256(documents["stage_config"].encode()), base_checkpoint_id=None,
            )
        )  # fmt: skip
    return documents


def _emit_contract(writer: log.Writer, role: events.ContractRole, schema: str, text: str) -> None:
    sha256 = digest.sha256(text.encode())
    writer.emit(events.ContractDeclared(contract_role=role, schema_version=schema, sha256=sha256, document=text))


def _start(attempt: Attempt, writer: log.Writer, checkpoint: Checkpoint | None) -> None:
    commit, dirty = circumstances.git_state(circumstances.script_folder())
    writer.emit(
        events.AttemptStarted(
            launch_id=attempt.place.launch,
            checkpoint_id=None if checkpoint is None else checkpoint.checkpoint_id,
            cut_step=0 if checkpoint is None else checkpoint.step,
            cursor_position=0 if checkpoint is None else checkpoint.position,
            world_size=attempt.place.world,
            data_workers=attempt.data_workers,
            git_commit=commit,
            git_dirty=dirty,
            versions=circumstances.versions(),
            isa=circumstances.isa(),
            threads_per_process=circumstances.threads(),
            devices=circumstances.devices(),
            deterministic=attempt.deterministic,
        )
    )


def _session(
    attempt: Attempt,
    folder: Path,
    number: int,
    past: Past,
    promised: Contracts,
    documents: Mapping[str, str],
    checkpoint: Checkpoint | None,
    writer: log.Writer,
) -> Session:
    begun = Begun(
        run=folder, attempt=number, place=attempt.place, contracts=promised, documents=documents,
        settings=attempt.settings if past.settings is None else past.settings, artifacts=attempt.artifacts,
        corpus=attempt.corpus, checkpoint_family=attempt.checkpoint_family, checkpoint=checkpoint,
        known=past.checkpoints, others=past.superseded,
        holders=past.holders, promoted=past.promoted, finish=attempt.finish,
    )  # fmt: skip
    return Session(begun, writer)


# ---- Where training goes on from ----


def _to_load(folder: Path, past: Past, wanted: Path | None) -> Checkpoint | None:
    """The newest checkpoint that counts, or the one that was asked for; its files are as they were recorded. Raises
    UsageError and Damaged."""
    if wanted is not None:
        here = [known for known in past.checkpoints if known.folder.absolute() == wanted.absolute()]
        if not here:
            raise UsageError(f"resume_from={wanted}: no checkpoint of run {folder.name} that counts lies there")
        found = here[0]
    elif past.checkpoints:
        found = past.checkpoints[0]
    else:
        return None
    saving.read_again(found)
    return found


def _base(base: BaseCheckpoint | None, folder: str | os.PathLike[str] | None) -> Checkpoint | None:
    """The weights of another run, or of nobody's, that this one begins with."""
    if base is None:
        return None
    root = Path(folder or "")
    named = [
        {"path": file.path, "bytes": file.bytes, "sha256": bytes.fromhex(file.sha256), "role": file.role}
        for file in base.files or []
    ]
    return checkpoint_of(root, base.checkpoint_id, 0, 0, named)
