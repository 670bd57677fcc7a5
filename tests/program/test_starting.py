"""A stage program starts and takes receipts; what is refused, in the original's order, and where it all leads."""

from typing import Any

import msgspec
import pytest

from psion_ledger import events
from psion_ledger.errors import ContractRefused
from psion_ledger.program import Program, advance, stage_id
from tests.emitted import FAMILY
from tests.ledgers import RUN_ID
from tests.program.stages import (
    ADVANCED,
    COMPLETED,
    EMPTY,
    RECORDED,
    STAGE,
    STARTED,
    completed,
    recorded,
    refusal,
    started,
)


def test_a_program_goes_from_start_to_the_next_stage() -> None:
    """Started, receipt recorded, completed, advanced: what it holds at the end."""
    first, second = ADVANCED.stages
    receipt = first.receipts[0]
    assert (first.stage_id, first.kind, first.ordinal, first.completed) == (STAGE, "pretrain", 1, True)
    assert (
        receipt.checkpoint_ref, receipt.stream_id,
    ) == ("checkpoint://run-small/a0001-s000004", "run-small.a0001-s000004")  # fmt: skip
    assert (
        second.stage_id, second.kind, second.ordinal, second.receipts, second.completed,
    ) == ("run-small-stage-2-general_sft", "general_sft", 2, (), False)  # fmt: skip
    assert ADVANCED.checkpoint_family == FAMILY


@pytest.mark.parametrize(
    ("ordinal", "kind", "expected"),
    [(1, "pretrain", "r-stage-1-pretrain"), (12, "agentic_sft", "r-stage-12-agentic_sft"), (2, "rl", "r-stage-2-rl")],
)
def test_stage_ids_are_the_originals(ordinal: int, kind: events.StageKind, expected: str) -> None:
    """`{run_id}-stage-{n}-{kind}`, n from 1."""
    assert expected == stage_id("r", ordinal, kind)


# --- starting: each change breaks one rule; with those after it broken too, the first is still the answer -----------

STARTING: list[tuple[str, str, dict[str, Any]]] = [
    ("MissingRunId", "\u3000", {}),
    ("MissingCheckpointFamily", RUN_ID, {"checkpoint_family": "\x85 "}),
    ("InvalidInitialStage", RUN_ID, {"stage_kind": "rl"}),
    ("StageIdMismatch", RUN_ID, {"stage_id": "run-small-stage-1-general_sft"}),
]


@pytest.mark.parametrize("first", range(len(STARTING)), ids=lambda n: STARTING[n][0])
def test_a_start_is_refused_in_the_originals_order(first: int) -> None:
    """Alone, and with every later rule broken as well."""
    code, run_id, alone = STARTING[first]
    changes: dict[str, Any] = {}
    for _, _, later in reversed(STARTING[first:]):
        changes |= later
    assert [code, code] == [refusal(Program(run_id=run_id), started(**c)) for c in (alone, changes)]


@pytest.mark.parametrize("kind", ["agentic_sft", "rl"])
def test_a_program_begins_with_pretrain_or_general_sft(kind: str) -> None:
    """No other kind comes first."""
    assert refusal(EMPTY, started(stage_kind=kind, stage_id=f"{RUN_ID}-stage-1-{kind}")) == "InvalidInitialStage"


def test_a_program_may_begin_with_general_sft() -> None:
    """It needs no receipt to be completed, and takes none."""
    program = advance(EMPTY, started(stage_kind="general_sft", stage_id=f"{RUN_ID}-stage-1-general_sft"))
    assert refusal(program, recorded()) == "PretrainReceiptNotAllowed"
    assert advance(program, completed(program)).stages[-1].completed


@pytest.mark.parametrize("ordinal", [2, 100])
def test_the_first_stage_is_number_one(ordinal: int) -> None:
    """Whatever its id says."""
    event = started(ordinal=ordinal, stage_id=f"{RUN_ID}-stage-{ordinal}-pretrain")
    assert refusal(EMPTY, event) == "InvalidInitialStage"


@pytest.mark.parametrize("program", [STARTED, COMPLETED, ADVANCED])
def test_a_program_starts_once(program: Program) -> None:
    """Later stages begin by advancing."""
    assert refusal(program, started()) == "InvalidInitialStage"


# --- recording -----------------------------------------------------------------------------------------------------

RECORDING: list[tuple[str, dict[str, Any]]] = [
    ("PretrainReceiptStageMismatch", {"stage_id": "run-small-stage-2-pretrain"}),
    ("PretrainReceiptRunMismatch", {"run_id": "another"}),
    ("CheckpointFamilyMismatch", {"checkpoint_lineage__promoted_checkpoint__checkpoint_family": "another"}),
]


@pytest.mark.parametrize("first", range(len(RECORDING)), ids=lambda n: RECORDING[n][0])
def test_a_receipt_is_refused_in_the_originals_order(first: int) -> None:
    """Alone, and with every later rule broken as well."""
    code, alone = RECORDING[first]
    changes = {name: value for _, later in RECORDING[first:] for name, value in later.items()}
    assert [code, code] == [refusal(STARTED, recorded(**c)) for c in (alone, changes)]


@pytest.mark.parametrize(("code", "program"), [("NoActiveStage", EMPTY), ("PretrainReceiptNotAllowed", ADVANCED)])
def test_a_receipt_needs_an_active_pretrain_stage(code: str, program: Program) -> None:
    """Before it is even looked at: everything else about this one is wrong too."""
    changes = {name: value for _, wrong in RECORDING for name, value in wrong.items()}
    assert [code, code] == [refusal(program, event) for event in (recorded(), recorded(**changes))]


def test_a_receipt_counts_once() -> None:
    """The original records the same one twice."""
    assert refusal(RECORDED, recorded()) == "PretrainReceiptRecordedTwice"


def test_another_receipt_of_the_stage_counts_beside_the_first() -> None:
    """Two receipts, both of which completion must name."""
    program = advance(RECORDED, recorded(summary="another"))
    assert len(program.stages[-1].receipts) == 2
    one = [program.stages[-1].receipts[0].sha256]
    assert refusal(program, completed(program, receipt_sha256s=one)) == "CompletionReceiptsMismatch"
    assert advance(program, completed(program)).stages[-1].completed


def test_a_completed_stage_takes_no_receipt() -> None:
    """Another than the one that it was completed with."""
    assert refusal(COMPLETED, recorded(summary="another")) == "PretrainReceiptAfterCompletion"


@pytest.mark.parametrize("document", ["", "{}", "[]", '{"schema_version": "psion.pretrain_stage_receipt.v2"}'])
def test_a_document_that_is_no_receipt_is_refused(document: str) -> None:
    """As any malformed document is."""
    with pytest.raises(ContractRefused):
        advance(STARTED, msgspec.structs.replace(recorded(), document=document))


def test_a_receipt_is_known_by_the_sha256_of_its_bytes() -> None:
    """An event that gives another digest for its document is refused."""
    event = msgspec.structs.replace(recorded(), sha256=bytes(32))
    assert refusal(STARTED, event) == "PretrainReceiptDigestMismatch"
