"""A command runs in a child: a native library that hostile bytes bring down takes the child along, not the answer."""

import contextlib
import ctypes
import os
import signal
import sys

from psion_ledger import limits

_PR_SET_PDEATHSIG = 1


def supervised() -> None:
    """Return in a child that is watched for memory. The parent waits, and ends as the child does; when the child was
    killed, it says so and ends with 3. Call it before anything has started a thread."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError, AttributeError):
            # Linux alone: a child whose parent was killed must not go on holding a stream.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(3)
        limits.watch()
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        # The terminal interrupts both; what else stops us is passed on.
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else lambda got, _: os.kill(child, got))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        name = signal.Signals(-code).name
        print(f"psion-ledger: cannot decide: ended by {name} while it read the record", file=sys.stderr)
    # Nothing of ours is left to flush or to clean up.
    os._exit(code if code >= 0 else 3)
