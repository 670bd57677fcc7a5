"""The run that the campaigns crash and break: 4 streams, 3 seals, 2 checkpoints, 1 resume after a kill; at its end
it is compacted and pruned.

It is played in one process, without the thread that syncs, so that it makes the same calls each time. What the
callers of the log were promised is kept beside it: which events were begun, accepted, durable.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from psion_ledger import events, log
from psion_ledger.digest import sha256
from psion_ledger.log import journal, manifest
from psion_ledger.log.compact import compact_run, prune_run
from psion_ledger.log.contract_files import parts_of
from psion_ledger.log.segment import seal_run
from tests.corpora import index_bytes
from tests.ledgers import RUN_ID, opened

FIRST, OTHER = "t0001.r00000", "t0001.r00001"
RESUMED, RESUMED_OTHER = "t0002.r00000", "t0002.r00001"
RANKS = {FIRST: (1, 0), OTHER: (1, 1), RESUMED: (2, 0), RESUMED_OTHER: (2, 1)}
# Said here once more, from the design: a promise is not read from the code that has to keep it.
DURABLE_ON_RETURN = (
    events.StreamOpened, events.ContractDeclared, events.AttemptStarted, events.CheckpointWritten,
    events.CheckpointLoaded, events.StreamEnded,
)  # fmt: skip


ROW = {
    "sequence_id": 0, "split_name": "train", "source_family_id": "prose", "tokens": 32, "token_sha256": bytes(32),
    "documents": [],
}  # fmt: skip


class Kept(msgspec.Struct):
    """How many of a stream's events were begun, accepted and made durable; events are counted from seq 0."""

    begun: int = 0
    accepted: int = 0
    durable: int = 0


class Promise(msgspec.Struct):
    """What a caller of the log may rely on."""

    created: bool = False
    attempts: int = 0
    index: str = ""
    entries: int = 0
    streams: dict[str, Kept] = {}


def batch(step: int, micro_step: int, sequences: int = 1) -> events.BatchReplayed:
    first = (2 * step + micro_step) * sequences
    ids = list(range(first, first + sequences))
    return events.BatchReplayed(
        pass_id="train", step=step, micro_step=micro_step, first_position=first, stride=1, sequences=sequences,
        sequence_ids=ids, sequence_sha256s=[],
        family_tokens=[events.FamilyTokens(source_family_id="prose", tokens=32 * sequences)],
        tokens=32 * sequences, target_tokens=31 * sequences, token_sha256=sha256(b"tokens %d" % first),
    )  # fmt: skip


def step_completed(step: int) -> events.StepCompleted:
    return events.StepCompleted(
        pass_id="train", step=step, loss_sum_nats=5.5 * 64, target_tokens=64, loss_divisor=64.0, loss_nats=5.5,
        grad_norm=1.25, learning_rate=1e-3, step_ms=20.5, updated=True, trace_sha256=sha256(b"trace %d" % step),
        trainer_step=None,
    )  # fmt: skip


def checkpoint(attempt: int, step: int, parent: str | None) -> events.CheckpointWritten:
    digest = sha256(b"weights after step %d" % step)
    return events.CheckpointWritten(
        checkpoint_id=f"a{attempt:04}-s{step:06}", checkpoint_family="train", step=step, parent_checkpoint_id=parent,
        files=[
            events.CheckpointFile(
                path=f"checkpoints/{step}/model.safetensors", bytes=4096, sha256=digest, role="weights"
            )
        ],
        tensor_layout_digest=digest, cursor_position=4 * step, writer_node_id="node-a", started_at_ns=1,
        durable_at_ns=2,
    )  # fmt: skip


def attempt_started(cut_step: int, checkpoint_id: str | None) -> events.AttemptStarted:
    return events.AttemptStarted(
        launch_id=None, checkpoint_id=checkpoint_id, cut_step=cut_step, cursor_position=4 * cut_step, world_size=2,
        data_workers=0, git_commit=None, git_dirty=None, versions=[], isa=None, threads_per_process=None, devices=[],
        deterministic=False,
    )  # fmt: skip


def train(stream: str, step: int, sequences: int = 1) -> list[tuple[Any, ...]]:
    made = [batch(step, 0, sequences), batch(step, 1, sequences), step_completed(step)]
    return [("emit", stream, event) for event in made]


SCRIPT: list[tuple[Any, ...]] = [
    ("create",), ("claim_attempt",), ("add_index",),
    ("open", FIRST), ("open", OTHER), ("declare_index", FIRST),
    ("emit", FIRST, attempt_started(0, None)), ("emit", OTHER, attempt_started(0, None)),
    *train(FIRST, 1), ("sync", FIRST), *train(OTHER, 1), *train(FIRST, 2), ("sync", OTHER), *train(OTHER, 2),
    ("emit", FIRST, checkpoint(1, 2, None)), ("rotate", FIRST), ("rotate", OTHER), *train(FIRST, 3),
    ("seal",),
    # Frames of more than 4,096 bytes, so that every torn size is inside one.
    *train(OTHER, 3, sequences=1500), ("sync", OTHER), *train(FIRST, 4, sequences=1500), *train(OTHER, 4),
    ("kill", FIRST), ("kill", OTHER),
    ("seal",), ("claim_attempt",),
    ("open", RESUMED), ("open", RESUMED_OTHER),
    ("emit", RESUMED, attempt_started(2, "a0001-s000002")),
    ("emit", RESUMED_OTHER, attempt_started(2, "a0001-s000002")),
    *train(RESUMED, 3), *train(RESUMED_OTHER, 3), ("rotate", RESUMED_OTHER), *train(RESUMED_OTHER, 4),
    ("sync", RESUMED), *train(RESUMED, 4), ("emit", RESUMED, checkpoint(2, 4, "a0001-s000002")),
    ("emit", RESUMED_OTHER, events.StreamEnded(outcome="completed", last_step=4)), ("close", RESUMED_OTHER),
    ("emit", RESUMED, events.StreamEnded(outcome="completed", last_step=4)), ("close", RESUMED),
    ("seal",), ("compact",), ("prune",),
]  # fmt: skip


class Play:
    """The script's words as calls of the log. `changed` is called when a promise is about to grow or has grown."""

    def __init__(self, ledger: Path, on_failure: log.OnFailure = "raise") -> None:
        self.ledger, self.run = ledger, ledger / RUN_ID
        self.on_failure: log.OnFailure = on_failure
        self.promise = Promise(streams={})
        self.events: dict[str, list[events.Event]] = {}
        self.writers: dict[str, log.Writer] = {}
        self.changed: Callable[[], object] = lambda: None

    def do(self, word: str, *arguments: Any) -> None:
        getattr(self, word)(*arguments)
        self.changed()

    def create(self) -> None:
        log.create_run(self.ledger, RUN_ID)
        self.promise.created = True

    def claim_attempt(self) -> None:
        self.promise.attempts = log.claim_attempt(self.run)

    def add_index(self) -> None:
        self._index = log.add_files(self.run, "sequence_index", [(index_bytes([ROW]), 1)])
        self.promise.index = parts_of("sequence_index", self._index)[0].path

    def declare_index(self, stream: str) -> None:
        self.emit(
            stream,
            events.ContractDeclared(
                contract_role="sequence_index", schema_version="psion_ledger.sequence_index.v1",
                sha256=sha256(self._index.encode()), document=self._index,
            ),
        )  # fmt: skip

    def open(self, stream: str) -> None:
        attempt, rank = RANKS[stream]
        ends = log.previous_ends(self.run, attempt) if attempt > 1 else []
        claimed = log.attempt_sha256(self.run, attempt)
        event = opened(attempt, rank, previous=log.pinned_by(rank, ends), attempt_sha256=claimed)
        self._begin(stream, event)
        self.writers[stream] = log.open_writer(self.run, event, on_failure=self.on_failure)
        if self.writers[stream]._failure is None:  # Else it was detached from the start.
            self._accepted(stream, event)

    def _begin(self, stream: str, event: events.Event) -> None:
        kept = self.promise.streams.setdefault(stream, Kept())
        self.events.setdefault(stream, []).append(event)
        kept.begun += 1
        self.changed()

    def _accepted(self, stream: str, event: events.Event) -> None:
        kept = self.promise.streams[stream]
        kept.accepted += 1
        if isinstance(event, DURABLE_ON_RETURN):
            kept.durable = kept.accepted

    def emit(self, stream: str, event: events.Event) -> None:
        self._begin(stream, event)
        if self.writers[stream].emit(event) != log.NOT_RECORDED:
            self._accepted(stream, event)

    def sync(self, stream: str) -> None:
        self.writers[stream].sync()
        self._all_durable(stream)

    def rotate(self, stream: str) -> None:
        self.writers[stream].rotate()
        self._all_durable(stream)

    def close(self, stream: str) -> None:
        failed = self.writers[stream]._failure is not None
        self.writers[stream].close()
        if not failed:
            self._all_durable(stream)

    def _all_durable(self, stream: str) -> None:
        self.promise.streams[stream].durable = self.promise.streams[stream].accepted

    def kill(self, stream: str) -> None:
        """The process ends here: nothing is synced, and the lock is free."""
        writer = self.writers.pop(stream)
        writer._closing.set()
        writer._die_in_child()

    def seal(self) -> None:
        made: list[manifest.Entry] = seal_run(self.run).entries
        self.promise.entries += len(made)
        for entry in made:
            if kept := self.promise.streams.get(entry.stream):
                kept.durable = max(kept.durable, entry.last_seq + 1)

    def compact(self) -> None:
        self.promise.entries += len(compact_run(self.run))

    def prune(self) -> None:
        prune_run(self.run)


@contextmanager
def no_sync_thread() -> Iterator[None]:
    """Writers sync when they are told to, so that every play makes the same calls."""
    before, journal.SYNC_EVERY_S = journal.SYNC_EVERY_S, 86_400.0
    try:
        yield
    finally:
        journal.SYNC_EVERY_S = before
