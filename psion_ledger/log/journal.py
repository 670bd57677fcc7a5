"""The writer of one stream. It owns the journal file, its lock, the chain and the thread that syncs it.

`emit` returns after one write(2): the event survives SIGKILL (accepted). A thread syncs every 50 ms; the events
that others rest on are synced before `emit` returns: they survive power loss (durable). The first write or
sync that fails poisons the writer, because after a failed sync the kernel may have dropped what it said it kept:
the writer then raises, or lets training go on without a record, and says so in a stream of its own at the end.
"""

import contextlib
import errno
import os
import sys
import threading
import weakref
from pathlib import Path
from time import time_ns
from typing import Literal, NoReturn

import msgspec

from psion_ledger import events
from psion_ledger.digest import leaf_hash
from psion_ledger.errors import EventRefused, LedgerError, WriterBusy, WriterFailed
from psion_ledger.log import claim, files, frame
from psion_ledger.log.frame import checked, encode, enveloped
from psion_ledger.log.liveness import begin_journal, refuse_existing
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
    events.VerificationCompleted, events.RunFinished,
})  # fmt: skip
_writers: "weakref.WeakSet[Writer]" = weakref.WeakSet()


def stream_name(opened: events.StreamOpened) -> str:
    """The name of a train stream; a verification's stream is named after its id."""
    return f"t{opened.attempt:04}.r{opened.rank:05}"


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
    """Threads may share it; a fork's child may not: there it is dead and raises."""

    def __init__(self, run: Path, stream: str, opened: events.StreamOpened, on_failure: OnFailure) -> None:
        self.run, self.stream = run, stream
        self._claim, _ = claim.read_claim(run)
        self._opened, self._on_failure = opened, on_failure
        self._sealer = Sealer(run, stream)
        self._lost_events = 0
        self._closed = False
        self._seq = self._journal_first_seq = 0
        self._link = frame.first_link(self._claim.run_id, stream, bytes.fromhex(self._claim.nonce))
        self._durable_through = frame.NOTHING_DURABLE
        self._failure: str | None = None
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        opening = encode((0, time_ns(), self._link, self._durable_through, opened))
        self._fd, self._bytes = self._begin_journal(enveloped(opening))
        self._seq, self._link, self._durable_through = 1, leaf_hash(opening), 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_syncing, name=f"sync {stream}", daemon=True)
        self._thread.start()
        _writers.add(self)

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
            if self._failure is not None:
                raise WriterFailed(self._failure)
            seq = self._seq
            body = encode((seq, time_ns(), self._link, self._durable_through, event))
            if len(body) > frame.FRAME_BYTES_MAX:
                raise EventRefused(
                    f"stream {self.stream}, {type(event).__name__}: larger than {frame.FRAME_BYTES_MAX:,} bytes"
                )
            data = enveloped(body)
            self._write(data)
            self._link = leaf_hash(body)
            self._seq = seq + 1
            self._bytes += len(data)
        if self._bytes >= ROTATE_AT_BYTES:
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

    def _write(self, data: bytes) -> None:
        try:
            if os.write(self._fd, data) != len(data):
                raise OSError(errno.ENOSPC, "the write came up short; is the disk full?")
        except OSError as error:
            self._poison("write", error)

    def _poison(self, what: str, error: OSError | LedgerError) -> NoReturn:
        reason = getattr(error, "strerror", None) or error
        self._failure = (
            f"run {self.run.name}, stream {self.stream}, seq {self._seq}: {what} failed: {reason}; "
            f"what was accepted before is kept: {files.remedy(error)}, then resume the run"
        )
        if self._on_failure == "detach":
            print(f"psion-ledger: {self._failure}; training goes on and is not recorded", file=sys.stderr)
        raise WriterFailed(self._failure) from error

    def sync(self) -> None:
        """Return when everything accepted so far is durable."""
        with self._sync_lock:
            with self._lock:
                if self._failure is not None:
                    raise WriterFailed(self._failure)
                through, fd = self._seq - 1, self._fd
            if through == self._durable_through:
                return
            try:
                os.fsync(fd)
            except OSError as error:
                self._poison("sync", error)
            self._durable_through = through

    def _keep_syncing(self) -> None:
        while not self._closing.wait(SYNC_EVERY_S):
            try:
                self.sync()
            except WriterFailed:
                return  # The next emit raises it, in the thread that can act on it.

    def _begin_journal(self, opening: bytes = b"") -> tuple[int, int]:
        header = frame.Header(
            format_version=claim.FORMAT_VERSION,
            events_version=events.EVENTS_VERSION,
            run_id=self._claim.run_id,
            stream=self.stream,
            nonce=bytes.fromhex(self._claim.nonce),
            first_seq=self._seq,
            link_before=self._link,
        )
        begun = begin_journal(self.run, header, opening)
        self._journal_first_seq = self._seq
        return begun

    def _rotate_full(self) -> None:
        with self._sync_lock, self._lock:
            if self._bytes < ROTATE_AT_BYTES or self._failure is not None:
                return  # Another thread was first.
            self._rotate_locked()
            self._sealer.journal_left()

    def _rotate_locked(self) -> None:
        # Under both locks: no sync may run on a descriptor that is being closed.
        if self._seq == self._journal_first_seq:
            return  # Nothing is written in it yet, so nothing is left to anybody.
        try:
            os.fsync(self._fd)
            self._durable_through = self._seq - 1
            following = self._begin_journal()
        except (OSError, WriterBusy) as error:
            self._poison("rotation", error)
        os.close(self._fd)
        self._fd, self._bytes = following

    def rotate(self) -> None:
        """Leave the journal written so far to whoever seals next, and go on in a new one."""
        with self._sync_lock, self._lock:
            if self._failure is not None:
                raise WriterFailed(self._failure)
            self._rotate_locked()

    def close(self) -> None:
        """Sync and let go of the stream; nothing can be emitted after it. A failed writer only lets go."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        failed_before = self._failure is not None
        try:
            if not failed_before:
                self.sync()
        except WriterFailed:
            if self._on_failure == "raise":
                raise
        finally:
            reason = None if self._closed else self._failure
            self._closed = True
            with self._sync_lock, self._lock:
                self._let_go(f"stream {self.stream} is closed")
            self._sealer.wait()
        if reason is not None and self._on_failure == "detach":
            self._record_gap(reason)

    def _record_gap(self, reason: str) -> None:
        """Say in a stream of its own what this one lacks. If even that cannot be written, the stream has no end."""
        gap = events.GapRecorded(
            gap_stream=self.stream, after_seq=max(self._seq - 1, 0), events_lost=self._lost_events, reason=reason
        )
        opened = msgspec.structs.replace(self._opened, role="verify", previous=[])
        try:
            with open_writer(self.run, opened, stream=f"v.gap-{self.stream}") as writer:
                writer.emit(gap)
                writer.sync()
        except (LedgerError, OSError) as error:
            print(f"psion-ledger: the gap in stream {self.stream} could not be recorded: {error}", file=sys.stderr)

    def _let_go(self, why: str) -> None:
        self._failure = self._failure or why
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _die_in_child(self) -> None:
        # The parent's thread may have held a lock at the moment of the fork.
        self._lock, self._sync_lock = threading.Lock(), threading.Lock()
        self._closed = True
        self._let_go(f"stream {self.stream} belongs to the process that forked this one (pid {os.getppid()})")


def _after_fork_in_child() -> None:
    for writer in list(_writers):
        writer._die_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
