"""The writer of one stream. It owns the journal file, its lock, the chain and the thread that syncs it.

`emit` returns after one write(2): the event survives SIGKILL (accepted). A thread syncs every 50 ms; the events
that others rest on are synced before `emit` returns: they survive power loss (durable). The first write or
sync that fails poisons the writer, because after a failed sync the kernel may have dropped what it said it kept:
the writer then raises, or lets training go on without a record, and says so in a stream of its own at the end.

A signal handler may raise, emit or close at any point of this. So where the stream stands is one value, `_at`, that
moves in one step. `_next` is where it will stand after the write that is under way: while the two differ, the length
of the file tells whether that write was done, and whoever comes next asks it. Locks are reentrant.
"""

import contextlib
import errno
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from time import time_ns
from typing import Literal, NoReturn

import msgspec

from psion_ledger import events
from psion_ledger.digest import leaf_hash
from psion_ledger.errors import EventRefused, LedgerError, WriterBusy, WriterFailed
from psion_ledger.log import claim, files, frame
from psion_ledger.log.frame import checked, encode, enveloped
from psion_ledger.log.held import Held, begin, place, prepare
from psion_ledger.log.liveness import refuse_existing
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


class _At(msgspec.Struct, frozen=True, gc=False):
    """Where a stream stands: the journal that it is written to, the next seq, the last link, the file's length."""

    held: Held
    seq: int
    link: bytes
    bytes_total: int


class _Rotation(msgspec.Struct, frozen=True, gc=False):
    """Going on from one journal to the `following`, which has a scratch name until it gets its `path`."""

    following: _At
    left: Held
    path: Path
    scratch: Path


class Writer:
    """Threads may share it, and signal handlers; a fork's child may not: there it is dead and raises."""

    def __init__(self, run: Path, stream: str, opened: events.StreamOpened, on_failure: OnFailure) -> None:
        self.run, self.stream = run, stream
        self._claim, _ = claim.read_claim(run)
        self._opened, self._on_failure = opened, on_failure
        self._sealer = Sealer(run, stream)
        self._lost_events = 0
        self._closed = False
        self._failure: str | None = None
        self._lock = threading.RLock()
        self._sync_lock = threading.RLock()
        self._rotation: _Rotation | None = None
        self._durable_through = 0
        self._unsaid: str | None = None
        self._gap: Writer | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_syncing, name=f"sync {stream}", daemon=True)
        link = frame.first_link(self._claim.run_id, stream, bytes.fromhex(self._claim.nonce))
        body = encode((0, time_ns(), link, frame.NOTHING_DURABLE, opened))
        held = None
        try:
            held, bytes_total = begin(run, self._header(0, link), enveloped(body))
            self._at = _At(held, 1, leaf_hash(body), bytes_total)
            self._next: _At | None = self._at
            _writers.add(self)
            self._thread.start()
        except BaseException:
            self._closing.set()
            if held is not None:
                held.let_go()
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
            while not (seq := self._written(event)):
                pass  # A signal handler has emitted meanwhile, so the event has another seq.
        if self._at.bytes_total >= ROTATE_AT_BYTES:
            self._rotate_full()
        if type(event) in _DURABLE_ON_RETURN:
            try:
                self.sync()
            except WriterFailed:
                if self._on_failure == "raise":
                    raise
                return NOT_RECORDED  # It is accepted, and not lost: no event of a gap.
        return seq

    def _written(self, event: events.Event) -> int:
        """Write the event at its place, and return its seq; 0 when that place is another one by now. Under the lock."""
        while self._next is not self._at:
            self._settle()
        if self._failure is not None:
            raise WriterFailed(self._failure)
        at = self._at
        body = encode((at.seq, time_ns(), at.link, self._durable_through, event))
        if len(body) > frame.FRAME_BYTES_MAX:
            raise EventRefused(
                f"stream {self.stream}, {type(event).__name__}: larger than {frame.FRAME_BYTES_MAX:,} bytes"
            )
        data = enveloped(body)
        self._next = after = _At(at.held, at.seq + 1, leaf_hash(body), at.bytes_total + len(data))
        # No handler runs between this look and the call: Python asks for signals after calls and at loops alone.
        if self._at is not at:
            return 0
        try:
            if os.write(at.held.fd, data) != len(data):
                raise OSError(errno.ENOSPC, "the write came up short; is the disk full?")
        except OSError as error:
            self._poison("write", error)
        if self._at is at:
            self._at = after
        return at.seq

    def _settle(self) -> None:
        """Finish what an exception of a signal handler interrupted: a write, or going on to a new journal. A handler
        may come here, too, so every look at the disk is followed by one at what it was about."""
        at, after = self._at, self._next
        if after is None:
            self._settle_rotation()
        elif self._failure is None:
            bytes_total = os.fstat(at.held.fd).st_size
            if self._at is not at or self._next is not after:
                return
            if bytes_total == after.bytes_total:
                self._at = after
            elif bytes_total != at.bytes_total:
                self._poison("write", OSError(errno.EIO, f"its journal has {bytes_total:,} bytes"))
        self._next = self._at

    def _settle_rotation(self) -> None:
        """Go on to the new journal if it has its name, else forget it."""
        if (rotation := self._rotation) is None:
            return
        named = rotation.following.held.is_at(rotation.path)
        if self._at.held is rotation.left and named:
            self._at = rotation.following
        elif not named:
            rotation.following.held.let_go()
        files.sync_folder(rotation.path.parent)
        rotation.scratch.unlink(missing_ok=True)
        if named:
            rotation.left.let_go()
        if self._rotation is rotation:
            self._rotation = None

    def _refuse_another(self, opened: events.StreamOpened) -> None:
        """Role, attempt and rank are one for the whole stream: sealed, they stand in every row of it."""
        theirs, ours = ((o.role, o.attempt, o.rank) for o in (opened, self._opened))
        if theirs != ours:
            raise EventRefused(f"stream {self.stream}: opened as {ours}, and now as {theirs}: a stream begins once")

    def _poison(self, what: str, error: OSError | LedgerError) -> NoReturn:
        reason = getattr(error, "strerror", None) or error
        self._failure = (
            f"run {self.run.name}, stream {self.stream}, seq {self._at.seq}: {what} failed: {reason}; "
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
        at = self._at
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

    def _header(self, first_seq: int, link_before: bytes) -> frame.Header:
        return frame.Header(
            format_version=claim.FORMAT_VERSION,
            events_version=events.EVENTS_VERSION,
            run_id=self._claim.run_id,
            stream=self.stream,
            nonce=bytes.fromhex(self._claim.nonce),
            first_seq=first_seq,
            link_before=link_before,
        )

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
            if self._at.bytes_total < ROTATE_AT_BYTES or self._failure is not None:
                return  # Another thread was first.
            self._rotate_alone()
            self._sealer.journal_left()

    def _rotate_alone(self) -> None:
        if self._next is not self._at:
            self._settle()
        at = self._at
        if at.seq == at.held.first_seq:
            return  # Nothing is written in it yet, so nothing is left to anybody.
        self._sync_alone()
        try:
            held, scratch, bytes_total = prepare(self.run, self._header(at.seq, at.link))
            path = place(self.run, self.stream, at.seq)
            following = _At(held, at.seq, at.link, bytes_total)
            name, final = str(scratch), str(path)  # To ask a Path for its text is a call, too.
            self._rotation = mine = _Rotation(following, at.held, path, scratch)
            self._next = None
            # As at a write, no handler runs between this look and the call; one that came before has settled it.
            if self._rotation is mine and self._at is at:
                os.link(name, final, follow_symlinks=False)
            self._settle()
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
            gap_stream=self.stream, after_seq=self._at.seq - 1, events_lost=self._lost_events, reason=reason
        )
        opened = msgspec.structs.replace(self._opened, role="verify", previous=[])
        try:
            if self._gap is None:
                self._gap = open_writer(self.run, opened, stream=f"v.gap-{self.stream}")
            if self._gap._at.seq == 1:
                self._gap.emit(gap)
            self._gap.close()
        except (LedgerError, OSError) as error:
            print(f"psion-ledger: the gap in stream {self.stream} could not be recorded: {error}", file=sys.stderr)

    def _let_go(self, why: str) -> None:
        if self._next is not self._at:
            with contextlib.suppress(WriterFailed):
                self._settle()
        self._failure = self._failure or why
        # Another value, so that an emit that a handler interrupted to close looks again, and is refused.
        self._next = self._at = msgspec.structs.replace(self._at)
        self._at.held.let_go()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _die_in_child(self) -> None:
        # The parent's thread may have held a lock at the moment of the fork.
        self._lock, self._sync_lock = threading.RLock(), threading.RLock()
        self._closed = True
        self._failure = f"stream {self.stream} belongs to the process that forked this one (pid {os.getppid()})"
        self._at.held.drop()


def _after_fork_in_child() -> None:
    for writer in list(_writers):
        writer._die_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
