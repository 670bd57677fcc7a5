"""A forked child that Python knows nothing of holds a copy of the writer's descriptor, and with it the lock."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from psion_ledger import log
from psion_ledger.log.liveness import is_gone
from psion_ledger.log.segment import seal_run
from tests.forked import ROOT
from tests.ledgers import RUN_ID, opened
from tests.log.streams import claimed_run

# Above every number that Linux gives to a process.
NO_PID = 2**22 + 1
FORKS_AND_DIES = """
import ctypes, os, signal, socket, sys, time
from pathlib import Path
from psion_ledger import log
from tests.ledgers import opened
from tests.log.streams import claimed_run, numbered
run = claimed_run(Path(sys.argv[1]))
writer = log.open_writer(run, opened(pid=os.getpid(), host=socket.gethostname()))
writer.emit(numbered(1))
child = ctypes.CDLL(None).fork()  # As C++ does it: none of Python's hooks is called.
if child == 0:
    time.sleep(120)
    os._exit(0)
print(child, flush=True)
if sys.argv[2] == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "closes":
    writer.close()
time.sleep(120)
"""


@pytest.mark.parametrize("end", ["dies", "closes", "lives"])
def test_a_forked_child_keeps_no_stream_from_being_sealed(tmp_path: Path, end: str) -> None:
    """After `close` the lock is given back; of a writer that was killed it takes a word that it is gone; while the
    writer lives, that word changes nothing."""
    process = subprocess.Popen(
        [sys.executable, "-c", FORKS_AND_DIES, tmp_path, end], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    run = tmp_path / RUN_ID
    try:
        if end == "dies":
            process.wait(timeout=30)
        sealed = []
        for _ in range(100):
            sealed = seal_run(run).entries
            if sealed or end != "closes":
                break
            time.sleep(0.05)
        assert [entry.last_seq for entry in sealed] == ([1] if end == "closes" else [])
        gone = seal_run(run, writer_is_gone=True).entries
        assert [entry.last_seq for entry in gone] == ([1] if end == "dies" else [])
    finally:
        os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait(timeout=30)
        process.stdout.close()


@pytest.mark.parametrize(
    ("host", "pid", "gone"),
    [
        (socket.gethostname(), NO_PID, True), (socket.gethostname(), os.getpid(), False), ("elsewhere", NO_PID, False),
    ],
    ids=["no such process", "this one", "on another machine"],
)  # fmt: skip
def test_only_the_machine_of_a_process_can_tell_that_it_is_gone(
    tmp_path: Path, host: str, pid: int, gone: bool
) -> None:
    """Of another machine nothing is known."""
    run = claimed_run(tmp_path)
    with log.open_writer(run, opened(host=host, pid=pid)) as writer:
        assert is_gone(run / "journal" / writer.stream / f"{0:012}.wal") is gone
