"""Commands of `psion-ledger`, each in a real process that is forked from one that has imported what they need.

Imports take most of a command's time; it is `main` all the same, with the child and the watch that `main` gives every
command. `python -m tests.forked` is the process that forks: one request a line, as JSON; one answer a line.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 60.0
SHOWN_BYTES = 1_000_000
LATE = -99


class Request(msgspec.Struct, frozen=True, array_like=True):
    words: list[str]
    cwd: str
    env: dict[str, str]


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str
    cpu_seconds: float
    peak_bytes: int


class Forking:
    """Owns the process that commands are forked from; close it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forked"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def run(self, words: Sequence[object], cwd: Path = ROOT, env: dict[str, str] | None = None) -> Ended:
        """`psion-ledger` with these words, in a folder, with these variables and no others."""
        request = Request([str(word) for word in words], str(cwd), dict(os.environ) if env is None else env)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(request) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Ended)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


def answer(request: Request) -> list[object]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.setsid()
            for number, fd in enumerate([os.open(os.devnull, os.O_RDONLY), out.fileno(), err.fileno()]):
                os.dup2(fd, number)
            os.chdir(request.cwd)
            os.environ.clear()
            os.environ.update(request.env)
            sys.argv = ["psion-ledger", *request.words]
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
        print(json.dumps(answer(msgspec.json.decode(line, type=Request))), flush=True)


if __name__ == "__main__":
    # Not where the tests import this: it is the forked ones that shall not have to.
    import duckdb  # noqa: F401
    import pyarrow.dataset
    import pyarrow.parquet  # noqa: F401

    from psion_ledger import auditing, cli, fsck, heads, ledger, receipts  # noqa: F401
    from psion_ledger.log import compact, segment  # noqa: F401
    from psion_ledger.report import facts, show, terminal  # noqa: F401

    # How long a phase takes here is the machine's, and what is said of it is no part of an answer.
    sys.modules["psion_ledger.cli.app"].__dict__["SILENT_S_MAX"] = 3600.0
    main()
