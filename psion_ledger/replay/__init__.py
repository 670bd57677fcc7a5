"""Replay: order and content of every batch derived again from contracts and shards, without the trainer's code."""

from psion_ledger.replay.batches import Cell, Corpus, batches, declared_corpus_digest, opened_corpus
from psion_ledger.replay.compare import REPLAYED_SCHEMA, Replay, record_replay, replay, replay_table

__all__ = [
    "REPLAYED_SCHEMA",
    "Cell",
    "Corpus",
    "Replay",
    "batches",
    "declared_corpus_digest",
    "opened_corpus",
    "record_replay",
    "replay",
    "replay_table",
]
