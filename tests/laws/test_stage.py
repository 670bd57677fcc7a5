"""The stage laws, each on a ledger that breaks it: identity, program, receipts, end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from psion_ledger import events, log
from psion_ledger.contracts import Contracts
from psion_ledger.contracts.codec import encode_document
from psion_ledger.digest import sha256
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from psion_ledger.receipts import derive_receipt
from psion_ledger.receipts.documents import PretrainStageReceipt
from tests.documents import changed, config_of
from tests.edits import edited, inserted, place
from tests.emitted import batch, completed, declared, measured, started, written
from tests.laws import OTHER, SECOND, STAGE, completion, findings, status, with_change
from tests.ledgers import (
    COMPLETION,
    RANK0,
    Script,
    beginning,
    close,
    complete,
    good_run,
    opened,
    record,
    seal,
    trained_run,
)


def ending_with(contracts: Contracts, *last: events.Event) -> Script:
    """A trained run whose last events before its finish are these; event 1 of its completion is the first of them."""
    script = trained_run(contracts)
    return [*script[:-1], *((COMPLETION, event) for event in last), script[-1]]


def a_receipt(document: str = "{}", digest: bytes | None = None) -> events.ReceiptRecorded:
    return events.ReceiptRecorded(
        schema_version="psion.pretrain_stage_receipt.v1", sha256=digest or sha256(document.encode()),
        document=document, basis_entries=1, basis_head=OTHER, derivation_version=1,
    )  # fmt: skip


def test_a_completion_without_a_receipt_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The stage is completed on nothing."""
    assert findings(tmp_path, ending_with(contracts, completion()), "completion_rests_on_receipts") == [
        (STAGE, 1, COMPLETION, "receipts recorded before seq 1", "no receipt")
    ]


def test_a_completion_on_an_unrecorded_receipt_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The stage is completed on a receipt that is not in the ledger."""
    script = ending_with(contracts, completion(OTHER))
    assert findings(tmp_path, script, "completion_rests_on_receipts") == [
        (STAGE, 1, COMPLETION, "receipts recorded before seq 1", f"receipt {OTHER.hex()} was never recorded")
    ]


def test_a_receipt_behind_its_completion_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The receipt is recorded only after the stage was completed on it."""
    receipt = a_receipt()
    script = ending_with(contracts, completion(receipt.sha256), receipt)
    assert findings(tmp_path, script, "completion_rests_on_receipts") == [
        (
            STAGE,
            1,
            COMPLETION,
            "receipts recorded before seq 1",
            f"receipt {receipt.sha256.hex()} was never recorded",
        )
    ]


def test_a_receipt_of_another_digest_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The completion names a digest that the recorded document does not have."""
    script = ending_with(contracts, a_receipt(digest=OTHER), completion(OTHER))
    assert findings(tmp_path, script, "completion_rests_on_receipts") == [
        (STAGE, 2, COMPLETION, "receipts recorded before seq 2", f"receipt {OTHER.hex()} at seq 1")
    ]


def late_events(contracts: Contracts) -> list[events.Event]:
    removed = events.CheckpointRemoved(checkpoint_id="a0001-s000000", reason="space")
    return [
        batch(contracts, 5, 1, 0, 0),
        completed(contracts, 5),
        measured(contracts, 1, 4)[0],
        declared(contracts)[0],
        written(contracts, 1, 5, "a0001-s000004"),
        removed,
        a_receipt(),
        started(contracts, 1, 4, "a0001-s000004"),
    ]


@pytest.mark.parametrize("which", range(8))
def test_training_behind_the_completion_is_found(tmp_path: Path, contracts: Contracts, which: int) -> None:
    """Something of training is added to a stage that was completed."""
    late = late_events(contracts)[which]
    kind = str(late.__struct_config__.tag)
    script = ending_with(contracts, completion(), late)
    assert findings(tmp_path, script, "nothing_follows_completion") == [
        (kind, 2, COMPLETION, f"nothing after seq 1 of {COMPLETION}", f"{kind} at seq 2 of {COMPLETION}")
    ]


def test_another_attempt_behind_the_completion_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A new attempt goes on training a completed stage."""
    script = [*ending_with(contracts, completion()), (COMPLETION, close), (COMPLETION, seal)]
    script += [(SECOND, opened(attempt=2)), (SECOND, started(contracts, 1, 4, "a0001-s000004"))]
    assert findings(tmp_path, script, "nothing_follows_completion") == [
        (
            "attempt_started",
            1,
            SECOND,
            f"nothing after seq 1 of {COMPLETION}",
            f"attempt_started at seq 1 of {SECOND}",
        )
    ]


def test_another_completion_that_only_finishes_may_follow(tmp_path: Path, contracts: Contracts) -> None:
    """Killed between completion and finish, the next process opens its own completion stream and finishes."""
    script = [*ending_with(contracts, completion())[:-1], (COMPLETION, close), (COMPLETION, seal)]
    finished = events.RunFinished(outcome="completed", reason=None)
    script += [("c.2", opened(role="complete")), ("c.2", finished)]
    assert status(tmp_path, script, "nothing_follows_completion") == "held"


def test_a_receipt_of_a_later_completion_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The stage is completed, and another process records a receipt."""
    script = [*ending_with(contracts, completion())[:-1], (COMPLETION, close), (COMPLETION, seal)]
    script += [("c.2", opened(role="complete")), ("c.2", a_receipt())]
    assert findings(tmp_path, script, "nothing_follows_completion") == [
        ("receipt_recorded", 1, "c.2", f"nothing after seq 1 of {COMPLETION}", "receipt_recorded at seq 1 of c.2")
    ]


def altered(
    change: Callable[[PretrainStageReceipt], PretrainStageReceipt],
) -> Callable[[Path, log.Writer], None]:
    """Record a receipt that was changed after it was derived, under the digest of its changed text."""

    def record_altered(folder: Path, writer: log.Writer) -> None:
        basis = len(read(folder).manifest.entries)
        with Run(read(folder, as_of=basis)) as run:
            document = encode_document(change(derive_receipt(run)))
            head = run.record.manifest.head()
        writer.emit(msgspec.structs.replace(a_receipt(document), basis_entries=basis, basis_head=head))

    return record_altered


def with_record(script: Script, mark: Callable[[Path, log.Writer], object]) -> Script:
    """The good run's script up to its receipt, and that one recorded by `mark`."""
    at = next(i for i, (_, step) in enumerate(script) if step is record)
    return [*script[:at], (COMPLETION, mark), (COMPLETION, close)]


def test_a_receipt_with_a_typed_in_value_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """Somebody betters a loss in the receipt before it is recorded."""
    mark = altered(lambda receipt: changed(receipt, {"/source_family_reports/0/mean_next_token_loss_milli": 4}))
    assert findings(tmp_path, with_record(good_run(contracts), mark), "receipts_rederive") == [
        ("/source_family_reports/0/mean_next_token_loss_milli", 1, COMPLETION, "5001", "4")
    ]


def test_a_receipt_on_a_basis_that_is_not_there_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A receipt names more manifest entries than there are."""

    def mark(folder: Path, writer: log.Writer) -> None:
        known = read(folder)
        with Run(known) as run:
            document = encode_document(derive_receipt(run))
        writer.emit(msgspec.structs.replace(a_receipt(document), basis_entries=7, basis_head=known.manifest.head()))

    assert findings(tmp_path, with_record(good_run(contracts), mark), "receipts_rederive") == [
        ("/", 1, COMPLETION, "7 manifest entries", "3 entries")
    ]


def test_a_receipt_on_another_basis_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The manifest that a receipt was derived from is not the one that is there now."""

    def mark(folder: Path, writer: log.Writer) -> None:
        with Run(read(folder)) as run:
            document = encode_document(derive_receipt(run))
        writer.emit(msgspec.structs.replace(a_receipt(document), basis_entries=3))

    script = with_record(good_run(contracts), mark)
    ((*found, actual),) = findings(tmp_path, script, "receipts_rederive")
    assert found == ["/", 1, COMPLETION, OTHER.hex()]
    assert actual == read(tmp_path / "ledger" / "run-small", as_of=3).manifest.head().hex()


@pytest.mark.parametrize(
    ("promised", "other", "subject", "actual"),
    [
        ("pretrain", "general_sft", STAGE, f"general_sft {STAGE}"),
        (STAGE, "pretraining", "pretraining", "pretrain pretraining"),
    ],
)
def test_a_stage_config_of_another_stage_is_found(
    tmp_path: Path, contracts: Contracts, promised: str, other: str, subject: str, actual: str
) -> None:
    """The config promises a stage of another kind, or under an id that run and place do not give."""
    text = encode_document(config_of(contracts)).replace(f'"{promised}"', f'"{other}"')
    script = edited(beginning(contracts), events.ContractDeclared, document=text)
    expected = "pretrain run-small-stage-1-pretrain, ordinal 1"
    found = findings(tmp_path, script, "stage_is_pretrain")
    assert found == [(subject, 8, RANK0, expected, f"{actual}; started: pretrain {STAGE}, ordinal 1")]


@pytest.mark.parametrize(
    ("changes", "actual"),
    [
        ({"stage_kind": "general_sft"}, f"general_sft {STAGE}, ordinal 1"),
        ({"stage_id": "another"}, "pretrain another, ordinal 1"),
        ({"ordinal": 2}, f"pretrain {STAGE}, ordinal 2"),
        ({"config_sha256": OTHER}, f"pretrain {STAGE}, ordinal 1"),
    ],
)
def test_starting_another_stage_than_promised_is_found(
    tmp_path: Path, contracts: Contracts, changes: dict[str, Any], actual: str
) -> None:
    """The stage that was started is not the one that the config promises, or has another config."""
    script = edited(beginning(contracts), events.StageStarted, **changes)
    expected = "pretrain run-small-stage-1-pretrain, ordinal 1"
    assert findings(tmp_path, script, "stage_is_pretrain") == [
        (STAGE, 8, RANK0, expected, f"pretrain {STAGE}; started: {actual}")
    ]


def test_a_stage_of_another_run_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The config was written for another run."""
    other = with_change(contracts, "stage_config", "/run_id", "another-run")
    assert findings(tmp_path, beginning(other), "stage_names_its_run") == [
        (STAGE, 2, RANK0, "run-small", "another-run")
    ]


def test_a_completion_that_the_program_refuses_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The stage is completed before any receipt is recorded."""
    script = ending_with(contracts, completion())
    assert findings(tmp_path, script, "stage_program_is_followed") == [
        (
            "StageRequiresPretrainRun",
            1,
            COMPLETION,
            "a transition of the stage program",
            f"StageRequiresPretrainRun: {STAGE}: no receipt is recorded; record one first",
        )
    ]


def test_a_second_start_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The stage is started twice."""
    script = beginning(contracts)
    again = script[place(script, events.StageStarted)][1]
    assert isinstance(again, events.StageStarted)
    assert findings(tmp_path, inserted(script, again, after=events.StageStarted), "stage_program_is_followed") == [
        (
            "InvalidInitialStage",
            9,
            RANK0,
            "a transition of the stage program",
            "InvalidInitialStage: a program starts once, with pretrain or general_sft; not with pretrain as stage 1",
        )
    ]


def test_a_forged_completion_digest_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A completion names the recorded receipt, and has a digest of its own making."""

    def forge(folder: Path, writer: log.Writer) -> None:
        with Run(read(folder)) as run:
            row = run.first("select sha256 from receipt_recorded")
        assert row is not None
        writer.emit(completion(row[0]))

    script: Script = [(name, forge if step is complete else step) for name, step in good_run(contracts)]
    assert findings(tmp_path, script, "stage_program_is_followed") == [
        (
            "CompletionDigestMismatch",
            2,
            COMPLETION,
            "a transition of the stage program",
            f"CompletionDigestMismatch: {STAGE}: the completion digest is another's",
        )
    ]
