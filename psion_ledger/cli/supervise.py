"""A command runs in a child: a native library that hostile bytes bring down takes the child along, not the answer."""

import contextlib
import ctypes
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from psion_ledger import limits

CLEANING_S_MAX = 2
_PR_SET_PDEATHSIG = 1


def supervised() -> None:
    """Return in a child that is watched for memory. The parent waits, and ends as the child does; when the child was
    killed, it says so and ends with 3. Call it before anything has started a thread."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    # A signal waits until both of us are ready to hear it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _heard())
    try:
        child = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise
    if child == 0:
        with contextlib.suppress(OSError, AttributeError):
            # Linux alone: a child whose parent was killed must not go on holding a stream.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(3)
        for number in _heard():
            signal.signal(number, _interrupted)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        limits.watch()
        return

    def stop(number: int, frame: FrameType | None) -> None:
        # The terminal interrupts both; what else stops us is passed on.
        if number != signal.SIGINT:
            os.kill(child, number)
        signal.alarm(CLEANING_S_MAX)

    for number in _heard():
        signal.signal(number, stop)
    # A native library may be at work for long, and Python hears a signal only when it is done.
    signal.signal(signal.SIGALRM, lambda number, frame: os.kill(child, signal.SIGKILL))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        name = signal.Signals(-code).name
        print(f"psion-ledger: cannot decide: ended by {name} while it read the record", file=sys.stderr)
    # Nothing of ours is left to flush or to clean up.
    os._exit(code if code >= 0 else 3)


def _heard() -> list[int]:
    """The signals that ask us to end; not those that our caller ignores, as `nohup` does."""
    asking = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [number for number in asking if signal.getsignal(number) != signal.SIG_IGN]


def _interrupted(number: int, frame: FrameType | None) -> NoReturn:
    """End with 3, wherever we are, through every `finally`: nothing half written stays."""
    os.write(sys.stderr.fileno(), b"psion-ledger: interrupted\n")
    raise SystemExit(3)
