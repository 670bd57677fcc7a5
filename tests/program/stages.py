"""The events of a stage program, true but for what a test changes, and the programs that they lead to."""

import json
from typing import Any

import msgspec
import pytest

from psion_ledger import events
from psion_ledger.digest import sha256
from psion_ledger.errors import StageRefused
from psion_ledger.program import Program, StageEvent, advance, advance_digests, completion_digest, fold
from tests.corpora import real_contracts
from tests.emitted import FAMILY
from tests.ledgers import RUN_ID
from tests.receipts.good_receipt import good_receipt

CONTRACTS = real_contracts()
STAGE = "run-small-stage-1-pretrain"


def started(**changes: Any) -> events.StageStarted:
    values: dict[str, Any] = {
        "stage_id": STAGE, "stage_kind": "pretrain", "ordinal": 1, "checkpoint_family": FAMILY,
        "config_sha256": sha256(b"config"), "base_checkpoint_id": None,
    }  # fmt: skip
    return events.StageStarted(**(values | changes))


def recorded(**changes: Any) -> events.ReceiptRecorded:
    """The good run's receipt with some fields changed: `a__b` is the field b of a."""
    document = good_receipt(CONTRACTS)
    for name, value in changes.items():
        *parents, last = name.split("__")
        target = document
        for parent in parents:
            target = target[parent]
        target[last] = value
    text = json.dumps(document)
    return events.ReceiptRecorded(
        schema_version="psion.pretrain_stage_receipt.v1", sha256=sha256(text.encode()), document=text,
        basis_entries=3, basis_head=sha256(b"head"), derivation_version=1,
    )  # fmt: skip


def completed(program: Program, **changes: Any) -> events.StageCompleted:
    stage = program.stages[-1] if program.stages else advance(Program(run_id=RUN_ID), started()).stages[-1]
    values: dict[str, Any] = {
        "stage_id": stage.stage_id, "stage_kind": stage.kind, "ordinal": stage.ordinal,
        "receipt_sha256s": [known.sha256 for known in stage.receipts], "completed_at_ms": 5,
        "completion_digest": completion_digest(program, stage, 5),
    }  # fmt: skip
    return events.StageCompleted(**(values | changes))


def advanced(program: Program, **changes: Any) -> events.StageAdvanced:
    values: dict[str, Any] = {
        "from_stage_id": STAGE, "stage_id": "run-small-stage-2-general_sft", "stage_kind": "general_sft", "ordinal": 2,
        "checkpoint_id": "a0001-s000004", "advanced_at_ms": 6, "promotion_digest": bytes(32),
        "transition_digest": bytes(32),
    }  # fmt: skip
    event = events.StageAdvanced(**(values | changes))
    if not program.stages or not program.stages[-1].receipts:
        return event
    promotion, transition = advance_digests(program, event, program.stages[-1].receipts[0])
    sealed = {"promotion_digest": promotion, "transition_digest": transition} | changes
    return msgspec.structs.replace(event, **sealed)


EMPTY = Program(run_id=RUN_ID)
STARTED = fold(RUN_ID, [started()])
RECORDED = fold(RUN_ID, [started(), recorded()])
COMPLETED = advance(RECORDED, completed(RECORDED))
ADVANCED = advance(COMPLETED, advanced(COMPLETED))


def refusal(program: Program, event: StageEvent) -> str:
    with pytest.raises(StageRefused) as refused:
        advance(program, event)
    assert str(refused.value).startswith(f"{refused.value.code}: ")
    assert "\n" not in str(refused.value)
    return refused.value.code
