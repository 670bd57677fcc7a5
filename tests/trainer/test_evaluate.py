"""The losses of the declared sets, sequence by sequence."""

from pathlib import Path

import pytest
import torch

from tests.trainer.tiny import LONE, Runs, settings, write_corpus
from trainer.evaluate import measure
from trainer.model import token_losses


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
            assert row.rows.tolist() == rows.tolist()
