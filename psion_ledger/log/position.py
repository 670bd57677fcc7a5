"""Where a stream stands. It moves with the write of an event or not at all, whatever is raised in between.

A signal handler may raise, emit, rotate or close at any point of this. So the place is one value, `at`, that moves in
one step. `_next` is where it will be after the write that is under way: while the two differ, the length of the file
tells whether that write was done, and whoever comes next asks it. A rotation is the same with the name of a file.

Python runs signal handlers after calls and at loops. So none runs between a look at the place and a call that follows
at once; a handler that came before has moved the place, and the look shows it.
"""

import errno
import os
from pathlib import Path
from time import time_ns

import msgspec

from psion_ledger import events
from psion_ledger.digest import leaf_hash
from psion_ledger.errors import EventRefused
from psion_ledger.log import claim, files, frame
from psion_ledger.log.frame import encode, enveloped
from psion_ledger.log.held import Held, begin, place, prepare


class At(msgspec.Struct, frozen=True, gc=False):
    """The journal that is written to, the next seq, the last link, the file's length."""

    held: Held
    seq: int
    link: bytes
    bytes_total: int


class _Rotation(msgspec.Struct, frozen=True, gc=False):
    """Going on from one journal to the `following`, which has a scratch name until it gets its `path`."""

    following: At
    left: Held
    path: Path
    scratch: Path


class Position:
    """Owns the journal of a stream. Its methods raise OSError, after which nothing may be written; a caller that has
    threads calls one of them at a time."""

    def __init__(self, run: Path, stream: str, claimed: claim.Claim, opened: events.StreamOpened) -> None:
        self._run, self._stream, self._claim = run, stream, claimed
        self._rotation: _Rotation | None = None
        link = frame.first_link(claimed.run_id, stream, bytes.fromhex(claimed.nonce))
        body = encode((0, time_ns(), link, frame.NOTHING_DURABLE, opened))
        held = None
        try:
            held, bytes_total = begin(run, self._header(0, link), enveloped(body))
            self.at = At(held, 1, leaf_hash(body), bytes_total)
            self._next: At | None = self.at
        except BaseException:
            if held is not None:
                held.let_go()  # Else it stays locked as long as somebody looks at the exception.
            raise

    def _header(self, first_seq: int, link_before: bytes) -> frame.Header:
        return frame.Header(
            format_version=claim.FORMAT_VERSION,
            events_version=events.EVENTS_VERSION,
            run_id=self._claim.run_id,
            stream=self._stream,
            nonce=bytes.fromhex(self._claim.nonce),
            first_seq=first_seq,
            link_before=link_before,
        )

    def write(self, event: events.Event, durable_through: int) -> int:
        """Write the event at its place and return its seq; 0 when that place is another one by now."""
        while self._next is not self.at:
            self.settle()
        at = self.at
        body = encode((at.seq, time_ns(), at.link, durable_through, event))
        if len(body) > frame.FRAME_BYTES_MAX:
            raise EventRefused(
                f"stream {self._stream}, {type(event).__name__}: larger than {frame.FRAME_BYTES_MAX:,} bytes"
            )
        data = enveloped(body)
        self._next = after = At(at.held, at.seq + 1, leaf_hash(body), at.bytes_total + len(data))
        if self.at is not at:
            return 0
        if os.write(at.held.fd, data) != len(data):
            raise OSError(errno.ENOSPC, "the write came up short; is the disk full?")
        if self.at is at:
            self.at = after
        return at.seq

    def rotate(self) -> None:
        """Go on in a new journal. What was written so far must be durable."""
        while self._next is not self.at:
            self.settle()
        at = self.at
        if at.seq == at.held.first_seq:
            return  # Nothing is written in it yet, so nothing is left to anybody.
        held, scratch, bytes_total = prepare(self._run, self._header(at.seq, at.link))
        path = place(self._run, self._stream, at.seq)
        name, final = str(scratch), str(path)  # To ask a Path for its text is a call, too.
        self._rotation = mine = _Rotation(At(held, at.seq, at.link, bytes_total), at.held, path, scratch)
        self._next = None
        if self._rotation is mine and self.at is at:
            os.link(name, final, follow_symlinks=False)
        self.settle()

    def settle(self) -> None:
        """Finish what an exception of a signal handler interrupted. A handler may come here, too, so every look at the
        disk is followed by one at the place that it was about."""
        at, after = self.at, self._next
        if after is None:
            self._settle_rotation()
        elif after is not at:
            bytes_total = os.fstat(at.held.fd).st_size
            if self.at is not at or self._next is not after:
                return
            if bytes_total == after.bytes_total:
                self.at = after
            elif bytes_total != at.bytes_total:
                raise OSError(errno.EIO, f"the journal has {bytes_total:,} bytes: an event is written in part")
        self._next = self.at

    def _settle_rotation(self) -> None:
        """Go on to the new journal if it has its name, else forget it."""
        if (rotation := self._rotation) is None:
            return
        named = rotation.following.held.is_at(rotation.path)
        if self.at.held is rotation.left and named:
            self.at = rotation.following
        elif not named:
            rotation.following.held.let_go()
        files.sync_folder(rotation.path.parent)
        rotation.scratch.unlink(missing_ok=True)
        if named:
            rotation.left.let_go()
        if self._rotation is rotation:
            self._rotation = None

    def let_go(self) -> None:
        """Unlock and close the journal. The place is another value from now on, so that a write that a handler
        interrupted to do this looks again."""
        self._next = self.at = msgspec.structs.replace(self.at)
        self.at.held.let_go()
