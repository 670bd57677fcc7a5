"""A run small enough for a test: two families of made-up text, 6 steps of 4 sequences of 16 tokens."""

import random
from dataclasses import replace
from pathlib import Path

import torch

from psion_ledger import Promises
from trainer import emit
from trainer.beginning import prepare, read_text
from trainer.binding import promises_of
from trainer.config import ANCHORS, Command, Settings
from trainer.environment import World
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

    def command(self, run_id: str) -> Command:
        return Command(
            flags={},
            resume=None,
            run_id=run_id,
            ledger=self.ledger,
            artifacts=self.artifacts,
            on_ledger_failure="raise",
        )

    def begin(self, run_id: str) -> Training:
        """Attempt 1, with everything declared; close its recorder."""
        command, artifacts = self.command(run_id), self.artifacts / run_id
        promised, index = prepare(self.settings, read_text(self.settings), run_id, artifacts, LONE.size)
        promises = Promises(contracts=promised, files={"sequence_index": lambda: ("parquet", index)})
        return build(
            promised, self.settings, LONE, emit.start(command, self.settings, promises, None, finish=False), artifacts
        )

    def resume(self, run_id: str) -> Training:
        """The next attempt of a run whose recorder is closed."""
        command = self.command(run_id)
        past = emit.reopen(command)
        assert past.settings is not None
        assert past.contracts is not None
        settings = Settings.from_pairs(list(past.settings.items()), promises_of(past, LONE.size).settings)
        recorder = emit.start(command, settings, Promises(contracts=past.contracts), past, finish=False)
        return build(past.contracts, settings, LONE, recorder, self.artifacts / run_id)
