"""Ledgers from a list of events, for tests: good small runs, and the real writer.

A script is a list of (stream, step): an event to emit on that stream, or a function of (run folder, writer) such as
`record` or `complete`. `write_ledger` runs it through the real log: journals, seals, manifest.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from psion_ledger import events, log
from psion_ledger.contracts import Contracts
from psion_ledger.contracts.codec import encode_document
from psion_ledger.contracts.steps import cells, positions_of
from psion_ledger.digest import sha256
from psion_ledger.errors import LedgerError
from psion_ledger.program import complete_stage
from psion_ledger.receipts import record_receipt
from psion_ledger.replay import declared_corpus_digest
from tests.corpora import index_parts, index_rows
from tests.documents import config_of, corpus_of
from tests.emitted import (
    FAMILY,
    batch_of,
    checkpoint_id,
    completed,
    declared,
    ended,
    measured,
    promoted,
    started,
    weights,
    written,
)

RUN_ID = "run-small"
RANK0 = "t0001.r00000"
COMPLETION = "c.1"
Mark = Callable[[Path, log.Writer], object]
Script = list[tuple[str, events.Event | Mark]]

# `write_ledger` puts the digest of the attempt's claim in its place.
UNCLAIMED = b"\0" * 32
# Of a script that says a higher number, nobody has claimed it.
ATTEMPTS_MAX = 100


def opened(attempt: int = 1, rank: int = 0, **values: Any) -> events.StreamOpened:
    known: dict[str, Any] = {
        "role": "train", "host": "node-a", "pid": 1, "code_version": "0", "previous": [], "attempt_sha256": UNCLAIMED,
    }  # fmt: skip
    return events.StreamOpened(attempt=attempt, rank=rank, **(known | values))


def rotate(folder: Path, writer: log.Writer) -> None:
    writer.rotate()


def seal(folder: Path, writer: log.Writer) -> None:
    from psion_ledger.log.segment import seal_run

    seal_run(folder)


def close(folder: Path, writer: log.Writer) -> None:
    writer.close()


def record(folder: Path, writer: log.Writer) -> None:
    record_receipt(folder, writer)


def complete(folder: Path, writer: log.Writer) -> None:
    complete_stage(folder, writer)


def verification(
    contracts: Contracts, name: str, world: int = 1, attempt: int = 1, end_step: int | None = None
) -> Script:
    """A complete verification pass that equals training (below `end_step`), on a stream of its own."""
    plan = contracts.sampling_plan
    stream, end = f"v.{name}", end_step or plan.horizon_steps + 1
    batches = [
        batch_of(contracts, step, cell, pass_id=name)
        for step in range(1, end)
        for cell in cells(plan, positions_of(plan, step), world)
    ]
    return [
        (stream, opened(attempt, role="verify")),
        (
            stream,
            events.VerificationStarted(
                verification_id=name, method="content", first_step=1, end_step=end,
                sample_bps=10_000, corpus_digest=declared_corpus_digest(corpus_of(contracts)),
            ),
        ),
        *((stream, made) for made in batches),
        (
            stream,
            events.VerificationCompleted(
                verification_id=name, batches=len(batches), mismatches=0, first_mismatch_position=None
            ),
        ),
        (stream, close),
    ]  # fmt: skip


def beginning(contracts: Contracts, world: int = 1, rows: list[dict[str, Any]] | None = None) -> Script:
    """Rank 0's first attempt up to the root checkpoint; `rows` stand in the index instead of the good ones."""
    run_started = events.RunStarted(
        settings=[events.Setting(name="learning_rate", value="0.001")], resume_command="trainer --resume"
    )

    def declare_index(folder: Path, writer: log.Writer) -> None:
        listed = log.add_files(folder, "sequence_index", index_parts(index_rows(contracts) if rows is None else rows))
        writer.emit(
            events.ContractDeclared(
                contract_role="sequence_index", schema_version="psion_ledger.sequence_index.v1",
                sha256=sha256(listed.encode()), document=listed,
            )
        )  # fmt: skip

    config = encode_document(config_of(contracts))
    stage = events.StageStarted(
        stage_id=config_of(contracts).stage_id, stage_kind="pretrain", ordinal=1, checkpoint_family=FAMILY,
        config_sha256=sha256(config.encode()), base_checkpoint_id=None,
    )  # fmt: skip
    steps: list[events.Event | Mark] = [
        opened(), run_started, *declared(contracts), declare_index, stage, started(contracts, world, 0, None),
        *measured(contracts, 1, 0), written(contracts, 1, 0, None),
    ]  # fmt: skip
    return [(RANK0, step) for step in steps]


def joining(contracts: Contracts, world: int) -> Script:
    """The streams of the other ranks of the first attempt."""
    script: Script = []
    for rank in range(1, world):
        stream = f"t0001.r{rank:05}"
        script += [(stream, opened(rank=rank)), (stream, started(contracts, world, 0, None))]
    return script


def training(contracts: Contracts, attempt: int, steps: range, parent: str, world: int = 1, every: int = 2) -> Script:
    """Rank by rank, step by step; rank 0 measures and writes a checkpoint every `every` steps."""
    script: Script = []
    plan = contracts.sampling_plan
    for step in steps:
        dealt = list(cells(plan, positions_of(plan, step), world))
        for rank in range(world):
            stream = f"t{attempt:04}.r{rank:05}"
            script += [(stream, batch_of(contracts, step, cell)) for cell in dealt if cell.rank == rank]
            script.append((stream, completed(contracts, step, world)))
        if step % every == 0:
            rank0 = f"t{attempt:04}.r00000"
            script += [(rank0, event) for event in measured(contracts, attempt, step)]
            script.append((rank0, written(contracts, attempt, step, parent)))
            parent = checkpoint_id(attempt, step)
    return script


def ending(contracts: Contracts, attempt: int, world: int = 1) -> Script:
    """Promotion, two dry replays, receipt, completion, finish: the order that the design gives."""
    last = contracts.sampling_plan.horizon_steps
    rank0 = f"t{attempt:04}.r00000"
    script: Script = [(rank0, promoted(attempt, last))]
    for rank in range(world):
        stream = f"t{attempt:04}.r{rank:05}"
        script += [(stream, ended(last)), (stream, close)]
    script += [(rank0, seal)]
    for name in ("first", "second"):
        script += verification(contracts, name, world, attempt)
    script += [
        (rank0, seal), (COMPLETION, opened(attempt, role="complete")), (COMPLETION, record), (COMPLETION, complete),
        (COMPLETION, events.RunFinished(outcome="completed", reason=None)), (COMPLETION, close), (COMPLETION, seal),
    ]  # fmt: skip
    return script


def good_run(contracts: Contracts, world: int = 1) -> Script:
    """A finished run of one attempt."""
    script = beginning(contracts, world) + joining(contracts, world)
    steps = range(1, contracts.sampling_plan.horizon_steps + 1)
    script += training(contracts, 1, steps, checkpoint_id(1, 0), world)
    return script + ending(contracts, 1, world)


def trained_run(contracts: Contracts, world: int = 1, rows: list[dict[str, Any]] | None = None) -> Script:
    """A run that was finished without replays and receipt; quick to write, for what does not ask for them."""
    last = contracts.sampling_plan.horizon_steps
    script = beginning(contracts, world, rows) + joining(contracts, world)
    script += training(contracts, 1, range(1, last + 1), checkpoint_id(1, 0), world)
    script.append((RANK0, promoted(1, last)))
    for rank in range(world):
        stream = f"t0001.r{rank:05}"
        script += [(stream, ended(last)), (stream, close)]
    return [
        *script, (RANK0, seal), (COMPLETION, opened(role="complete")),
        (COMPLETION, events.RunFinished(outcome="completed", reason=None)),
    ]  # fmt: skip


def resumed_run(contracts: Contracts) -> Script:
    """A run killed after step 3, resumed from the checkpoint at step 2: step 3 is superseded."""
    last = contracts.sampling_plan.horizon_steps
    second = "t0002.r00000"

    resumed: Script = [
        (RANK0, close), (RANK0, seal), (second, opened(attempt=2)),
        (second, started(contracts, 1, 2, checkpoint_id(1, 2))),
        (second, events.CheckpointLoaded(checkpoint_id=checkpoint_id(1, 2), object_sha256=sha256(weights(2)))),
    ]  # fmt: skip
    return (
        beginning(contracts)
        + training(contracts, 1, range(1, 4), checkpoint_id(1, 0))
        + resumed
        + training(contracts, 2, range(3, last + 1), checkpoint_id(1, 2))
        + ending(contracts, 2)
    )


def written_step_by_step(ledger: Path, script: Script, *, strict: bool = True, run_id: str = RUN_ID) -> Iterator[Path]:
    """Run a script through the real log; after each of its steps, the run's folder as a reader then finds it.

    With `strict` off, marks that the broken run refuses (a receipt that cannot be derived) are passed over.
    A `stream_opened` of a later attempt pins what the attempt before left, as the real trainer's does.
    """
    folder = log.create_run(ledger, run_id)
    writers: dict[str, log.Writer] = {}
    try:
        for stream, step in script:
            if stream not in writers:
                assert isinstance(step, events.StreamOpened), f"{stream} must begin with stream_opened"
                while step.attempt <= ATTEMPTS_MAX and not (folder / "attempts" / f"{step.attempt}.json").exists():
                    log.claim_attempt(folder)
                step = _placed(folder, step)
                writers[stream] = log.open_writer(folder, step, stream=stream)
            elif callable(step):
                try:
                    step(folder, writers[stream])
                except LedgerError:
                    if strict:
                        raise
            else:
                writers[stream].emit(step)
            yield folder
    finally:
        for writer in writers.values():
            writer.close()


def _placed(folder: Path, opened: events.StreamOpened) -> events.StreamOpened:
    """A stream_opened with the digest of its attempt's claim, and the pins that the real recorder would give it."""
    if opened.attempt_sha256 == UNCLAIMED and opened.attempt <= ATTEMPTS_MAX:
        claimed = log.attempt_sha256(folder, opened.attempt)
        opened = msgspec.structs.replace(opened, attempt_sha256=claimed)
    if opened.previous:
        return opened
    if opened.role == "complete":
        return msgspec.structs.replace(opened, previous=log.completion_ends(folder, opened.attempt))
    if opened.role == "train" and opened.attempt > 1:
        ends = log.pinned_by(opened.rank, log.previous_ends(folder, opened.attempt))
        return msgspec.structs.replace(opened, previous=ends)
    return opened


def write_ledger(ledger: Path, script: Script, *, strict: bool = True, run_id: str = RUN_ID) -> Path:
    """Run a whole script through the real log and return the run's folder."""
    for _ in written_step_by_step(ledger, script, strict=strict, run_id=run_id):
        pass
    return ledger / run_id
