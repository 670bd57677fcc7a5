"""The stage program: its order, its refusals in the original's order, and the gate before completion."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from psion_ledger import events, log, open_run
from psion_ledger.completion import open_completion
from psion_ledger.digest import sha256
from psion_ledger.errors import ContractRefused, StageRefused
from psion_ledger.program import (
    Program,
    StageEvent,
    advance,
    advance_digests,
    complete_stage,
    completion_digest,
    fold,
    stage_events,
    stage_id,
)
from psion_ledger.receipts import digests
from tests.corpora import real_contracts
from tests.edits import inserted, without
from tests.emitted import FAMILY
from tests.ledgers import COMPLETION, RANK0, RUN_ID, Mark, Script, complete, good_run, opened, record, write_ledger
from tests.receipts.forging import forged
from tests.receipts.good_receipt import good_receipt

CONTRACTS = real_contracts()
STAGE = "run-small-stage-1-pretrain"
PROMOTED = "/checkpoint_lineage/promoted_checkpoint"


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


# --- over a ledger -------------------------------------------------------------------------------------------------


def until_complete(mark: Mark | None) -> Script:
    """The good run with `mark` where it records its receipt; then it completes its stage and ends there."""
    script = good_run(CONTRACTS)
    marks: Script = [] if mark is None else [(COMPLETION, mark)]
    return [*script[: script.index((COMPLETION, record))], *marks, (COMPLETION, complete)]


def completions(ledger: Path) -> list[tuple[Any, ...]]:
    with open_run(ledger, RUN_ID) as run:
        return run.con.sql("select stage_id, ordinal, receipt_sha256s from stage_completed").fetchall()


def test_a_stage_completes_on_a_receipt_that_verifies(tmp_path: Path) -> None:
    """The completion names the receipt's bytes, and the fold over the ledger takes it."""
    write_ledger(tmp_path, until_complete(record))
    with open_run(tmp_path, RUN_ID) as run:
        row = run.first("select sha256 from receipt_recorded")
        (stage,) = fold(RUN_ID, [event for _, _, event in stage_events(run)]).stages
    assert row is not None
    assert [(STAGE, 1, [row[0]])] == completions(tmp_path)
    assert (True, [row[0]]) == (stage.completed, [known.sha256 for known in stage.receipts])


def refused_completion(ledger: Path, script: Script) -> StageRefused:
    with pytest.raises(StageRefused) as refused:
        write_ledger(ledger, script)
    assert completions(ledger) == []
    return refused.value


def test_a_stage_without_a_receipt_does_not_complete(tmp_path: Path) -> None:
    """Nothing is emitted, and the message says what is missing."""
    refused = refused_completion(tmp_path, until_complete(None))
    assert refused.code == "StageRequiresPretrainRun"
    assert "no receipt is recorded; record one first" in str(refused)


def test_a_stage_that_was_never_started_does_not_complete(tmp_path: Path) -> None:
    """There is no active one."""
    script = without(until_complete(None), events.StageStarted)
    assert refused_completion(tmp_path, script).code == "NoActiveStage"


def test_a_stage_does_not_complete_on_a_receipt_that_the_ledger_does_not_give(tmp_path: Path) -> None:
    """One field of it was typed in; it is named, with both values."""
    document = good_receipt(CONTRACTS)
    document["source_family_reports"][0]["mean_next_token_loss_milli"] = 1
    text = json.dumps(document, indent=2) + "\n"
    refused = refused_completion(tmp_path, until_complete(forged(text)))
    assert refused.code == "ReceiptDoesNotVerify"
    pointer = "/source_family_reports/0/mean_next_token_loss_milli"
    assert f", {pointer}: the ledger gives 5001, it says 1" in str(refused)


def test_a_stage_does_not_complete_on_a_basis_that_is_not_there(tmp_path: Path) -> None:
    """The receipt's text is right, its event is not."""
    refused = refused_completion(tmp_path, until_complete(forged(basis_head=bytes(32))))
    assert refused.code == "ReceiptDoesNotVerify"


@pytest.mark.slow
def test_one_receipt_that_does_not_verify_holds_up_the_other(tmp_path: Path) -> None:
    """Completion rests on all that were recorded."""
    document = json.dumps(good_receipt(CONTRACTS) | {"summary": "another"}, indent=2) + "\n"

    def both(folder: Path, writer: log.Writer) -> None:
        record(folder, writer)
        forged(document)(folder, writer)

    refused = refused_completion(tmp_path, until_complete(both))
    assert refused.code == "ReceiptDoesNotVerify"
    assert "/summary" in str(refused)


def test_a_receipt_of_a_later_derivation_completes_nothing(tmp_path: Path) -> None:
    """What cannot be checked here does not count."""
    refused = refused_completion(tmp_path, until_complete(forged(derivation_version=2)))
    assert refused.code == "ReceiptDoesNotVerify"


def test_a_stage_completes_once_in_a_ledger(tmp_path: Path) -> None:
    """The next completion stream goes on from what the first recorded: it is refused and adds nothing."""
    folder = write_ledger(tmp_path, until_complete(record))
    with (
        open_completion(folder, 1) as writer,
        pytest.raises(StageRefused, match=r"^StageCompletionMismatch"),
    ):
        complete_stage(folder, writer)
    assert len(completions(tmp_path)) == 1


@pytest.mark.slow
def test_stage_events_are_read_in_their_order(tmp_path: Path) -> None:
    """Completion behind training, by seq; those of verification streams are nobody's stage."""
    stray = inserted(good_run(CONTRACTS), started(stage_id="stray"), after=events.VerificationStarted)
    write_ledger(tmp_path, stray)
    with open_run(tmp_path, RUN_ID) as run:
        found = stage_events(run)
    assert [
        (RANK0, events.StageStarted),
        (COMPLETION, events.ReceiptRecorded),
        (COMPLETION, events.StageCompleted),
    ] == [(stream, type(event)) for stream, _, event in found]
    assert found[1][1] < found[2][1]


def test_completion_streams_are_read_by_their_number(tmp_path: Path) -> None:
    """The tenth goes on from what the second recorded, though its name sorts before."""
    script = good_run(CONTRACTS)
    start = opened(role="complete")
    streams: Script = [("c.2", start), ("c.2", record), ("c.10", start), ("c.10", complete)]
    write_ledger(tmp_path, [*script[: script.index((COMPLETION, record)) - 1], *streams])
    with open_run(tmp_path, RUN_ID) as run:
        assert [stream for stream, _, _ in stage_events(run)] == [RANK0, "c.2", "c.10"]
    assert len(completions(tmp_path)) == 1
