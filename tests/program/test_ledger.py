"""A stage is completed in a ledger, behind the gate: every receipt that it recorded must verify."""

import json
from pathlib import Path
from typing import Any

import pytest

from psion_ledger import events, log, open_run
from psion_ledger.completion import open_completion
from psion_ledger.errors import StageRefused
from psion_ledger.program import complete_stage, fold, stage_events
from tests.edits import inserted, without
from tests.ledgers import COMPLETION, RANK0, RUN_ID, Mark, Script, complete, good_run, opened, record, write_ledger
from tests.program.stages import CONTRACTS, STAGE, started
from tests.receipts.forging import forged
from tests.receipts.good_receipt import good_receipt


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
