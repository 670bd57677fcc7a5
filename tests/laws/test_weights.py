"""The lineage laws of weights, each on a ledger that breaks it: files, updates, promotion."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from psion_ledger import events
from psion_ledger.contracts import BaseCheckpoint, BaseRun, CheckpointReference, Contracts, encode_document
from psion_ledger.digest import sha256
from tests.corpora import real_contracts
from tests.edits import edited, inserted, place, without
from tests.emitted import checkpoint_id, promoted, weights, written
from tests.laws import OTHER, SECOND, findings, status, violations, write_artifacts
from tests.ledgers import RANK0, RUN_ID, Script, good_run, resumed_run, trained_run, write_ledger


def test_a_finished_run_that_promoted_nothing_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """Everything else is there."""
    script = without(good_run(contracts), events.CheckpointPromoted)
    assert findings(tmp_path, script, "promotion_names_a_written_checkpoint")[0][0] == "promotion"


def weights_file(tmp_path: Path) -> Path:
    return tmp_path / "artifacts" / RUN_ID / "checkpoints" / checkpoint_id(1, 4) / "model.safetensors"


def test_promoted_weights_that_changed_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """Somebody replaced the promoted checkpoint's weights on disk."""
    write_artifacts(tmp_path / "artifacts", contracts)
    other = bytes(len(weights(4)))
    weights_file(tmp_path).write_bytes(other)
    path = "checkpoints/a0001-s000004/model.safetensors"
    assert findings(tmp_path, trained_run(contracts), "checkpoint_files_hold_their_digests") == [
        (path, 39, RANK0, sha256(weights(4)).hex(), sha256(other).hex())
    ]


def test_weights_of_another_kept_checkpoint_that_changed_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """Not the promoted one was replaced, but one that a resume would go on from."""
    write_artifacts(tmp_path / "artifacts", contracts)
    path = weights_file(tmp_path).parents[1] / checkpoint_id(1, 2) / "model.safetensors"
    path.write_bytes(bytes(len(weights(2))))
    found = findings(tmp_path, trained_run(contracts), "checkpoint_files_hold_their_digests")
    assert [(row[0], row[1]) for row in found] == [("checkpoints/a0001-s000002/model.safetensors", 27)]


@pytest.mark.parametrize("how", ["removed", "not at hand", "overwritten"])
def test_a_checkpoint_that_is_not_kept_is_not_asked_for(tmp_path: Path, contracts: Contracts, how: str) -> None:
    """It was removed and said so, it was never copied here, or a later one was written over it."""
    write_artifacts(tmp_path / "artifacts", contracts)
    folder = weights_file(tmp_path).parents[1] / checkpoint_id(1, 2)
    script = trained_run(contracts)
    if how == "removed":
        (folder / "model.safetensors").write_bytes(b"of something else")
        removed = events.CheckpointRemoved(checkpoint_id=checkpoint_id(1, 2), reason="room")
        script = inserted(script, removed, after=events.CheckpointWritten, nth=2)
    elif how == "not at hand":
        (folder / "model.safetensors").unlink()
    else:
        path = f"checkpoints/{checkpoint_id(1, 2)}/model.safetensors"
        (folder / "model.safetensors").write_bytes(weights(4))
        (last,) = written(contracts, 1, 4, None).files
        files = [msgspec.structs.replace(last, path=path)]
        script = edited(script, events.CheckpointWritten, nth=2, files=files)
    assert status(tmp_path, script, "checkpoint_files_hold_their_digests") == "held"


def stuck(contracts: Contracts) -> Script:
    """A run whose checkpoint of step 4 has the weights of that of step 2."""
    files = [msgspec.structs.replace(written(contracts, 1, 4, None).files[0], sha256=sha256(weights(2)))]
    return edited(trained_run(contracts), events.CheckpointWritten, nth=2, files=files)


def test_updates_that_leave_the_weights_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """Two steps updated a float32 model with a rate and a norm above 0, and its weights are what they were."""
    assert findings(tmp_path, stuck(contracts), "updates_change_the_weights") == [
        (
            "a0001-s000004",
            39,
            RANK0,
            "other weights than a0001-s000002 of step 2, for step 3 updated them",
            "the same weights at step 4",
        )
    ]


def test_weights_that_were_never_written_cannot_be_compared(tmp_path: Path, contracts: Contracts) -> None:
    """The checkpoint that was promoted is not there: nobody knows whether the updates changed it."""
    script = without(good_run(contracts), events.CheckpointWritten, nth=2)
    assert findings(tmp_path, script, "updates_change_the_weights") == [
        ("a0001-s000004", None, None, "weights to compare", "never written")
    ]


@pytest.mark.parametrize("changes", [{"updated": False}, {"learning_rate": 0.0}, {"grad_norm": 0.0}], ids=str)
def test_steps_that_update_nothing_may_leave_the_weights(
    tmp_path: Path, contracts: Contracts, changes: dict[str, Any]
) -> None:
    """The optimizer refused both steps between, or had no rate, or no gradient."""
    script = stuck(contracts)
    for nth in (2, 3):
        script = edited(script, events.StepCompleted, nth=nth, **changes)
    assert status(tmp_path, script, "updates_change_the_weights") == "held"


def test_a_promoted_file_that_is_gone_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """One of two files of the promoted checkpoint was deleted."""
    write_artifacts(tmp_path / "artifacts", contracts)
    files = [
        *written(contracts, 1, 4, None).files,
        events.CheckpointFile(path="optimizer.pt", bytes=3, sha256=OTHER, role="optimizer"),
    ]
    script = edited(trained_run(contracts), events.CheckpointWritten, nth=2, files=files)
    assert findings(tmp_path, script, "checkpoint_files_hold_their_digests") == [
        ("optimizer.pt", 39, RANK0, OTHER.hex(), "missing")
    ]


def test_files_that_are_not_at_hand_are_skipped(tmp_path: Path, contracts: Contracts) -> None:
    """The ledger was copied without the artifacts: nothing is said of the files."""
    assert status(tmp_path, trained_run(contracts), "checkpoint_files_hold_their_digests") == "skipped"


FINAL = f"step 4, weights {sha256(weights(4)).hex()}"


def test_promoting_what_was_never_written_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The promoted checkpoint is not of this run."""
    script = edited(trained_run(contracts), events.CheckpointPromoted, checkpoint_id="downloaded")
    assert findings(tmp_path, script, "promotion_names_a_written_checkpoint") == [
        (
            "downloaded",
            40,
            RANK0,
            "step 4, weights never written",
            f"no step, weights {sha256(weights(4)).hex()}",
        )
    ]


def test_promoting_other_weights_than_were_written_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The weights read back at promotion are not those that were written."""
    script = edited(trained_run(contracts), events.CheckpointPromoted, object_sha256=OTHER)
    assert findings(tmp_path, script, "promotion_names_a_written_checkpoint") == [
        ("a0001-s000004", 40, RANK0, FINAL, f"step 4, weights {OTHER.hex()}")
    ]


def test_promoting_before_the_horizon_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The checkpoint of step 2 is promoted, where four steps were promised."""
    early = msgspec.structs.asdict(promoted(1, 2))
    script = edited(trained_run(contracts), events.CheckpointPromoted, **early)
    digest = sha256(weights(2)).hex()
    assert findings(tmp_path, script, "promotion_names_a_written_checkpoint") == [
        ("a0001-s000002", 40, RANK0, f"step 4, weights {digest}", f"step 2, weights {digest}")
    ]


def best(contracts: Contracts, promoted_step: int, low_step: int, **changes: Any) -> Script:
    """A run that promotes by the lowest validation loss, which the evaluation of one of its steps has."""
    script = trained_run(contracts)
    for nth in range(15):
        at = place(script, events.SplitLossMeasured, nth=nth)
        event = script[at][1]
        assert isinstance(event, events.SplitLossMeasured)
        if event.step == low_step and event.split_name == "validation":
            script = edited(script, events.SplitLossMeasured, nth=nth, loss_sum_nanonats=1)
    chosen: dict[str, Any] = msgspec.structs.asdict(promoted(1, promoted_step))
    chosen |= {"criterion": "lowest_loss", "criterion_split": "validation"}
    return edited(script, events.CheckpointPromoted, **(chosen | changes))


@pytest.mark.parametrize("step", [0, 2, 4])
def test_the_best_checkpoint_by_its_criterion_may_be_promoted(tmp_path: Path, contracts: Contracts, step: int) -> None:
    """The lowest validation loss was measured at this step, before or at the horizon."""
    script = best(contracts, step, step, evaluation_id=f"e0001-s{step:06}")
    assert status(tmp_path / "one", script, "promotion_names_a_written_checkpoint") == "held"
    assert status(tmp_path / "other", script, "promotion_rests_on_its_evaluation") == "held"


def test_promoting_another_than_the_best_checkpoint_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The checkpoint of step 2 has a lower loss than the promoted one."""
    found = findings(tmp_path, best(contracts, 4, 2), "promotion_names_a_written_checkpoint")
    assert [(row[0], row[2]) for row in found] == [("a0001-s000004", RANK0)]
    assert found[0][3].startswith("the lowest loss of validation (step 2, ")


def test_a_criterion_over_a_split_that_nobody_measured_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """No checkpoint is the best of what was never measured."""
    script = best(contracts, 4, 4, criterion_split="shadow")
    assert [row[0] for row in findings(tmp_path, script, "promotion_names_a_written_checkpoint")] == ["a0001-s000004"]


def test_a_stated_promotion_may_name_any_checkpoint_that_counts(tmp_path: Path, contracts: Contracts) -> None:
    """Somebody chose the checkpoint of step 2, and says so."""
    early = msgspec.structs.asdict(promoted(1, 2)) | {"criterion": "stated"}
    script = edited(trained_run(contracts), events.CheckpointPromoted, **early)
    assert status(tmp_path, script, "promotion_names_a_written_checkpoint") == "held"


@pytest.mark.parametrize(
    ("evaluation", "actual"),
    [("e0001-s000002", "e0001-s000002, at step 2"), ("another", "another, never measured")],
)
def test_a_promotion_that_rests_on_an_evaluation_of_something_else_is_found(
    tmp_path: Path, contracts: Contracts, evaluation: str, actual: str
) -> None:
    """The promoted weights are those of step 4, and the evaluation that is named is not."""
    script = edited(trained_run(contracts), events.CheckpointPromoted, evaluation_id=evaluation)
    assert findings(tmp_path, script, "promotion_rests_on_its_evaluation") == [
        ("a0001-s000004", 40, RANK0, "an evaluation of a0001-s000004", actual)
    ]


def test_promoting_a_superseded_checkpoint_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A resumed run promotes a checkpoint of steps that it took anew."""
    script = inserted(
        resumed_run(contracts),
        written(contracts, 1, 4, checkpoint_id(1, 2)),
        after=events.StepCompleted,
        nth=2,
    )
    script = edited(script, events.CheckpointPromoted, checkpoint_id=checkpoint_id(1, 4))
    assert findings(tmp_path, script, "promotion_names_a_written_checkpoint") == [
        ("a0001-s000004", 15, SECOND, FINAL, f"step 4 (superseded), weights {sha256(weights(4)).hex()}")
    ]


def test_a_base_whose_receipt_nobody_recorded_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The run that is said to have promoted the base is there, and its ledger has no such receipt."""
    write_ledger(tmp_path / "ledger", trained_run(contracts))
    reference = CheckpointReference(
        checkpoint_family="train.psion.decoder", stream_id="s", manifest_digest="m", object_digest=OTHER.hex(),
        writer_node_id="n", membership_epoch=1, cluster_state_digest="c", topology_digest="t", started_at_ms=1,
    )  # fmt: skip
    base = BaseCheckpoint(
        schema_version="psion_ledger.base_checkpoint.v1", checkpoint_id="base", object_sha256=OTHER.hex(),
        run=BaseRun(run_id=RUN_ID, receipt_sha256=OTHER.hex(), reference=reference),
    )  # fmt: skip
    text = encode_document(base)
    declared = events.ContractDeclared(
        contract_role="base_checkpoint", schema_version=base.schema_version, sha256=sha256(text.encode()), document=text
    )
    script = inserted(trained_run(real_contracts(run_id="run-next")), declared, after=events.ContractDeclared)
    folder = write_ledger(tmp_path / "ledger", script, run_id="run-next")
    assert [(row[0], row[4]) for row in violations(folder, "base_was_promoted_by_its_run")] == [
        ("receipt", "never recorded"),
        ("reference", "none"),
    ]
