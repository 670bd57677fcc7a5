"""The process that answers queries: it ends with its caller, and gives everybody the answer to their own question."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from psion_ledger.ledger import Run
from psion_ledger.sandbox import Sandbox
from tests.ledgers import RUN_ID

KILLED = """
import sys
from psion_ledger import open_run
with open_run(sys.argv[1], sys.argv[2]) as run:
    run.sql("select 1")
    print(run._sandbox._child.pid, flush=True)
    run.sql("select sleep_ms(600_000)", seconds_max=600)
"""


def test_the_process_of_a_caller_that_was_killed_ends(folder: Path) -> None:
    """In the middle of a query, which nobody waits for any more."""
    caller = subprocess.Popen(
        [sys.executable, "-c", KILLED, folder / "ledger", RUN_ID], stdout=subprocess.PIPE, text=True
    )
    assert caller.stdout is not None
    child = int(caller.stdout.readline())
    assert is_running(child)
    caller.kill()
    caller.wait()
    caller.stdout.close()
    give_up_at = time.monotonic() + 20
    while is_running(child) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not is_running(child)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_threads_take_turns(run: Run) -> None:
    """Each gets the answer to its own question."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: run.sql(f"select {n}").fetchall(), range(40)))
    assert [[(n,)] for n in range(40)] == found


def test_an_interrupted_question_is_not_answered_later(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gave up on one does not get its rows for the next."""
    with monkeypatch.context() as patched:
        patched.setattr(Sandbox, "_received", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run.sql("select 'the first'")
    assert run.sql("select 'the second'").fetchall() == [("the second",)]
