"""Replay: order and content of every batch derived again from contracts and shards, without the trainer's code."""

from psion_ledger.replay.batches import Cell, Shards, batches, declared_corpus_digest
from psion_ledger.replay.compare import REPLAYED_SCHEMA, Replay, record_replay, replay, replay_table

__all__ = [
    "REPLAYED_SCHEMA",
    "Cell",
    "Replay",
    "Shards",
    "batches",
    "declared_corpus_digest",
    "record_replay",
    "replay",
    "replay_table",
]
