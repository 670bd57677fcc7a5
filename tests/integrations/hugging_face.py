"""A tiny model, made-up rows and a Trainer of transformers for the tests: as a library, and as a script of a rank.

python -m tests.integrations.hugging_face '{"more": {...}, "fault": "...", "resume": true}'
"""

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psion_ledger
from psion_ledger.auditing import Audit
from psion_ledger.integrations.transformers import recorded

VOCABULARY, TOKENS, TRAIN_ROWS, EVALUATION_ROWS = 512, 16, 52, 11


def absent() -> list[str]:
    """What these tests need and is not installed."""
    return [name for name in ("torch", "transformers", "accelerate", "datasets") if find_spec(name) is None]


def rows(count: int, first: int = 0, *, ragged: bool = False) -> list[list[int]]:
    made = []
    for number in range(first, first + count):
        rng = random.Random(number)
        made.append([rng.randrange(1, VOCABULARY) for _ in range(rng.randrange(4, TOKENS) if ragged else TOKENS)])
    return made


def dataset(ids: list[list[int]]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": ids})


class Padded:
    """A collator that fills rows up on the right, with an attention mask."""

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        width = max(len(feature["input_ids"]) for feature in features)
        batch: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
        for feature in features:
            ids = [int(token) for token in feature["input_ids"]]
            gap = width - len(ids)
            for name, own, fill in (
                ("input_ids", ids, 0), ("attention_mask", [1] * len(ids), 0), ("labels", ids, -100),
            ):  # fmt: skip
                batch[name].append([*own, *[fill] * gap])
        return {name: torch.tensor(values) for name, values in batch.items()}


def llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(3)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, max_position_embeddings=64,
        )
    )  # fmt: skip


def gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel, set_seed

    set_seed(3)
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=2, n_positions=64))


def stopping(step: int) -> Any:
    """A callback that ends training after a step, as somebody who goes on later does."""
    from transformers import TrainerCallback

    class Stops(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            control.should_training_stop |= state.global_step == step

    return Stops()


def dying(step: int) -> Any:
    """A callback that kills the process after a step."""
    from transformers import TrainerCallback

    class Dies(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step == step:
                os.kill(os.getpid(), signal.SIGKILL)

    return Dies()


def trainer(
    folder: Path,
    *,
    wrap: Callable[[Any], Any] = recorded,
    fault: Callable[[Any], Any] = lambda cls: cls,
    model: Callable[[], Any] = llama,
    ragged: bool = False,
    train: Any = None,
    evaluation: Any = None,
    collator: Any = None,
    ledger: dict[str, Any] | None = None,
    **more: Any,
) -> Any:
    """Two epochs of seven steps, the seventh of one micro batch; a checkpoint every five steps."""
    from transformers import Trainer, TrainingArguments

    arguments = {
        "num_train_epochs": 2, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "use_cpu": True,
        "report_to": [], "save_strategy": "steps", "save_steps": 5, "logging_strategy": "no", "disable_tqdm": True,
        "learning_rate": 1e-3, "seed": 7, "output_dir": str(folder / "runs" / "tiny"),
    }  # fmt: skip
    kwargs = {} if wrap is not recorded else {"ledger": {"ledger": str(folder / "ledger"), **(ledger or {})}}
    return wrap(fault(Trainer))(
        model=model(),
        args=TrainingArguments(**(arguments | more)),
        train_dataset=dataset(rows(TRAIN_ROWS, ragged=ragged)) if train is None else train,
        eval_dataset=evaluation,
        data_collator=Padded() if collator is None else collator,
        **kwargs,
    )


def audited(folder: Path, require: Any = "ordered", corpus: Path | None = None) -> Audit:
    with psion_ledger.open_run(folder / "ledger", "tiny") as run:
        return psion_ledger.audit(run, require=require, artifacts=folder / "runs", corpus=corpus)


def asked(folder: Path, query: str) -> list[Any]:
    with psion_ledger.open_run(folder / "ledger", "tiny") as run:
        return run.sql(query).fetchall()


def violated(folder: Path) -> dict[str, list[str]]:
    """The laws that do not hold, and where."""
    laws = audited(folder, "accounted").laws
    return {law.name: [str(finding) for finding in law.findings] for law in laws if law.status == "violated"}


def anothers_rows(cls: Any) -> Any:
    """A fault: the second of two ranks reads the rows of the first."""

    class Deaf(cls):
        def get_train_dataloader(self) -> Any:
            loader = super().get_train_dataloader()
            loader.batch_sampler.process_index = 0
            return loader

    return Deaf


def _main() -> None:
    told = json.loads(sys.argv[1])
    made = trainer(
        Path(told["folder"]), fault=anothers_rows if told.get("fault") else lambda cls: cls,
        evaluation=dataset(rows(EVALUATION_ROWS, 1000, ragged=True)), ragged=True, **told.get("more", {}),
    )  # fmt: skip
    for name, callback in (("stop", stopping), ("die", dying)):
        if name in told:
            made.add_callback(callback(told[name]))
    made.train(resume_from_checkpoint=told.get("resume"))


if __name__ == "__main__":
    _main()
