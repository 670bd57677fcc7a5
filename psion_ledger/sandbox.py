"""SELECTs of anybody's, answered in a process of its own, which is ended when one takes too long or too much.

An interrupt is not enough: some functions of DuckDB never look for it, and some bring their process down. So the caller
holds no connection that such a text could reach; it gets the rows, as Arrow.
"""

import contextlib
import os
import pickle
import select
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from psion_ledger import errors
from psion_ledger.errors import CannotDecide, LedgerError, LimitHit
from psion_ledger.log import child_command

if TYPE_CHECKING:
    import pyarrow as pa

    from psion_ledger.reading import Record

LENGTH_BYTES = 8
# How long a child may take to end once it was killed, before it is left to the system.
_REAPING_S = 5.0


_begun: "list[subprocess.Popen[bytes]]" = []


def begin() -> None:
    """Start a process before it is known what it will hold: it loads its libraries while the caller loads its own."""
    if not _begun:
        with contextlib.suppress(CannotDecide):  # Whoever asks is told.
            _begun.append(_spawned())


def _spawned() -> "subprocess.Popen[bytes]":
    command = child_command("psion_ledger.answering")
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError as error:
        raise CannotDecide(f"a query needs a process of its own, and none can be made: {error.strerror}") from error


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer begins: the rows follow, as so many bytes of an Arrow stream, or an error says why not."""

    bytes_total: int = 0
    error: str | None = None
    message: str = ""
    file: str | None = None


class Sandbox:
    """Owns the process, which holds the relations of one record. The first question starts it; so does one after it was
    ended. Threads take turns."""

    def __init__(self, record: "Record", *, despite_damage: bool) -> None:
        self._record = record
        self._despite_damage = despite_damage
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, query: str, seconds_max: float) -> "pa.Table":
        """The rows of one SELECT.

        Raises QueryRefused when it is not one or does not bind, LimitHit when it takes too long or too much memory,
        Damaged when a file of the record has changed, CannotDecide when it brought the process down.
        """
        with self._lock:
            try:
                return self._ask(query, seconds_max)
            except BaseException as error:
                # After an answer the process is as it was; after anything else nobody knows what it will say next.
                if not isinstance(error, _Told):
                    self._end()
                    raise
                raise error.told from None

    def _ask(self, query: str, seconds_max: float) -> "pa.Table":
        child = self._started()
        give_up_at = time.monotonic() + seconds_max
        try:
            _send(child, query.encode())
            answer = msgspec.json.decode(self._received(child, give_up_at), type=Answer)
            if answer.error is not None:
                raise _Told(_error(answer))
            data = self._received(child, give_up_at, answer.bytes_total)
        except TimeoutError:
            raise LimitHit(f"the query took more than {seconds_max:g} s; PSION_LEDGER_SECONDS allows more") from None
        import pyarrow as pa

        return pa.ipc.open_stream(data).read_all()

    def _started(self) -> subprocess.Popen[bytes]:
        """The process, ready to be asked. Until it is takes as long as the record does, and no query is to blame."""
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._end()
        self._child = child = _begun.pop() if _begun else _spawned()
        _send(child, pickle.dumps((self._record, self._despite_damage)))
        answer = msgspec.json.decode(self._received(child, None), type=Answer)
        if answer.error is not None:
            raise _error(answer)
        return child

    def _received(
        self, child: subprocess.Popen[bytes], give_up_at: float | None, bytes_total: int | None = None
    ) -> bytes:
        """So many bytes of the child, or the next message. Raises TimeoutError; LimitHit or CannotDecide when the child
        has ended."""
        if bytes_total is None:
            bytes_total = int.from_bytes(self._received(child, give_up_at, LENGTH_BYTES), "little")
        assert child.stdout is not None
        found, fd = bytearray(), child.stdout.fileno()
        while len(found) < bytes_total:
            if give_up_at is not None and not _readable(fd, give_up_at):
                raise TimeoutError
            part = os.read(fd, bytes_total - len(found))
            if not part:
                raise _ended(child.wait())
            found += part
        return bytes(found)

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        child.wait(_REAPING_S)

    def close(self) -> None:
        with self._lock:
            self._end()


def _readable(fd: int, give_up_at: float) -> bool:
    """Wait until there is something to read; False when the time is over."""
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    return bool(waiting.poll(max(0.0, give_up_at - time.monotonic()) * 1000))


class _Told(Exception):
    """An error that the child told, and lives on."""

    def __init__(self, told: LedgerError) -> None:
        self.told = told


def _send(child: subprocess.Popen[bytes], message: bytes) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(len(message).to_bytes(LENGTH_BYTES, "little"))
        child.stdin.write(message)
        child.stdin.flush()
    except BrokenPipeError:
        raise _ended(child.wait()) from None


def _ended(code: int) -> LedgerError:
    """Why a child is gone that was to answer."""
    if code == LimitHit.exit_code:
        return LimitHit("the query needs more memory than PSION_LEDGER_MEMORY_BYTES allows it")
    return CannotDecide(f"the query brought down the process that was to answer it (exit {code})")


_KINDS: dict[str, type[LedgerError]] = {
    kind.__name__: kind
    for kind in (
        errors.UsageError, errors.QueryRefused, errors.CannotDecide, errors.Unreadable, errors.Inaccessible,
        errors.LimitHit, errors.NewerFormat,
    )
}  # fmt: skip


def _error(answer: Answer) -> LedgerError:
    if answer.error == errors.Damaged.__name__ and answer.file is not None:
        return errors.Damaged.told(answer.message, answer.file)
    return _KINDS.get(answer.error or "", CannotDecide)(answer.message)
