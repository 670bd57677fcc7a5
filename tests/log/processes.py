"""Writers in processes of their own, which tests can kill."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]

PROLOGUE = """
import os, sys
from pathlib import Path
from psion_ledger import events, log
from psion_ledger.errors import LedgerError
from tests.ledgers import RANK0, opened
from tests.log.streams import numbered
run = Path(sys.argv[1])
"""


def start(body: str, run: Path) -> "subprocess.Popen[str]":
    """A Python process that runs `body` behind the prologue; its standard input and output are pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", PROLOGUE + body, str(run)],
        cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finished(body: str, run: Path) -> str:
    """What such a process prints until it ends well."""
    with start(body, run) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def go_at_once(processes: Sequence["subprocess.Popen[str]"]) -> None:
    """Let processes go on at the same moment: each has said `ready`, and waits for a line."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


@contextmanager
def live_writer(run: Path, rotated: bool = False) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds rank 0's stream until it is killed; its pid stands in the stream's first event."""
    rotation = "writer.rotate()" if rotated else ""
    body = f"""
writer = log.open_writer(run, opened(pid=os.getpid()))
{rotation}
print("open", flush=True)
sys.stdin.read()
"""
    with start(body, run) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()
