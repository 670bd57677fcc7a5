"""Training: interrupted and resumed equals uninterrupted, and the ledger holds what was consumed."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from psion_ledger import open_run
from tests.trainer.tiny import Runs, settings, write_corpus
from trainer import checkpoint, emit
from trainer.config import ANCHORS
from trainer.loop import Training, learning_rate, promote, train


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path, settings(write_corpus(tmp_path / "text")))


def never() -> bool:
    return False


def state(training: Training) -> list[bytes]:
    return [
        checkpoint.state_sha256(training.model.state_dict()),
        checkpoint.state_sha256(checkpoint.optimizer_tensors(training.model, training.optimizer)),
        checkpoint.state_sha256(checkpoint.rng_state()),
    ]


def uninterrupted(runs: Runs, run_id: str) -> list[bytes]:
    training = runs.begin(run_id)
    with training.recorder:
        assert train(training, never) == "a0001-s000006"
    return state(training)


def rows(runs: Runs, run_id: str, query: str) -> list[tuple[Any, ...]]:
    with open_run(runs.ledger, run_id) as run:
        return run.sql(query).fetchall()


@pytest.mark.parametrize(
    "stop_step", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(5, marks=pytest.mark.slow)]
)
def test_stopped_and_resumed_equals_uninterrupted(runs: Runs, stop_step: int) -> None:
    """Weights, moments and generators have the same bits, and so has each step's trace."""
    expected = uninterrupted(runs, "whole")
    training = runs.begin("parts")
    asked = iter([False] * (stop_step - 1) + [True])
    with training.recorder:
        assert train(training, lambda: next(asked)) is None
    training = runs.resume("parts")
    assert training.recorder.next_step == stop_step + 1
    with training.recorder:
        assert train(training, never) == "a0002-s000006"
    assert state(training) == expected
    steps = "select step, loss_nats, grad_norm, trace_sha256 from step_completed order by step"
    assert rows(runs, "parts", steps) == rows(runs, "whole", steps)


@pytest.mark.slow
def test_lost_steps_are_trained_again_alike(runs: Runs) -> None:
    """A crash after step 3 goes back to the checkpoint of step 2; step 3 repeats the lost one bit for bit."""
    expected = uninterrupted(runs, "whole")
    training = runs.begin("crashed")
    until_step_three = iter([False, False, False])
    with pytest.raises(StopIteration), training.recorder:
        train(training, lambda: next(until_step_three))
    training = runs.resume("crashed")
    with training.recorder:
        train(training, never)
    assert state(training) == expected
    twice = rows(runs, "crashed", "select attempt, trace_sha256 from step_completed where step = 3 order by attempt")
    assert [attempt for attempt, _ in twice] == [1, 2]
    assert twice[0][1] == twice[1][1]


def test_batches_hold_what_was_consumed(runs: Runs) -> None:
    """Positions tile the horizon; ids are the order's, tokens and digests those of the shards."""
    training = runs.begin("r")
    with training.recorder:
        train(training, never)
    expected: list[tuple[Any, ...]] = []
    for step in range(1, 7):
        positions = range((step - 1) * 4, step * 4)
        drawn = [training.order.sequence_at(position) for position in positions]
        ids = [sequence_id for _, sequence_id in drawn]
        families = [family for family, _ in drawn]
        expected.append(
            (
                *(step, 0, positions.start, 1, 4, ids, []),
                [
                    {"source_family_id": family, "tokens": 16 * families.count(family)}
                    for family in sorted(set(families))
                ],
                64,
                60,
                hashlib.sha256(training.shards.rows(ids).tobytes()).digest(),
            )
        )
    columns = (
        "step, micro_step, first_position, stride, sequences, sequence_ids, sequence_sha256s, family_tokens, tokens, "
        "target_tokens, token_sha256"
    )
    assert rows(runs, "r", f"select {columns} from batch_replayed order by seq") == expected


def test_a_step_is_the_mean_of_what_it_sums(runs: Runs) -> None:
    """In a world of one the rank's sum over the divisor; every step updates, at the rate of its number."""
    uninterrupted(runs, "r")
    columns = "step, loss_sum_nats, loss_divisor, loss_nats, learning_rate, updated, trainer_step"
    found = rows(runs, "r", f"select {columns} from step_completed order by step")
    assert [
        (step, loss_sum, 60.0, loss_sum / 60, learning_rate(step, runs.settings, 6), True, None)
        for step, loss_sum, *_ in found
    ] == found
    assert [row[0] for row in found] == list(range(1, 7))


@pytest.mark.slow
def test_micro_steps_divide_the_same_batch(runs: Runs) -> None:
    """Two micro steps consume what one would, and learn the same up to rounding."""
    losses = "select loss_nats, loss_divisor, target_tokens from step_completed order by step"
    uninterrupted(runs, "one")
    halves = Runs(runs.ledger.parent, replace(runs.settings, micro_steps=2))
    uninterrupted(halves, "two")
    drawn = "flatten(list(sequence_ids order by micro_step))"
    ids = f"select step, {drawn} from batch_replayed group by step order by step"
    assert rows(runs, "one", ids) == rows(halves, "two", ids)
    for one, two in zip(rows(runs, "one", losses), rows(halves, "two", losses), strict=True):
        assert two == (pytest.approx(one[0], rel=1e-4), 60, 60)


def test_evaluation_comes_before_its_checkpoint(runs: Runs) -> None:
    """At 0, 3 and 6 each declared set is measured; checkpoints at 0, 2, 4 and 6, each after its parent."""
    uninterrupted(runs, "r")
    measured = "select evaluation_id, count(*), max(seq) from split_loss_measured group by 1 order by 1"
    columns = "checkpoint_id, parent_checkpoint_id, cursor_position, seq"
    written = f"select {columns} from checkpoint_written order by seq"
    evaluations, checkpoints = rows(runs, "r", measured), rows(runs, "r", written)
    assert [row[:2] for row in evaluations] == [
        ("e0001-s000000", 5),
        ("e0001-s000003", 5),
        ("e0001-s000006", 5),
    ]
    assert [row[:3] for row in checkpoints] == [
        ("a0001-s000000", None, 0),
        ("a0001-s000002", "a0001-s000000", 8),
        ("a0001-s000004", "a0001-s000002", 16),
        ("a0001-s000006", "a0001-s000004", 24),
    ]
    assert evaluations[0][2] < checkpoints[0][3]
    assert evaluations[2][2] < checkpoints[3][3]


def test_the_promoted_digest_is_read_back(runs: Runs) -> None:
    """The promotion names the weights file as it is now, which is as it was written."""
    training = runs.begin("r")
    with training.recorder:
        last = train(training, never)
        assert last is not None
        promote(training, last)
    promoted = "select checkpoint_id, label, object_sha256, criterion from checkpoint_promoted"
    file = training.artifacts / "checkpoints" / last / "model.safetensors"
    assert rows(runs, "r", promoted) == [
        ("a0001-s000006", "smoke-pretrain-final", hashlib.sha256(file.read_bytes()).digest(), "last")
    ]
    assert emit.reopen(runs.command("r")).promoted


def test_the_learning_rate_warms_up_and_follows_a_cosine() -> None:
    """Linear to its peak, half-way at half-way, and its final ratio at the horizon."""
    smoke = replace(ANCHORS["smoke"], learning_rate=1.0, final_learning_rate_ratio=0.1, warmup_steps=20)
    rates = {step: learning_rate(step, smoke, 220) for step in (1, 10, 20, 70, 120, 170, 220)}
    assert rates == {
        1: 0.05,
        10: 0.5,
        20: 1.0,
        70: pytest.approx(0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2),
        120: pytest.approx(0.55),
        170: pytest.approx(0.1 + 0.9 * (1 - math.sqrt(0.5)) / 2),
        220: pytest.approx(0.1),
    }
