"""A run small enough for a test: two families of made-up text, 6 steps of 4 sequences of 16 tokens."""

import random
from dataclasses import replace
from pathlib import Path

import torch

from trainer import emit
from trainer.beginning import prepare, read_text
from trainer.config import ANCHORS, Settings
from trainer.environment import World, circumstances
from trainer.loop import Training, build

FAMILIES = ("prose", "code")
LONE = World(0, 1, torch.device("cpu"))


def write_corpus(folder: Path, documents: int = 24, words: int = 60) -> Path:
    """Files of random words, the same on every machine; no two alike."""
    source = random.Random(7)
    for family in FAMILIES:
        (folder / family).mkdir(parents=True)
        for number in range(documents):
            text = " ".join(f"{family}{source.randrange(50)}" for _ in range(words))
            (folder / family / f"part{number:02}.txt").write_text(f"{number} {text}\n", encoding="utf-8")
    return folder


def settings(corpus: Path) -> Settings:
    return replace(
        ANCHORS["smoke"],
        corpus=str(corpus),
        context=16,
        vocab=300,
        batch=4,
        steps=6,
        warmup_steps=2,
        checkpoint_every_steps=2,
        evaluate_every_steps=3,
        evaluation_sequences=4,
    )


class Runs:
    """Runs of one corpus in one ledger, attempt by attempt, through the trainer's own parts."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.ledger, self.artifacts, self.settings = folder / "ledger", folder / "runs", settings

    def begin(self, run_id: str) -> Training:
        """Attempt 1, with everything declared; close its recorder."""
        artifacts = self.artifacts / run_id
        documents, index = prepare(self.settings, read_text(self.settings), run_id, artifacts, LONE.size)
        run = emit.create(self.ledger, run_id)
        recorder = emit.Recorder(run, emit.claim_attempt(run), 0, [], "raise")
        recorder.run_started(self.settings, f"trainer --resume {run_id}")
        recorder.declare(emit.Past(), documents, index)
        recorder.attempt_started(LONE.size, circumstances(LONE, self.settings.threads), None)
        return build(documents, self.settings, LONE, recorder, artifacts)

    def resume(self, run_id: str) -> tuple[Training, emit.Past]:
        """The next attempt of a run whose recorder is closed."""
        run, past = emit.reopen(self.ledger, run_id)
        assert past.settings is not None
        settings = Settings.from_pairs(past.settings, emit.promises_of(run, past, LONE.size).settings)
        recorder = emit.Recorder(run, emit.claim_attempt(run), 0, past.previous, "raise")
        recorder.attempt_started(LONE.size, circumstances(LONE, settings.threads), past.checkpoint)
        return build(past.documents, settings, LONE, recorder, self.artifacts / run_id), past
