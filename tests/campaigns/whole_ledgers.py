"""Ledgers in which nothing is wrong: one with every sort of file, whose bits are flipped, and drawn ones."""

import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from psion_ledger import events, heads, log
from psion_ledger.digest import sha256
from psion_ledger.log import claim, manifest, position
from psion_ledger.log.compact import compact_run, prune_run
from psion_ledger.log.segment import seal_run
from tests.campaigns.canonical_run import (
    FIRST,
    OTHER,
    RESUMED,
    attempt_started,
    batch,
    checkpoint,
    no_sync_thread,
    step_completed,
)
from tests.corpora import index_bytes
from tests.heads.samples import KEY
from tests.ledgers import COMPLETION, RUN_ID, opened
from tests.log.vocabulary import EXAMPLES

VERIFICATION = "v.order"
# Every kind but those that open a stream or are drawn by themselves.
KINDS = sorted(EXAMPLES.keys() - {"stream_opened"})


@contextmanager
def reproducible() -> Iterator[None]:
    """The nonce, the clock and the moments of syncs are the same each time, and so is every byte that is written."""
    token, now, ticks = secrets.token_hex, time.time_ns, count(1_800_000_000_000_000_000, 1_000)
    with no_sync_thread():
        try:
            setattr(secrets, "token_hex", lambda size: "5e" * size)  # noqa: B010 - a module's function
            setattr(time, "time_ns", lambda: next(ticks))  # noqa: B010
            setattr(position, "time_ns", lambda: next(ticks))  # noqa: B010
            yield
        finally:
            setattr(secrets, "token_hex", token)  # noqa: B010
            setattr(time, "time_ns", now)  # noqa: B010
            setattr(position, "time_ns", now)  # noqa: B010


def sign(run: Path) -> None:
    """Keep a signed head of the manifest as it is."""
    claimed, claim_sha256 = claim.read_claim(run)
    known = manifest.read(run, claim_sha256)
    name = heads.origin(claimed.run_id, claimed.nonce)
    head = heads.Head(origin=name, size=len(known.entries), root=known.head())
    log.keep_head(run, head.size, heads.sign(head, KEY))


def kill(writer: log.Writer) -> None:
    """The writer's process ends here: nothing is synced, and its lock is free."""
    writer._closing.set()
    writer._die_in_child()


def step_events(step: int) -> list[events.Event]:
    return [batch(step, 0, 2), batch(step, 1, 2), step_completed(step)]


def emit_step(writer: log.Writer, step: int) -> None:
    for event in step_events(step):
        writer.emit(event)


def canonical_ledger(ledger: Path) -> Path:
    """A run with every sort of file that a ledger has, none of them large; the same bytes each time, so no stream names
    the claim of its attempt, which says what process it was."""
    with reproducible():
        run = log.create_run(ledger, RUN_ID)
        log.claim_attempt(run)
        index = log.add_files(run, "sequence_index", [(index_bytes([]), 1), (b"a second part", 1)])
        first, other = log.open_writer(run, opened()), log.open_writer(run, opened(rank=1))
        first.emit(
            events.ContractDeclared(
                contract_role="sequence_index", schema_version="psion_ledger.sequence_index.v1",
                sha256=sha256(index.encode()), document=index,
            )
        )  # fmt: skip
        for step, writer in enumerate([first, other, first], start=1):
            emit_step(writer, step)
            writer.rotate()
            seal_run(run, writer.stream)
        sign(run)
        compact_run(run)
        sign(run)
        # A journal with a successor, and one of another stream whose last frames no watermark covers.
        emit_step(first, 4)
        first.rotate()
        emit_step(first, 5)
        kill(first)
        kill(other)
        log.claim_attempt(run)
        resumed = log.open_writer(run, opened(attempt=2, previous=log.previous_ends(run, 2)))
        resumed.emit(attempt_started(2, "a0001-s000002"))
        emit_step(resumed, 3)
        resumed.emit(checkpoint(2, 3, "a0001-s000002"))
        for step in (4, 5):
            emit_step(resumed, step)
        kill(resumed)
        verify = log.open_writer(run, opened(role="verify"), stream=VERIFICATION)
        verify.emit(EXAMPLES["verification_started"])
        verify.close()
        complete = log.open_writer(run, opened(2, role="complete"), stream=COMPLETION)
        complete.emit(EXAMPLES["receipt_recorded"])
        complete.close()
    assert {p.parent.name for p in run.glob("journal/*/*")} == {FIRST, OTHER, RESUMED, VERIFICATION, COMPLETION}
    return run


# ---- Drawn ledgers ----


class Player:
    """Plays a drawn run; at its end some writers still live, some are closed and some were killed."""

    def __init__(self, ledger: Path, draw: random.Random) -> None:
        self.draw, self.run = draw, log.create_run(ledger, RUN_ID)
        self.writers: list[log.Writer] = []
        self.played: list[str] = []
        self._attempt = 0
        self.restart()

    def restart(self) -> None:
        """The next attempt: the writers of the one before end, and what they left is sealed."""
        for writer in self.writers:
            self.draw.choice([kill, log.Writer.close])(writer)
        self.writers.clear()
        seal_run(self.run)
        self._attempt = log.claim_attempt(self.run)
        for rank in range(self.draw.randint(1, 4)):
            previous = log.pinned_by(rank, log.previous_ends(self.run, self._attempt))
            self.writers.append(log.open_writer(self.run, opened(self._attempt, rank, previous=previous)))

    def verify(self) -> None:
        name = f"v.{len(self.played)}"
        self.writers.append(log.open_writer(self.run, opened(self._attempt, role="verify"), stream=name))

    def complete(self) -> None:
        name = f"c.{len(self.played)}"
        self.writers.append(log.open_writer(self.run, opened(self._attempt, role="complete"), stream=name))

    def emit(self) -> None:
        writer = self.draw.choice(self.writers)
        for _ in range(self.draw.choice([1, 3, 10])):
            writer.emit(EXAMPLES[self.draw.choice(KINDS[:8] if self.draw.random() < 0.7 else KINDS)])

    def rotate(self) -> None:
        self.draw.choice(self.writers).rotate()

    def sync(self) -> None:
        self.draw.choice(self.writers).sync()

    def seal(self) -> None:
        seal_run(self.run)

    def compact(self) -> None:
        compact_run(self.run)

    def prune(self) -> None:
        prune_run(self.run)

    def index(self) -> None:
        sizes = [self.draw.choice([10, 200]) for _ in range(self.draw.randint(1, 3))]
        log.add_files(self.run, "sequence_index", [(index_bytes([])[:size], 1) for size in sizes])

    def sign(self) -> None:
        sign(self.run)

    def play(self) -> None:
        moves: list[Callable[[], None]] = [
            *[self.emit] * 8, *[self.rotate] * 4, *[self.seal] * 3, self.sync, self.compact, self.prune, self.index,
            self.sign, self.verify, self.complete, self.restart,
        ]  # fmt: skip
        for _ in range(self.draw.randint(3, 30)):
            move = self.draw.choice(moves)
            self.played.append(move.__name__)
            move()


@contextmanager
def drawn_ledger(ledger: Path, draw: random.Random) -> Iterator[Player]:
    """A run in which nothing is wrong, whose last writers may still live."""
    player = Player(ledger, draw)
    try:
        player.play()
        for writer in list(player.writers):
            end = draw.choice([None, kill, log.Writer.close])
            if end is not None:
                end(writer)
        yield player
    finally:
        for writer in player.writers:
            writer.close()
