"""The recorder as the design shows it: what a loop says is what the record has."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

import psion_ledger
from psion_ledger import data, orders
from psion_ledger.data import Data
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from psion_ledger.recording.evaluations import Measurement
from psion_ledger.report.facts import report_rows
from tests.recording.loops import BATCH, HELD_OUT, MODEL, TRAIN, audited, begin, described, learn, rows, save, violated


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return described(tmp_path_factory.mktemp("data"))


@pytest.mark.slow
def test_the_design_s_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands there; only what it leaves out is filled in. It finishes itself, and is replayed."""
    monkeypatch.chdir(tmp_path)
    described(tmp_path)
    target_tokens, per_sequence = BATCH * (TRAIN.shape[1] - 1), [1.0] * HELD_OUT
    with psion_ledger.record(
        "ledger", run_id="tiny", artifacts="runs",
        data=[data.npy("train.npy", split="train"), data.npy("validation.npy", split="validation")],
        order=orders.derived("sequential"), model=MODEL, batch_sequences=BATCH, horizon_steps=100,
    ) as run:  # fmt: skip
        if run.checkpoint_to_load:
            run.loaded(run.checkpoint_to_load)
        for step in range(run.next_step, 101):
            ids = run.next_ids()
            tokens = rows(ids)
            run.batch(ids, tokens, target_tokens=target_tokens)
            run.step(loss_sum=99.0, grad_norm=1.0, learning_rate=1e-3, updated=True)
            if step % 50 == 0:
                run.measure("validation", losses=per_sequence, ids=range(HELD_OUT))
                folder = save(tmp_path, f"step-{step}", {"model.safetensors": f"{step}".encode()})
                run.checkpoint(folder, roles={"model.safetensors": "weights"})
        run.promote(folder, label="last", criterion="last")
    verdict = audited(tmp_path, require="replayed", corpus=tmp_path)
    assert (violated(verdict), verdict.verdict, verdict.level) == ([], "PASS", "replayed")


def test_what_a_loop_says_is_what_the_record_has(tmp_path: Path, found: Data) -> None:
    """Ids, losses and checkpoints, read back from the ledger."""
    with begin(tmp_path, found) as run:
        learn(run, 2, loss_sum=7.5, learning_rate=0.5)
        run.checkpoint(save(tmp_path, "a"))
    with Run(read(tmp_path / "ledger" / "tiny")) as record:
        steps = record.con.sql(
            "select step, loss_sum_nats, learning_rate, target_tokens from step_completed"
        ).fetchall()
        first = record.first("select sequence_ids from batch_replayed where step = 2")
        saved = record.con.sql("select checkpoint_id, step, cursor_position from checkpoint_written").fetchall()
    assert steps == [(1, 7.5, 0.5, 40), (2, 7.5, 0.5, 40)]
    assert first == (list(range(BATCH, 2 * BATCH)),)
    assert saved == [("a0001-s000002", 2, 2 * BATCH)]


def test_two_recorders_of_two_ranks_share_a_step(tmp_path: Path, found: Data) -> None:
    """Each has its own half of the positions, in the order that is declared."""
    taken = []
    with (
        begin(tmp_path, found, rank=0, world=2, launch="x") as run,
        begin(tmp_path, found, rank=1, world=2, launch="x") as other,
    ):
        for own in (run, other):
            taken.append(own.next_ids().tolist())
            learn(own)
    assert taken == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_without_a_ledger_a_loop_runs_as_it_is(tmp_path: Path, found: Data) -> None:
    """It gets the same rows, and nothing is written."""
    with begin(tmp_path, found) as run:
        recorded = [run.next_ids().tolist()]
        learn(run)
        recorded.append(run.next_ids().tolist())
    silent = psion_ledger.record(
        None, run_id="tiny", data=found, order=orders.derived("sequential"), model=MODEL, batch_sequences=BATCH,
        horizon_steps=4,
    )  # fmt: skip
    with silent:
        given = [silent.next_ids().tolist()]
        learn(silent)
        for batch in silent.watch([{"sequence_id": np.arange(BATCH, 2 * BATCH), "input_ids": rows(range(BATCH))}]):
            given.append(batch["sequence_id"].tolist())
        silent.step(loss_sum=1.0)
        silent.checkpoint(tmp_path / "nowhere")
        assert silent.next_step == 3
    assert given == recorded
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger"]


def test_a_family_that_is_measured_unpromised_must_be_one_of_the_data(tmp_path: Path, found: Data) -> None:
    """No evaluation set is promised: measuring validation breaks no law, and measuring what the data lack does."""
    with begin(tmp_path, found) as run:
        learn(run)
        run.measure("validation", losses=[1.0] * HELD_OUT, ids=range(HELD_OUT))
        event = run._evaluations.measured(
            Measurement(
                split="validation", family=None, step=1, checkpoint_id=None, losses=[1.0] * HELD_OUT, loss_sum=None,
                target_tokens=None, ids=range(HELD_OUT), tokens=None, lengths=None,
            )
        )  # fmt: skip
    assert violated(audited(tmp_path)) == []
    with begin(tmp_path / "other", found) as run:
        learn(run)
        run._session.emit(msgspec.structs.replace(event, source_family_id="made up"))
    assert "measurements_are_declared" in violated(audited(tmp_path / "other"))


def test_a_run_without_a_corpus_has_its_families_and_model_in_the_report(tmp_path: Path, found: Data) -> None:
    """As the plan and the tensors say them."""
    with begin(tmp_path, found) as run:
        learn(run, 4)
    with Run(read(tmp_path / "ledger" / "tiny")) as record:
        splits = [(row["split_name"], row["tokens"], row["token_share_bps"]) for row in report_rows(record, "splits")]
        (summary,) = report_rows(record, "summary")
    assert splits == [("train", 4 * BATCH * 6, 10_000), ("validation", None, None)]
    assert (summary["model_id"], summary["parameters"]) == ("tiny", 8)
