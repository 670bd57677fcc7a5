"""`python -m tests.hostile.warm`: runs commands of `psion-ledger`, each in a process that is forked from this one.

Whatever a command needs is imported already, which takes most of a command's time; it is `main` all the same, with the
child and the watch that `main` gives every command. One request a line: the words, as JSON; one answer a line.
"""

import json
import os
import resource
import signal
import sys
import tempfile
import time

import duckdb  # noqa: F401
import pyarrow.dataset
import pyarrow.parquet  # noqa: F401

from psion_ledger import audit, cli, fsck, heads, receipts  # noqa: F401
from psion_ledger.log import compact, segment  # noqa: F401
from psion_ledger.report import facts, show, terminal  # noqa: F401

PATIENCE_S = 30.0
SHOWN_BYTES = 1_000_000
LATE = -99


def answer(words: list[str]) -> list[object]:
    """Exit code, stdout, stderr, seconds of processors, and the peak of memory in bytes."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.setsid()
            for number, fd in enumerate([os.open(os.devnull, os.O_RDONLY), out.fileno(), err.fileno()]):
                os.dup2(fd, number)
            sys.argv = ["psion-ledger", *words]
            cli.main()
        code, used = waited(child)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read(SHOWN_BYTES).decode(errors="backslashreplace"))
    return [code, *texts, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]


def waited(child: int) -> tuple[int, resource.struct_rusage]:
    """A child that hangs is killed, and all that it started."""
    until = time.monotonic() + PATIENCE_S
    late = False
    while True:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            return LATE if late else os.waitstatus_to_exitcode(status), used
        if time.monotonic() > until and not late:
            os.killpg(child, signal.SIGKILL)
            late = True
        time.sleep(0.002)


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
