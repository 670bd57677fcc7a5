"""The lineage laws of descent, each on a ledger that breaks it: what attempts and checkpoints go on from."""

from pathlib import Path
from typing import Any

import pytest

from psion_ledger import events
from psion_ledger.contracts import Contracts
from psion_ledger.digest import sha256
from tests.documents import descriptor_of
from tests.edits import edited, place, without
from tests.emitted import checkpoint_id, started, weights
from tests.laws import OTHER, SECOND, findings, status
from tests.ledgers import RANK0, Script, beginning, close, opened, resumed_run, seal, trained_run

LOADED = f"weights {sha256(weights(2)).hex()}, step 2, position 16"


def resuming(contracts: Contracts) -> Script:
    """A run that was killed in step 3, and has just resumed from the checkpoint at step 2."""
    script = resumed_run(contracts)
    return script[: place(script, events.CheckpointLoaded) + 1]


def test_loading_something_else_than_was_written_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The second attempt read back other weights than were written."""
    script = edited(resuming(contracts), events.CheckpointLoaded, object_sha256=OTHER)
    actual = f"a0001-s000002: weights {OTHER.hex()}, step 2, position 16"
    assert findings(tmp_path, script, "attempts_resume_from_written_checkpoints") == [
        ("attempt 2", 1, SECOND, LOADED, actual)
    ]


@pytest.mark.parametrize(
    ("changes", "actual"),
    [({"cut_step": 3}, "step 3, position 16"), ({"cursor_position": 24}, "step 2, position 24")],
)
def test_resuming_at_another_step_than_the_checkpoints_is_found(
    tmp_path: Path, contracts: Contracts, changes: dict[str, Any], actual: str
) -> None:
    """The second attempt says that it goes on elsewhere than its checkpoint stands: data is skipped."""
    script = edited(resuming(contracts), events.AttemptStarted, nth=1, **changes)
    found = f"a0001-s000002: weights {sha256(weights(2)).hex()}, {actual}"
    assert findings(tmp_path, script, "attempts_resume_from_written_checkpoints") == [
        ("attempt 2", 1, SECOND, LOADED, found)
    ]


def test_a_finished_run_that_never_loaded_its_checkpoint_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The second attempt names a checkpoint, trains to the end, and never read it."""
    script = without(resumed_run(contracts), events.CheckpointLoaded)
    found = "a0001-s000002: weights not loaded, step 2, position 16"
    assert findings(tmp_path, script, "attempts_resume_from_written_checkpoints") == [
        ("attempt 2", 1, SECOND, LOADED, found)
    ]


def test_resuming_from_a_checkpoint_that_nobody_wrote_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The weights that training went on from came from outside the run."""
    script = edited(resuming(contracts), events.AttemptStarted, nth=1, checkpoint_id="downloaded")
    assert findings(tmp_path, script, "attempts_resume_from_written_checkpoints") == [
        (
            "attempt 2",
            1,
            SECOND,
            "weights never written, step null, position null",
            "downloaded: weights not loaded, step 2, position 16",
        )
    ]


def test_beginning_anew_beside_a_checkpoint_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The second attempt begins from nothing although checkpoints had been written."""
    script = edited(
        resuming(contracts), events.AttemptStarted, nth=1, checkpoint_id=None, cut_step=0, cursor_position=0
    )
    assert findings(tmp_path, script, "attempts_resume_from_written_checkpoints") == [
        (
            "attempt 2",
            1,
            SECOND,
            "a checkpoint: 2 had been written",
            "no checkpoint: weights not loaded, step 0, position 0",
        )
    ]


@pytest.mark.parametrize(("step", "position"), [(2, 0), (0, 16), (2, 16)])
def test_a_first_attempt_that_skips_ahead_is_found(
    tmp_path: Path, contracts: Contracts, step: int, position: int
) -> None:
    """The first attempt begins behind the beginning, without a checkpoint."""
    script = edited(beginning(contracts), events.AttemptStarted, cut_step=step, cursor_position=position)
    assert findings(tmp_path, script, "attempts_resume_from_written_checkpoints") == [
        (
            "attempt 1",
            9,
            RANK0,
            "no checkpoint, step 0, position 0",
            f"no checkpoint: weights not loaded, step {step}, position {position}",
        )
    ]


def test_killed_before_the_root_checkpoint_an_attempt_begins_from_nothing(tmp_path: Path, contracts: Contracts) -> None:
    """The first attempt died while it measured step 0; the second has nothing to load."""
    script = [*beginning(contracts)[:-3], (RANK0, close), (RANK0, seal), (SECOND, opened(attempt=2))]
    script.append((SECOND, started(contracts, 1, 0, None)))
    assert status(tmp_path, script, "attempts_resume_from_written_checkpoints") == "held"


def test_a_checkpoint_id_used_twice_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The second attempt writes a checkpoint under the first one's id: which is meant?"""
    script = edited(resumed_run(contracts), events.CheckpointWritten, stream=SECOND, checkpoint_id=checkpoint_id(1, 2))
    assert findings(tmp_path, script, "checkpoint_ids_are_unique") == [
        ("a0001-s000002", 27, RANK0, "written once", "written 2 times"),
        ("a0001-s000002", 14, SECOND, "written once", "written 2 times"),
        # And what the second attempt promoted is not there.
        ("a0002-s000004", None, None, "written once", "written 0 times"),
    ]


def test_a_checkpoint_of_an_unknown_parent_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A checkpoint descends from weights that this run never wrote."""
    script = edited(trained_run(contracts), events.CheckpointWritten, nth=1, parent_checkpoint_id="downloaded")
    assert findings(tmp_path, script, "checkpoint_parents_are_earlier") == [
        ("a0001-s000002", 27, RANK0, "downloaded, before step 2", "never written"),
        ("downloaded", None, None, "a checkpoint", "never written"),
    ]


def test_a_parent_that_was_written_later_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A checkpoint names a parent of an earlier step that was recorded only after it."""
    early: dict[str, Any] = {"checkpoint_id": "early", "step": 3, "parent_checkpoint_id": "late"}
    late: dict[str, Any] = {"checkpoint_id": "late", "step": 2, "parent_checkpoint_id": "a0001-s000000"}
    script = edited(trained_run(contracts), events.CheckpointWritten, nth=1, **early)
    script = edited(script, events.CheckpointWritten, nth=2, **late)
    assert findings(tmp_path, script, "checkpoint_parents_are_earlier") == [
        ("a0001-s000004", None, None, "a checkpoint", "never written"),
        ("early", 27, RANK0, "late, before step 3", "step 2 in attempt 1"),
    ]


def test_a_checkpoint_of_a_later_parent_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A checkpoint names one as its parent that was written after it."""
    later = checkpoint_id(1, 4)
    script = edited(trained_run(contracts), events.CheckpointWritten, nth=1, parent_checkpoint_id=later)
    assert findings(tmp_path, script, "checkpoint_parents_are_earlier") == [
        ("a0001-s000002", 27, RANK0, "a0001-s000004, before step 2", "step 4 in attempt 1")
    ]


@pytest.mark.parametrize(
    "law",
    [
        "checkpoint_ids_are_unique", "checkpoint_parents_are_earlier", "checkpoints_bind_the_descriptor",
        "checkpoints_share_the_family", "checkpoints_stand_at_their_cursor",
    ],
)  # fmt: skip
def test_a_checkpoint_that_others_rest_on_and_nobody_wrote_is_found(
    tmp_path: Path, contracts: Contracts, law: str
) -> None:
    """The promoted one's record is gone: each law that speaks of checkpoints misses it."""
    script = without(trained_run(contracts), events.CheckpointWritten, nth=2)
    assert "a0001-s000004" in [row[0] for row in findings(tmp_path, script, law)]


def test_a_checkpoint_of_another_model_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A checkpoint was written with other tensors than the descriptor has."""
    promised = descriptor_of(contracts).checkpoint_contract.tensor_layout_digest
    script = edited(beginning(contracts), events.CheckpointWritten, tensor_layout_digest=OTHER)
    assert findings(tmp_path, script, "checkpoints_bind_the_descriptor") == [
        ("a0001-s000000", 15, RANK0, f"layout {promised}", f"layout {OTHER.hex()}")
    ]


def test_a_checkpoint_of_another_family_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A checkpoint says that it belongs to another lineage than the stage's."""
    script = edited(beginning(contracts), events.CheckpointWritten, checkpoint_family="other.family")
    assert findings(tmp_path, script, "checkpoints_share_the_family") == [
        ("a0001-s000000", 15, RANK0, "train.psion.decoder", "other.family")
    ]


def test_checkpoints_without_a_stage_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """A checkpoint is written and no stage was ever started."""
    script = without(beginning(contracts), events.StageStarted)
    assert findings(tmp_path, script, "checkpoints_share_the_family") == [
        ("a0001-s000000", 14, RANK0, "no stage", "train.psion.decoder")
    ]


def test_a_checkpoint_at_another_cursor_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A resume from this checkpoint would skip a batch."""
    script = edited(trained_run(contracts), events.CheckpointWritten, nth=1, cursor_position=24)
    assert findings(tmp_path, script, "checkpoints_stand_at_their_cursor") == [
        ("a0001-s000002", 27, RANK0, "position 16", "position 24")
    ]


def test_a_second_root_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A later checkpoint has no parent: its weights came from somewhere else."""
    script = edited(trained_run(contracts), events.CheckpointWritten, nth=1, parent_checkpoint_id=None)
    assert findings(tmp_path, script, "one_root_checkpoint") == [
        ("a0001-s000000", 15, RANK0, "1 root, at step 0", "2 roots, this one at step 0"),
        ("a0001-s000002", 27, RANK0, "1 root, at step 0", "2 roots, this one at step 2"),
    ]


def test_a_root_that_is_not_the_beginning_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The only checkpoint without a parent is one from the middle of training."""
    script = edited(beginning(contracts), events.CheckpointWritten, step=2)
    assert findings(tmp_path, script, "one_root_checkpoint") == [
        ("a0001-s000000", 15, RANK0, "1 root, at step 0", "1 roots, this one at step 2")
    ]


def test_checkpoints_without_a_root_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """Every checkpoint has a parent, so the first weights are of unknown origin."""
    script = edited(beginning(contracts), events.CheckpointWritten, parent_checkpoint_id="downloaded")
    assert findings(tmp_path, script, "one_root_checkpoint") == [("roots", None, None, "1 root, at step 0", "0 roots")]
