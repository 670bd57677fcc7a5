"""A stage is completed, and the program advances to the next; what is refused, in the original's order."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from psion_ledger.errors import StageRefused
from psion_ledger.program import Program, StageEvent, advance, fold
from psion_ledger.receipts import digests
from tests.ledgers import RUN_ID
from tests.program.stages import (
    ADVANCED,
    COMPLETED,
    EMPTY,
    RECORDED,
    STAGE,
    STARTED,
    advanced,
    completed,
    recorded,
    refusal,
    started,
)

# --- completing ----------------------------------------------------------------------------------------------------


def test_a_completion_needs_an_active_stage() -> None:
    """And it needs a receipt before anything else about it is looked at."""
    assert refusal(EMPTY, completed(EMPTY)) == "NoActiveStage"
    wrong = completed(STARTED, stage_id="another", completion_digest=bytes(32), receipt_sha256s=[bytes(32)])
    assert [refusal(STARTED, e) for e in (completed(STARTED), wrong)] == ["StageRequiresPretrainRun"] * 2


COMPLETING: list[tuple[str, dict[str, Any]]] = [
    ("StageCompletionMismatch", {"stage_id": "run-small-stage-2-pretrain"}),
    ("CompletionReceiptsMismatch", {"receipt_sha256s": [bytes(32)]}),
    ("CompletionDigestMismatch", {"completion_digest": bytes(32)}),
]


@pytest.mark.parametrize("first", range(len(COMPLETING)), ids=lambda n: COMPLETING[n][0])
def test_a_completion_that_says_something_else_is_refused(first: int) -> None:
    """Alone, and with every later rule broken as well."""
    code, alone = COMPLETING[first]
    changes = {name: value for _, later in COMPLETING[first:] for name, value in later.items()}
    assert [code, code] == [refusal(RECORDED, completed(RECORDED, **c)) for c in (alone, changes)]


@pytest.mark.parametrize("changes", [{"stage_kind": "rl"}, {"ordinal": 2}])
def test_a_completion_is_of_the_active_stage(changes: dict[str, Any]) -> None:
    """Its kind and number, too."""
    assert refusal(RECORDED, completed(RECORDED, **changes)) == "StageCompletionMismatch"


def test_a_stage_completes_once() -> None:
    """Whatever the second completion says."""
    assert refusal(COMPLETED, completed(COMPLETED)) == "StageCompletionMismatch"


@pytest.mark.parametrize("changes", [{"completed_at_ms": 6}, {"receipt_sha256s": [recorded().sha256] * 2}])
def test_a_completions_digest_is_validated_again(changes: dict[str, Any]) -> None:
    """Over its time, and over no receipt named twice."""
    assert refusal(RECORDED, completed(RECORDED, **changes)) in (
        "CompletionDigestMismatch",
        "CompletionReceiptsMismatch",
    )


def test_a_completions_digest_is_the_originals() -> None:
    """No trace, one receipt."""
    expected = digests.stage_completion_digest(
        run_id=RUN_ID, stage_id=STAGE, stage_kind="pretrain", trace_count=0, pretrain_run_count=1, completed_at_ms=5
    )
    assert expected == completed(RECORDED).completion_digest.hex()


# --- advancing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "program"),
    [("NoActiveStage", EMPTY), ("ActiveStageNotCompleted", STARTED), ("ActiveStageNotCompleted", RECORDED)],
)
def test_an_advance_needs_a_completed_stage(code: str, program: Program) -> None:
    """Before its kind or checkpoint is looked at."""
    wrong = advanced(program, stage_kind="pretrain", checkpoint_id="another")
    assert [code, code] == [refusal(program, event) for event in (advanced(program), wrong)]


ADVANCING: list[tuple[str, dict[str, Any]]] = [
    ("InvalidStageOrder", {"stage_kind": "pretrain"}),
    ("MissingBaseCheckpoint", {"checkpoint_id": "a0001-s000002"}),
    ("TransitionDigestMismatch", {"transition_digest": bytes(32)}),
    ("StageIdMismatch", {"stage_id": "run-small-stage-2-rl"}),
]


@pytest.mark.parametrize("first", range(len(ADVANCING)), ids=lambda n: ADVANCING[n][0])
def test_an_advance_is_refused_in_order(first: int) -> None:
    """Alone, and with every later rule broken as well."""
    code, alone = ADVANCING[first]
    changes = {name: value for _, later in ADVANCING[first:] for name, value in later.items()}
    assert [code, code] == [refusal(COMPLETED, advanced(COMPLETED, **c)) for c in (alone, changes)]


@pytest.mark.parametrize(
    "changes",
    [{"ordinal": 3}, {"ordinal": 1}, {"from_stage_id": "another"}, {"from_stage_id": "run-small-stage-2-general_sft"}],
)
def test_an_advance_is_from_the_active_stage_to_the_next(changes: dict[str, Any]) -> None:
    """By number and by the id that it came from."""
    assert refusal(COMPLETED, advanced(COMPLETED, **changes)) == "InvalidStageOrder"


@pytest.mark.parametrize("changes", [{"promotion_digest": bytes(32)}, {"transition_digest": bytes(32)}])
def test_an_advances_digests_are_validated_again(changes: dict[str, Any]) -> None:
    """Each by itself."""
    assert refusal(COMPLETED, advanced(COMPLETED, **changes)) == "TransitionDigestMismatch"


def test_an_advance_of_another_time_has_another_digest() -> None:
    """The digests of one do not serve the other."""
    event = msgspec.structs.replace(advanced(COMPLETED), advanced_at_ms=7)
    assert refusal(COMPLETED, event) == "TransitionDigestMismatch"


def test_only_a_pretrain_receipt_promotes() -> None:
    """From the second stage on nothing has promoted a checkpoint."""
    program = advance(ADVANCED, completed(ADVANCED))
    event = advanced(
        program,
        from_stage_id="run-small-stage-2-general_sft",
        stage_id="run-small-stage-3-rl",
        stage_kind="rl",
        ordinal=3,
    )
    assert refusal(program, event) == "MissingBaseCheckpoint"


@pytest.mark.parametrize("kind", ["pretrain", "general_sft"])
def test_kinds_do_not_go_back_or_repeat(kind: str) -> None:
    """Behind general_sft come agentic_sft and rl."""
    program = advance(ADVANCED, completed(ADVANCED))
    event = advanced(
        program, from_stage_id="run-small-stage-2-general_sft", stage_id=f"run-small-stage-3-{kind}", stage_kind=kind,
        ordinal=3,
    )  # fmt: skip
    assert refusal(program, event) == "InvalidStageOrder"


def test_a_fold_stops_at_the_first_refusal() -> None:
    """What comes after it is not looked at."""
    happened: Sequence[StageEvent] = [started(), completed(STARTED), recorded()]
    with pytest.raises(StageRefused, match=r"^StageRequiresPretrainRun: "):
        fold(RUN_ID, happened)
    assert fold(RUN_ID, [started(), recorded()]) == RECORDED
