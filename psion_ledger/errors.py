"""The one error tree. Findings are values; these are for what cannot go on.

    LedgerError                 exit code
    |- UsageError               2   the caller asked for something that makes no sense
    |  |- BadRunId              2   a run id outside the grammar
    |  |- EventRefused          2   an event that its own schema refuses, before a byte is written
    |  |- ContractRefused       2   contracts that break their own rules or each other
    |  |- StageRefused          2   a transition that the stage program does not have
    |  |- QueryRefused          2   SQL that is not exactly one SELECT, or that fails to bind
    |- CannotDecide             3   the evidence cannot be read, or is not enough
    |  |- Unreadable            3   a file of the ledger that is missing, cut short or malformed
    |  |  |- Damaged            3   a file whose bytes are not those that the record promises, so no answer rests on it
    |  |  |- Inaccessible       3   a file or folder that the system keeps us from reading; nothing is known about it
    |  |- NewerFormat           3   written by a later version than this one
    |  |- LimitHit              3   more bytes, rows or seconds than allowed
    |  |- WriterFailed          3   a write or a sync failed; the writer refuses everything after it
    |  |- WriterBusy            3   another live process holds the stream
    |- NoSuchRun                4   the ledger holds no run of that name

Any other exception is a bug of ours; the command line turns it into exit code 3.
"""

import shlex
from pathlib import Path
from typing import Any


class LedgerError(Exception):
    """What went wrong, where (run, stream, seq, file) and what to do, in one line."""

    exit_code = 3

    def __reduce__(self) -> tuple[Any, ...]:
        """An error passes from process to process as it is; the arguments that made it are in its message."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[LedgerError], args: tuple[Any, ...], attributes: dict[str, Any]) -> LedgerError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class UsageError(LedgerError):
    exit_code = 2


class BadRunId(UsageError):
    pass


class EventRefused(UsageError):
    pass


class ContractRefused(UsageError):
    pass


class StageRefused(UsageError):
    """`code` is the original stage program's error name, such as `StageRequiresPretrainRun`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class QueryRefused(UsageError):
    pass


class CannotDecide(LedgerError):
    exit_code = 3


class Unreadable(CannotDecide):
    pass


class Damaged(Unreadable):
    """`run` is the run's folder, and `file` relative to it."""

    def __init__(self, run: Path, file: str, reason: str) -> None:
        command = shlex.join(["psion-ledger", "fsck", run.name, "--ledger", str(run.parent)])
        super().__init__(f"run {run.name}: {file} is damaged: {reason}; `{command}` lists what is")
        self.file = file

    @classmethod
    def told(cls, message: str, file: str) -> "Damaged":
        """As another process has said it."""
        error = cls.__new__(cls, message)
        error.file = file
        return error


class Inaccessible(Unreadable):
    pass


class NewerFormat(CannotDecide):
    pass


class LimitHit(CannotDecide):
    pass


class WriterFailed(CannotDecide):
    pass


class WriterBusy(CannotDecide):
    pass


class NoSuchRun(LedgerError):
    exit_code = 4
