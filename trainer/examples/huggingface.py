"""The Trainer of transformers: a tiny Llama on rows that are made up. `python -m trainer.examples.huggingface`"""

import random

from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments, default_data_collator

import psion_ledger
from psion_ledger.integrations.transformers import recorded


def main(output_dir: str = "runs/tiny", ledger: str = "ledger") -> str:
    """Train two epochs, and say the verdict."""
    words = random.Random(1)
    rows = [[words.randrange(512) for _ in range(32)] for _ in range(100)]
    made = Dataset.from_dict({"input_ids": rows, "labels": rows})
    config = LlamaConfig(
        vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    trainer = recorded(Trainer)(
        model=LlamaForCausalLM(config),
        args=TrainingArguments(
            output_dir=output_dir, num_train_epochs=2, per_device_train_batch_size=4, gradient_accumulation_steps=2,
            eval_strategy="epoch", save_strategy="epoch", use_cpu=True, report_to=[],
        ),
        train_dataset=made.select(range(88)),
        eval_dataset=made.select(range(88, 100)),
        data_collator=default_data_collator,
        ledger=ledger,
    )  # fmt: skip
    trainer.train()
    with psion_ledger.open_run(ledger, "tiny") as run:
        found = psion_ledger.audit(run, require="ordered", artifacts="runs")
    return f"{found.verdict} {found.level}"


if __name__ == "__main__":
    print(main())
