"""The command as people start it, and not one that is forked from a warm process: its own child, its own watch."""

import json
import subprocess
import sys
from pathlib import Path

from tests.forked import ROOT
from tests.hostile import CPU_SECONDS_MAX, PEAK_BYTES_MAX, RUN_ID
from tests.hostile.parquet import like, planted, write_dictionary_bomb

# A small process, so that what it measures of its children is theirs.
MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True, timeout=60)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, done.stderr, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))
"""


def test_a_bomb_ends_the_child_and_not_the_answer(run: Path, tmp_path: Path) -> None:
    """10 GiB behind 2 KB: exit 3 and one line, in 10 s and 1 GiB."""
    made = tmp_path / "bomb"
    planted(run, "contract_declared", made, write_dictionary_bomb(made, like(run, "contract_declared")))
    command = [sys.executable, "-m", "psion_ledger", "fsck", RUN_ID, "--deep", "--ledger", run.parent]
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, command)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    code, stderr, cpu_seconds, peak_bytes = json.loads(measured.stdout)
    assert (code, len(stderr.splitlines())) == (3, 1), stderr
    assert (cpu_seconds <= CPU_SECONDS_MAX, peak_bytes <= PEAK_BYTES_MAX) == (True, True), (cpu_seconds, peak_bytes)


def test_nothing_runs_in_a_command_that_has_ended() -> None:
    """Not even a native library that would abort the process: the answer is out, and its exit code stands."""
    code = (
        "import atexit, os, sys; from psion_ledger.cli import main; atexit.register(os.abort)\n"
        "sys.argv = ['psion-ledger', *sys.argv[1:]]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code, "laws"], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "stage_is_pretrain" in done.stdout
