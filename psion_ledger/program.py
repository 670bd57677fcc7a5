"""The stage program: a fold over stage events, and the gate before completion.

Order, refusals and stage ids are the original's; what it lacks is added: a receipt counts once, and only one that
verifies against this ledger lets a pretrain stage complete. Nothing else is the program's state than its events.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from psion_ledger import events
from psion_ledger.contracts.values import is_blank
from psion_ledger.digest import sha256
from psion_ledger.errors import LedgerError, StageRefused
from psion_ledger.ledger import Run
from psion_ledger.log import Writer
from psion_ledger.log.names import completion_number
from psion_ledger.reading import read
from psion_ledger.receipts import digests, templates
from psion_ledger.receipts.verify import decode_receipt, verify_receipt

STAGE_ORDER: tuple[events.StageKind, ...] = ("pretrain", "general_sft", "agentic_sft", "rl")
_FIRST_KINDS = ("pretrain", "general_sft")


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt that was recorded for a stage, and the checkpoint that it promoted."""

    sha256: bytes
    checkpoint_ref: str
    stream_id: str
    object_digest: str


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage so far, and the receipts recorded for it."""

    stage_id: str
    kind: events.StageKind
    ordinal: int
    receipts: tuple[Recorded, ...] = ()
    completed: bool = False


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """The program so far. The last stage is the active one."""

    run_id: str
    checkpoint_family: str = ""
    stages: tuple[Stage, ...] = ()


StageEvent = events.StageStarted | events.ReceiptRecorded | events.StageCompleted | events.StageAdvanced


def stage_id(run_id: str, ordinal: int, kind: events.StageKind) -> str:
    return f"{run_id}-stage-{ordinal}-{kind}"


def advance(program: Program, event: StageEvent) -> Program:
    """The program after one more event. Raises StageRefused with the original's error name."""
    match event:
        case events.StageStarted():
            return _start(program, event)
        case events.ReceiptRecorded():
            return _record(program, event)
        case events.StageCompleted():
            return _complete(program, event)
        case events.StageAdvanced():
            return _advance(program, event)


def fold(run_id: str, happened: Iterable[StageEvent]) -> Program:
    """The program after all these events. Raises StageRefused at the first that it does not have."""
    program = Program(run_id=run_id)
    for event in happened:
        program = advance(program, event)
    return program


def _active(program: Program) -> Stage:
    if not program.stages:
        raise StageRefused("NoActiveStage", f"run {program.run_id} has started no stage")
    return program.stages[-1]


def _replaced(program: Program, stage: Stage) -> Program:
    return msgspec.structs.replace(program, stages=(*program.stages[:-1], stage))


def _start(program: Program, event: events.StageStarted) -> Program:
    if is_blank(program.run_id):
        raise StageRefused("MissingRunId", "a stage program needs a run id")
    if is_blank(event.checkpoint_family):
        raise StageRefused("MissingCheckpointFamily", f"stage {event.stage_id} names no checkpoint family")
    if program.stages or event.ordinal != 1 or event.stage_kind not in _FIRST_KINDS:
        raise StageRefused(
            "InvalidInitialStage",
            f"a program starts once, with {' or '.join(_FIRST_KINDS)}; "
            f"not with {event.stage_kind} as stage {event.ordinal}",
        )
    return Program(
        run_id=program.run_id,
        checkpoint_family=event.checkpoint_family,
        stages=(_stage(program, event.stage_id, 1, event.stage_kind),),
    )


def _stage(program: Program, given: str, ordinal: int, kind: events.StageKind) -> Stage:
    expected = stage_id(program.run_id, ordinal, kind)
    if given != expected:
        raise StageRefused("StageIdMismatch", f"stage {ordinal} of this run is {expected}, not {given}")
    return Stage(stage_id=given, kind=kind, ordinal=ordinal)


def _record(program: Program, event: events.ReceiptRecorded) -> Program:
    stage = _active(program)
    if stage.kind != "pretrain":
        raise StageRefused("PretrainReceiptNotAllowed", f"the active stage is {stage.stage_id}")
    receipt = decode_receipt(event.document)
    if receipt.stage_id != stage.stage_id:
        raise StageRefused("PretrainReceiptStageMismatch", f"for {receipt.stage_id}, not {stage.stage_id}")
    if receipt.run_id != program.run_id:
        raise StageRefused("PretrainReceiptRunMismatch", f"for run {receipt.run_id}, not {program.run_id}")
    promoted = receipt.checkpoint_lineage.promoted_checkpoint
    if promoted.checkpoint_family != program.checkpoint_family:
        raise StageRefused(
            "CheckpointFamilyMismatch",
            f"promotes {promoted.checkpoint_family}, not {program.checkpoint_family}",
        )
    if event.sha256 != sha256(event.document.encode()):
        raise StageRefused(
            "PretrainReceiptDigestMismatch", f"its document does not have the sha256 {event.sha256.hex()}"
        )
    if any(event.sha256 == known.sha256 for known in stage.receipts):
        raise StageRefused("PretrainReceiptRecordedTwice", f"receipt {event.sha256.hex()} counts once")
    if stage.completed:
        raise StageRefused("PretrainReceiptAfterCompletion", f"stage {stage.stage_id} is completed")
    recorded = Recorded(
        sha256=event.sha256,
        checkpoint_ref=promoted.checkpoint_ref or "",
        stream_id=promoted.stream_id,
        object_digest=promoted.object_digest,
    )
    return _replaced(program, msgspec.structs.replace(stage, receipts=(*stage.receipts, recorded)))


def completion_digest(program: Program, stage: Stage, completed_at_ms: int) -> bytes:
    return bytes.fromhex(
        digests.stage_completion_digest(
            run_id=program.run_id,
            stage_id=stage.stage_id,
            stage_kind=stage.kind,
            trace_count=0,
            pretrain_run_count=len(stage.receipts),
            completed_at_ms=completed_at_ms,
        )
    )


def _complete(program: Program, event: events.StageCompleted) -> Program:
    stage = _active(program)
    if stage.kind == "pretrain" and not stage.receipts:
        raise StageRefused("StageRequiresPretrainRun", f"{stage.stage_id}: no receipt is recorded; record one first")
    if stage.completed or (event.stage_id, event.stage_kind, event.ordinal) != (
        stage.stage_id,
        stage.kind,
        stage.ordinal,
    ):
        raise StageRefused("StageCompletionMismatch", f"{event.stage_id} is not the stage to be completed now")
    if sorted(event.receipt_sha256s) != sorted(known.sha256 for known in stage.receipts):
        raise StageRefused(
            "CompletionReceiptsMismatch", f"{stage.stage_id}: completion names other receipts than recorded"
        )
    if event.completion_digest != completion_digest(program, stage, event.completed_at_ms):
        raise StageRefused("CompletionDigestMismatch", f"{stage.stage_id}: the completion digest is another's")
    return _replaced(program, msgspec.structs.replace(stage, completed=True))


def _advance(program: Program, event: events.StageAdvanced) -> Program:
    stage = _active(program)
    if not stage.completed:
        raise StageRefused("ActiveStageNotCompleted", f"complete {stage.stage_id} first")
    place = STAGE_ORDER.index(stage.kind) + 1
    if event.stage_kind not in STAGE_ORDER[place:] or event.from_stage_id != stage.stage_id:
        raise StageRefused("InvalidStageOrder", f"{event.stage_kind} does not follow {stage.kind}")
    if event.ordinal != stage.ordinal + 1:
        raise StageRefused("InvalidStageOrder", f"stage {event.ordinal} does not follow stage {stage.ordinal}")
    reference = templates.CHECKPOINT_REF.format(run_id=program.run_id, checkpoint_id=event.checkpoint_id)
    base = next((known for known in stage.receipts if known.checkpoint_ref == reference), None)
    if base is None:
        raise StageRefused("MissingBaseCheckpoint", f"no recorded receipt promoted {event.checkpoint_id}")
    if (event.promotion_digest, event.transition_digest) != advance_digests(program, event, base):
        raise StageRefused("TransitionDigestMismatch", f"{event.stage_id}: a digest of its advance is another's")
    following = _stage(program, event.stage_id, event.ordinal, event.stage_kind)
    return msgspec.structs.replace(program, stages=(*program.stages, following))


def advance_digests(program: Program, event: events.StageAdvanced, base: Recorded) -> tuple[bytes, bytes]:
    """The original's promotion and transition digests (32 bytes each) of an advance from `base`."""
    stage = program.stages[-1]
    promotion = digests.stage_promotion_digest(
        run_id=program.run_id, from_stage_id=stage.stage_id, from_kind=stage.kind, to_kind=event.stage_kind,
        checkpoint_family=program.checkpoint_family, stream_id=base.stream_id, object_digest=base.object_digest,
    )  # fmt: skip
    transition = digests.stage_transition_digest(
        run_id=program.run_id, previous_stage_id=stage.stage_id, next_stage_id=event.stage_id,
        next_kind=event.stage_kind, checkpoint=(base.stream_id, base.object_digest),
        transitioned_at_ms=event.advanced_at_ms,
    )  # fmt: skip
    return bytes.fromhex(promotion), bytes.fromhex(transition)


_STAGE_KINDS = ("stage_started", "receipt_recorded", "stage_completed", "stage_advanced")


def stage_events(run: Run) -> list[tuple[str, int, StageEvent]]:
    """The run's stage events as (stream, seq, event), in order."""
    found = []
    for kind in _STAGE_KINDS:
        table = run.con.sql(f"select * from {kind} where role <> 'verify'").to_arrow_table().to_pylist()
        for row in table:
            event: Any = events.KINDS[kind](**{name: row[name] for name in events.KINDS[kind].__struct_fields__})
            # Completion streams come behind all training.
            place = (completion_number(row["stream"]) or 0, row["attempt"], row["rank"], row["seq"])
            found.append((place, row["stream"], row["seq"], event))
    return [(stream, seq, event) for _, stream, seq, event in sorted(found, key=lambda item: item[0])]


def complete_stage(run_folder: Path, writer: Writer) -> events.StageCompleted:
    """Complete the active stage. Raises StageRefused unless every receipt recorded for it verifies here.

    The receipts are re-derived, as an audit would: it is the record that completes a stage, not its writer.
    """
    with Run(read(run_folder)) as run:
        program = fold(run.run_id, (event for _, _, event in stage_events(run)))
        stage = _active(program)
        for sha in (known.sha256 for known in stage.receipts):
            document = recorded_document(run, sha)
            try:
                differences = verify_receipt(run, document).differences
            except LedgerError as error:
                raise StageRefused("ReceiptDoesNotVerify", f"receipt {sha.hex()}: {error}") from error
            if differences:
                first = differences[0]
                raise StageRefused(
                    "ReceiptDoesNotVerify",
                    f"receipt {sha.hex()}, {first.pointer}: the ledger gives {first.expected}, it says {first.actual}",
                )
    completed_at_ms = time.time_ns() // 1_000_000
    event = events.StageCompleted(
        stage_id=stage.stage_id,
        stage_kind=stage.kind,
        ordinal=stage.ordinal,
        receipt_sha256s=[known.sha256 for known in stage.receipts],
        completed_at_ms=completed_at_ms,
        completion_digest=completion_digest(program, stage, completed_at_ms),
    )
    advance(program, event)
    writer.emit(event)
    return event


def recorded_document(run: Run, sha: bytes) -> bytes:
    found = run.first("select document from receipt_recorded where sha256 = ? limit 1", [sha])
    assert found is not None, "the fold saw this receipt"
    document: str = found[0]
    return document.encode()
