"""The Trainer of transformers, recorded: real runs, their audits, resumes, and what is said of faults."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from psion_ledger.errors import UsageError
from tests.integrations import hugging_face as hf

REPO = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(hf.absent()), reason="transformers is not installed: the extra `peers`"),
]


def plain(cls: Any) -> Any:
    return cls


def weights(trainer: Any) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in trainer.model.state_dict().items()}


def evaluation_rows() -> Any:
    return hf.dataset(hf.rows(hf.EVALUATION_ROWS, 1000, ragged=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_audits_clean(tmp_path: Path, workers: int) -> None:
    """With evaluations, checkpoints, rows of many lengths, and a partial group at each epoch's end."""
    made = hf.trainer(
        tmp_path, ragged=True, evaluation=evaluation_rows(), eval_strategy="steps", eval_steps=5,
        dataloader_num_workers=workers,
    )  # fmt: skip
    made.train()
    assert hf.violated(tmp_path) == {}
    found = hf.audited(tmp_path)
    assert (found.verdict, found.level) == ("PASS", "ordered")
    shapes = hf.asked(tmp_path, "select step, count(*), sum(sequences) from train_batches group by 1 order by 1")
    assert [shape[1:] for shape in shapes] == ([(2, 8)] * 6 + [(1, 4)]) * 2
    saved = hf.asked(tmp_path, "select step from checkpoint_written order by 1")
    assert [step for (step,) in saved] == [5, 10, 14]


def test_the_weights_are_those_of_an_unrecorded_run(tmp_path: Path) -> None:
    """Bit for bit: nothing of the record touches a model or a random generator."""
    more: dict[str, Any] = {"ragged": True, "evaluation": evaluation_rows(), "eval_strategy": "steps", "eval_steps": 5}
    made, bare = hf.trainer(tmp_path / "a", **more), hf.trainer(tmp_path / "b", wrap=plain, **more)
    metrics = made.train().metrics, bare.train().metrics
    assert weights(made) == weights(bare)
    assert metrics[0]["train_loss"] == metrics[1]["train_loss"]
    logged = [[row["eval_loss"] for row in t.state.log_history if "eval_loss" in row] for t in (made, bare)]
    assert logged[0] == logged[1]


def test_norm_rate_and_loss_are_those_that_the_trainer_logs(tmp_path: Path) -> None:
    """Step by step; the loss is the mean of the step's sum over its divisor."""
    made = hf.trainer(tmp_path, ragged=True, logging_strategy="steps", logging_steps=1)
    made.train()
    logged = [row for row in made.state.log_history if "grad_norm" in row]
    found = hf.asked(
        tmp_path, "select grad_norm, learning_rate, loss_sum_nats / loss_divisor from train_steps order by step"
    )
    assert [(row["grad_norm"], row["learning_rate"]) for row in logged] == [row[:2] for row in found]
    assert [row["loss"] for row in logged] == pytest.approx([row[2] for row in found], rel=1e-6)


def test_a_resume_in_the_middle_equals_an_uninterrupted_run(tmp_path: Path) -> None:
    """`True` goes on from the newest recorded checkpoint; the steps behind it count as superseded."""
    first = hf.trainer(tmp_path / "a", ragged=True)
    first.add_callback(hf.stopping(8))
    first.train()
    # Somebody died while this one was saved.
    (tmp_path / "a/runs/tiny/checkpoint-8").mkdir()
    with pytest.raises(UsageError, match="resume_from_checkpoint=True"):
        hf.trainer(tmp_path / "a", ragged=True).train()
    resumed = hf.trainer(tmp_path / "a", ragged=True)
    resumed.train(resume_from_checkpoint=True)
    whole = hf.trainer(tmp_path / "b", wrap=plain, ragged=True)
    whole.train()
    assert weights(resumed) == weights(whole)
    assert hf.violated(tmp_path / "a") == {}
    assert hf.audited(tmp_path / "a").verdict == "PASS"
    starts = hf.asked(tmp_path / "a", "select attempt, cut_step from attempt_started order by 1")
    assert starts == [(1, 0), (2, 5)]


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    """SIGKILL between two steps, in the middle of a group of checkpoints: nothing that was recorded is lost."""
    told = json.dumps({"folder": str(tmp_path), "die": 8})
    command = [sys.executable, "-m", "tests.integrations.hugging_face", told]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr[-4000:]
    hf.trainer(tmp_path, ragged=True, evaluation=evaluation_rows()).train(resume_from_checkpoint=True)
    assert hf.violated(tmp_path) == {}
    steps = hf.asked(tmp_path, "select attempt, max(step) from step_completed group by 1 order by 1")
    assert steps == [(1, 8), (2, 14)]


@pytest.mark.parametrize("kind", ["padded", "flattened"])
def test_the_librarys_own_collators_are_understood(tmp_path: Path, kind: str) -> None:
    """Rows that a tokenizer fills up, and rows one after another without padding, in training and in evaluations."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import DataCollatorForLanguageModeling, DataCollatorWithFlattening, PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({str(token): token for token in range(hf.VOCABULARY)}, unk_token="0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="0")
    collators = {
        "padded": DataCollatorForLanguageModeling(tokenizer, mlm=False),
        "flattened": DataCollatorWithFlattening(),
    }
    hf.trainer(
        tmp_path,
        ragged=True,
        collator=collators[kind],
        evaluation=evaluation_rows(),
        eval_strategy="epoch",
        num_train_epochs=1,
    ).train()
    assert hf.violated(tmp_path) == {}
    assert hf.audited(tmp_path).verdict == "PASS"


def test_a_saved_data_set_is_replayed_from_its_files(tmp_path: Path) -> None:
    """What `save_to_disk` wrote is described as it lies there, and the run's end replays it, after a resume too."""
    from datasets import load_from_disk

    for name, ids in (("train", hf.rows(hf.TRAIN_ROWS)), ("held", hf.rows(5, 1000))):
        hf.dataset(ids).save_to_disk(tmp_path / "data" / name)
    more: dict[str, Any] = {
        "train": load_from_disk(tmp_path / "data/train"), "evaluation": load_from_disk(tmp_path / "data/held"),
        "eval_strategy": "epoch",
    }  # fmt: skip
    first = hf.trainer(tmp_path, **more)
    first.add_callback(hf.stopping(8))
    first.train()
    hf.trainer(tmp_path, **more).train(resume_from_checkpoint=True)
    assert hf.asked(tmp_path, "select exact from verification_passes") == [(True,)]
    assert json.loads(hf.asked(tmp_path, "select document from sampling_plan")[0][0])["targets"] == "all_but_first"
    found = hf.audited(tmp_path, "replayed", corpus=tmp_path / "data")
    assert (found.verdict, found.level) == ("PASS", "replayed")


def test_deleted_checkpoints_are_recorded(tmp_path: Path) -> None:
    """The Trainer keeps two and says nothing; a run that goes on knows of them all."""
    more: dict[str, Any] = {"save_total_limit": 2, "save_steps": 2}
    first = hf.trainer(tmp_path, **more)
    first.add_callback(hf.stopping(9))
    first.train()
    hf.trainer(tmp_path, **more).train(resume_from_checkpoint=True)
    kept = {path.name for path in (tmp_path / "runs/tiny").glob("checkpoint-*")}
    assert kept == {"checkpoint-12", "checkpoint-14"}
    found = hf.asked(
        tmp_path,
        "select w.step, r.reason from checkpoint_written as w left join checkpoint_removed as r using (checkpoint_id) "
        "order by 1",
    )
    assert found == [(step, "save_total_limit") for step in (2, 4, 6, 8, 10)] + [(12, None), (14, None)]
    assert hf.violated(tmp_path) == {}


@pytest.mark.parametrize("batch", [1, 4])
def test_losses_of_an_evaluation_are_exact(tmp_path: Path, batch: int) -> None:
    """Each row's own, summed in float64, of two sets, whatever the batches; the Trainer's mean is another number."""
    import torch

    sets = {"prose": evaluation_rows(), "verse": hf.dataset(hf.rows(5, 2000, ragged=True))}
    made = hf.trainer(
        tmp_path, ragged=True, evaluation=sets, eval_strategy="epoch", num_train_epochs=1,
        per_device_eval_batch_size=batch,
    )  # fmt: skip
    made.train()
    assert hf.violated(tmp_path) == {}
    measured = dict(hf.asked(tmp_path, "select source_family_id, loss_sum_nanonats / 1e9 from split_loss_measured"))
    model = made.model.eval()
    for name, rows in sets.items():
        total = 0.0
        for row in rows:
            ids = torch.tensor([row["input_ids"]])
            with torch.no_grad():
                scores = model(input_ids=ids).logits[0, :-1].double().log_softmax(-1)
            total -= float(scores.gather(1, ids[0, 1:, None]).sum())
        assert math.isclose(measured[name], total, rel_tol=1e-6), name


def launched(folder: Path, port: int, **told: Any) -> None:
    """Two ranks of the script, by torchrun."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}",
        "-m", "tests.integrations.hugging_face", json.dumps({"folder": str(folder), **told}),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def test_two_ranks_audit_clean_and_resume(tmp_path: Path) -> None:
    """The last block of an epoch repeats its first rows on both ranks, an evaluation's repeats are dropped."""
    more = {"eval_strategy": "steps", "eval_steps": 3, "save_steps": 3, "per_device_eval_batch_size": 2}
    launched(tmp_path, 29671, more=more, stop=4)
    launched(tmp_path, 29672, more=more, resume=True)
    assert hf.violated(tmp_path) == {}
    assert hf.audited(tmp_path).verdict == "PASS"
    rows = hf.asked(tmp_path, "select step, sum(sequences) from train_batches group by 1 order by 1")
    assert [count for _, count in rows] == [16, 16, 16, 8] * 2
    measured = hf.asked(tmp_path, "select distinct sequences, first_sequence_id, stride from split_loss_measured")
    assert measured == [(hf.EVALUATION_ROWS, hf.TRAIN_ROWS, 1)]


def test_the_example_ends_with_an_audit(tmp_path: Path) -> None:
    """Forty lines of a user's own, as they stand, end at `ordered`."""
    example = REPO / "trainer" / "examples" / "huggingface.py"
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 40
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    command = [sys.executable, "-m", "trainer.examples.huggingface"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "PASS ordered"


# ---- Faults ----


def first_findings(folder: Path, law: str) -> str:
    """Where a law is violated first."""
    (found,) = [result for result in hf.audited(folder, "accounted").laws if result.name == law]
    assert found.status == "violated"
    return f"{found.findings[0].subject} {found.findings[0].stream} {found.findings[0].actual}"


def test_a_resume_that_skips_nothing_is_named(tmp_path: Path) -> None:
    """`ignore_data_skip` begins the epoch again: the first step behind the checkpoint has other rows."""
    more: dict[str, Any] = {"gradient_accumulation_steps": 1, "train": hf.dataset(hf.rows(32)), "save_steps": 3}
    first = hf.trainer(tmp_path, **more)
    first.add_callback(hf.stopping(4))
    first.train()
    hf.trainer(tmp_path, ignore_data_skip=True, **more).train(resume_from_checkpoint=True)
    found = first_findings(tmp_path, "batches_follow_the_order")
    assert "t0002.r00000" in found
    assert "step 4 " in found


def stale(cls: Any) -> Any:
    """A fault: nobody tells the sampler that an epoch is over."""

    class Stale(cls):
        def get_train_dataloader(self) -> Any:
            loader = super().get_train_dataloader()
            loader.batch_sampler.sampler.set_epoch = lambda epoch: None
            return loader

    return Stale


def test_a_shuffle_that_is_not_renewed_is_named(tmp_path: Path) -> None:
    """The second epoch has the rows of the first: seven steps are right, the eighth is not."""
    hf.trainer(tmp_path, fault=stale).train()
    assert "step 8 " in first_findings(tmp_path, "batches_follow_the_order")


def test_a_rank_that_reads_anothers_rows_is_named(tmp_path: Path) -> None:
    """Rank 1 reads what rank 0 reads, from the first step on; nothing is said of rank 0."""
    launched(tmp_path, 29673, fault=True)
    (law,) = [law for law in hf.audited(tmp_path).laws if law.name == "batches_follow_the_order"]
    assert law.status == "violated"
    assert {finding.stream for finding in law.findings} == {"t0001.r00001"}
    assert "step 1 " in law.findings[0].actual


def test_a_wrong_divisor_is_named(tmp_path: Path) -> None:
    """The Trainer counts one label too many in each row of models without a loss type, as GPT-2."""
    hf.trainer(tmp_path, model=hf.gpt2, gradient_accumulation_steps=2).train()
    found = hf.violated(tmp_path)
    assert list(found) == ["loss_divisors_are_target_tokens"]
    (law,) = [law for law in hf.audited(tmp_path).laws if law.status == "violated"]
    assert (law.findings[0].subject, law.findings[0].expected) == ("step 1", "divisor 120")
    assert law.findings[0].actual.startswith("divisor 128")
    assert law.findings_total == 14


# ---- What is not promised, and what is refused ----


def test_an_order_that_cannot_be_derived_is_not_declared(tmp_path: Path) -> None:
    """Rows grouped by length: the run is accounted for, and no more."""
    hf.trainer(tmp_path, ragged=True, train_sampling_strategy="group_by_length").train()
    assert hf.violated(tmp_path) == {}
    found = hf.audited(tmp_path, "accounted")
    assert (found.verdict, found.level) == ("PASS", "accounted")


@pytest.mark.parametrize("more", [{"auto_find_batch_size": True}, {"output_dir": "elsewhere"}], ids=str)
def test_what_cannot_be_recorded_is_refused_at_once(tmp_path: Path, more: dict[str, Any]) -> None:
    """Before anything is trained or written."""
    ledger = {"run_id": "tiny", "artifacts": str(tmp_path / "runs")} if "output_dir" in more else {}
    with pytest.raises(UsageError):
        hf.trainer(tmp_path, ledger=ledger, **more)
    assert not (tmp_path / "ledger").exists()


def test_without_a_ledger_a_trainer_is_the_same(tmp_path: Path) -> None:
    """`ledger=None` records nothing, and trains."""
    made = hf.trainer(tmp_path, ledger={"ledger": None}, max_steps=1, save_strategy="no")
    made.train()
    assert made.state.global_step == 1
    assert not (tmp_path / "ledger").exists()
