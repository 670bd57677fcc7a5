"""Measured losses are exact integers, and do not depend on how sequences were grouped."""

import math
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.tiny import LONE, Runs, settings, write_corpus
from trainer.evaluate import measure, nanonats
from trainer.model import token_losses


@given(nats=st.lists(st.floats(0, 1e6), max_size=40))
def test_nanonats_add_up_in_any_order(nats: list[float]) -> None:
    """Each sequence is rounded once, half to even; whole numbers sum the same forwards and backwards."""
    expected = sum(round(Fraction(value) * 10**9) for value in nats)
    assert nanonats(nats) == nanonats(nats[::-1]) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_has_no_nanonats(bad: float) -> None:
    """It is a fact that is recorded as such, not a number."""
    assert nanonats([1.0, bad]) is None


def test_each_declared_set_is_measured(tmp_path: Path) -> None:
    """Every set of the plan, in its order, by the losses of its own sequences in eval mode."""
    training = Runs(tmp_path, settings(write_corpus(tmp_path / "text"))).begin("r")
    with training.recorder:
        sets = training.plan["evaluation_sets"]
        measured = list(measure(training.model, training.shards, sets, LONE.device))
        assert [row.evaluation_set for row in measured] == sets
        assert training.model.training
        for row, declared in zip(measured, sets, strict=True):
            ids = list(range(declared["first_sequence_id"], declared["end_sequence_id"], declared["stride"]))
            assert len(ids) == declared["sequences"]
            rows = torch.from_numpy(training.shards.rows(ids).astype("int64"))
            with torch.no_grad():
                sequences = token_losses(training.model, rows).double().sum(1)
            assert row.target_tokens == rows.shape[0] * (rows.shape[1] - 1)
            assert row.loss_sum_nats == pytest.approx(float(sequences.sum()), rel=1e-6)
            assert row.loss_sum_nanonats == pytest.approx(row.loss_sum_nats * 1e9, abs=len(ids))
