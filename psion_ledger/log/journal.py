"""The writer of one stream. It owns the stream's position, and the thread that syncs what was written.

`emit` returns after one write(2): the event survives SIGKILL (accepted). A thread syncs every 50 ms; the events
that others rest on are synced before `emit` returns: they survive power loss (durable). The first write or
sync that fails poisons the writer, because after a failed sync the kernel may have dropped what it said it kept:
the writer then raises, or lets training go on without a record, and says so in a stream of its own at the end.

Threads and signal handlers may share a writer: its locks are reentrant, and `position` moves in one step.
"""

import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NoReturn

import msgspec

from psion_ledger import events
from psion_ledger.errors import EventRefused, LedgerError, WriterFailed
from psion_ledger.log import claim, files
from psion_ledger.log.frame import checked
from psion_ledger.log.liveness import refuse_existing
from psion_ledger.log.names import gap_stream, stream_name
from psion_ledger.log.position import Position
from psion_ledger.log.sealer import Sealer

ROTATE_AT_BYTES = 64 << 20
SYNC_EVERY_S = 0.05
NOT_RECORDED = -1
OnFailure = Literal["raise", "detach"]
# Looked up by exact type, which is what the decoder returns: isinstance over so many classes takes a microsecond.
_DURABLE_ON_RETURN = frozenset({
    events.StreamOpened, events.RunStarted, events.AttemptStarted, events.ContractDeclared, events.StageStarted,
    events.StageCompleted, events.StageAdvanced, events.CheckpointWritten, events.CheckpointLoaded,
    events.CheckpointRemoved, events.CheckpointPromoted, events.ReceiptRecorded, events.VerificationStarted,
    events.VerificationCompleted, events.StreamEnded, events.RunFinished,
})  # fmt: skip
_writers: "weakref.WeakSet[Writer]" = weakref.WeakSet()


def open_writer(
    run: Path,
    opened: events.StreamOpened,
    stream: str | None = None,
    on_failure: OnFailure = "raise",
) -> "Writer":
    """Begin a new stream with `opened` as its seq 0. Full journals are sealed by a process of their own.

    `on_failure` says what a write or sync that fails does: raise WriterFailed, then and ever after, or detach the
    writer, whose emit then returns NOT_RECORDED. What was not recorded is counted, and `close` tries to say so in a
    new stream; a run that lacks a stream's end, or has such a gap, never passes an audit.

    Raises WriterBusy when a live process holds the stream, UsageError when the stream exists already, WriterFailed
    when it cannot be written.
    """
    name = claim.check_stream(stream or stream_name(opened))
    folder = run / "journal" / name
    opened = checked(opened, name)
    try:
        files.make_folder(folder.parent)
        folder.mkdir(mode=0o700)
        try:
            files.sync_folder(folder.parent)
            files.sync_above(run)
            return Writer(run, name, opened, on_failure)
        except BaseException:
            with contextlib.suppress(OSError):
                folder.rmdir()  # So that whoever tries again does not find it taken.
            raise
    except FileExistsError:
        refuse_existing(folder)
    except OSError as error:
        raise WriterFailed(
            f"run {run.name}, stream {name}: cannot be opened: {error.strerror or error}; {files.remedy(error)}"
        ) from error


class Writer:
    """Threads may share it, and signal handlers; a fork's child may not: there it is dead and raises."""

    def __init__(self, run: Path, stream: str, opened: events.StreamOpened, on_failure: OnFailure) -> None:
        self.run, self.stream = run, stream
        claimed, _ = claim.read_claim(run)
        self._opened, self._on_failure = opened, on_failure
        self._sealer = Sealer(run, stream)
        self._lost_events = 0
        self._closed = False
        self._failure: str | None = None
        self._lock = threading.RLock()
        self._sync_lock = threading.RLock()
        self._durable_through = 0
        self._unsaid: str | None = None
        self._gap: Writer | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_syncing, name=f"sync {stream}", daemon=True)
        position = None
        try:
            self._position = position = Position(run, stream, claimed, opened)
            _writers.add(self)
            self._thread.start()
        except BaseException:
            self._closing.set()
            if position is not None:
                position.let_go()
            raise

    def emit(self, event: events.Event) -> int:
        """Append one event and return its seq; on return it is accepted, and durable if others rest on its kind.

        Raises EventRefused when the event breaks its own schema (nothing was written), WriterFailed after the
        first failed write or sync. A detached writer returns NOT_RECORDED instead.
        """
        try:
            return self._append(event)
        except WriterFailed:
            if self._on_failure == "raise" or self._closed:
                raise
            with self._lock:
                self._lost_events += 1
            return NOT_RECORDED

    def _append(self, event: events.Event) -> int:
        event = checked(event, self.stream)
        if type(event) is events.StreamOpened:
            self._refuse_another(event)
        with self._lock:
            seq = 0
            while not seq:  # A signal handler that emits meanwhile gives the event another seq.
                if self._failure is not None:
                    raise WriterFailed(self._failure)
                try:
                    seq = self._position.write(event, self._durable_through)
                except OSError as error:
                    self._poison("write", error)
        if self._position.at.bytes_total >= ROTATE_AT_BYTES:
            self._rotate_full()
        if type(event) in _DURABLE_ON_RETURN:
            try:
                self.sync()
            except WriterFailed:
                if self._on_failure == "raise":
                    raise
                return NOT_RECORDED  # It is accepted, and not lost: no event of a gap.
        return seq

    def _refuse_another(self, opened: events.StreamOpened) -> None:
        """Role, attempt and rank are one for the whole stream: sealed, they stand in every row of it."""
        theirs, ours = ((o.role, o.attempt, o.rank) for o in (opened, self._opened))
        if theirs != ours:
            raise EventRefused(f"stream {self.stream}: opened as {ours}, and now as {theirs}: a stream begins once")

    def _poison(self, what: str, error: OSError | LedgerError) -> NoReturn:
        reason = getattr(error, "strerror", None) or error
        self._failure = (
            f"run {self.run.name}, stream {self.stream}, seq {self._position.at.seq}: {what} failed: {reason}; "
            f"what was accepted before is kept: {files.remedy(error)}, then resume the run"
        )
        if self._on_failure == "detach":
            self._unsaid = self._failure
            print(f"psion-ledger: {self._failure}; training goes on and is not recorded", file=sys.stderr)
        raise WriterFailed(self._failure) from error

    def sync(self) -> None:
        """Return when everything accepted so far is durable."""
        with self._sync_lock:
            self._sync_alone()

    def _sync_alone(self) -> None:
        if self._failure is not None:
            raise WriterFailed(self._failure)
        at = self._position.at
        if at.seq - 1 <= self._durable_through or not at.held.is_open:
            return
        try:
            os.fsync(at.held.fd)
        except OSError as error:
            if at.held.is_open:  # Else a signal handler has let go of it, synced.
                self._poison("sync", error)
        self._durable_through = max(self._durable_through, at.seq - 1)

    def _keep_syncing(self) -> None:
        while not self._closing.wait(SYNC_EVERY_S):
            # A thread that holds the lock may wait for this one to end.
            if self._sync_lock.acquire(timeout=SYNC_EVERY_S):
                try:
                    self._sync_alone()
                except WriterFailed:
                    return  # The next emit raises it, in the thread that can act on it.
                finally:
                    self._sync_lock.release()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Both locks. Whoever holds the second may be interrupted by a handler that waits for the first."""
        while True:
            with self._lock:
                if self._sync_lock.acquire(timeout=SYNC_EVERY_S):
                    try:
                        yield
                    finally:
                        self._sync_lock.release()
                    return

    def _rotate_full(self) -> None:
        with self._alone():
            if self._position.at.bytes_total < ROTATE_AT_BYTES or self._failure is not None:
                return  # Another thread was first.
            self._rotate_alone()
            self._sealer.journal_left()

    def _rotate_alone(self) -> None:
        self._sync_alone()
        try:
            self._position.rotate()
        except OSError as error:
            self._poison("rotation", error)

    def rotate(self) -> None:
        """Leave the journal written so far to whoever seals next, and go on in a new one."""
        with self._alone():
            if self._failure is not None:
                raise WriterFailed(self._failure)
            self._rotate_alone()

    def close(self) -> None:
        """Sync and let go of the stream; nothing can be emitted after it. A failed writer only lets go."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            if self._failure is None:
                self.sync()
        except WriterFailed:
            if self._on_failure == "raise":
                raise
        finally:
            self._closed = True
            with self._alone():
                self._let_go(f"stream {self.stream} is closed")
            self._sealer.wait()
        if (reason := self._unsaid) is not None:
            self._record_gap(reason)
            self._unsaid = None

    def _record_gap(self, reason: str) -> None:
        """Say in a stream of its own what this one lacks. If even that cannot be written, the stream has no end."""
        gap = events.GapRecorded(
            gap_stream=self.stream, after_seq=self._position.at.seq - 1, events_lost=self._lost_events, reason=reason
        )
        opened = msgspec.structs.replace(self._opened, role="verify", previous=[])
        try:
            if self._gap is None:
                self._gap = open_writer(self.run, opened, stream=gap_stream(self.stream))
            if self._gap._position.at.seq == 1:
                self._gap.emit(gap)
            self._gap.close()
        except (LedgerError, OSError) as error:
            print(f"psion-ledger: the gap in stream {self.stream} could not be recorded: {error}", file=sys.stderr)

    def _let_go(self, why: str) -> None:
        if self._failure is None:
            with contextlib.suppress(OSError):
                self._position.settle()
        self._failure = self._failure or why
        self._position.let_go()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _die_in_child(self) -> None:
        # The parent's thread may have held a lock at the moment of the fork.
        self._lock, self._sync_lock = threading.RLock(), threading.RLock()
        self._closed = True
        self._failure = f"stream {self.stream} belongs to the process that forked this one (pid {os.getppid()})"
        self._position.at.held.drop()


def _after_fork_in_child() -> None:
    for writer in list(_writers):
        writer._die_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
