"""The trainer's command line as a test types it: a place to train at, the flags, and processes of its own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from psion_ledger import open_run

REPOSITORY = Path(__file__).resolve().parents[2]
# What a phase says again when it takes long, as on a busy machine.
REMINDER = re.compile(r" \(\d+ s\)$")
TINY = ["--context", "16", "--vocab", "300", "--batch", "4", "--steps", "60"]


class Place:
    """A corpus, a ledger and an artifacts folder, and the flags that name them."""

    def __init__(self, folder: Path) -> None:
        self.corpus, self.ledger, self.artifacts = folder / "text", folder / "ledger", folder / "runs"
        self.folders = ["--ledger", str(self.ledger), "--artifacts", str(self.artifacts)]

    def start(self, run_id: str, *flags: str) -> list[str]:
        return ["--run-id", run_id, "--corpus", str(self.corpus), *TINY, *flags, *self.folders]

    def resume(self, run_id: str, *flags: str) -> list[str]:
        return ["--resume", run_id, *flags, *self.folders]

    def final_weights(self, run_id: str) -> bytes:
        query = "select object_sha256 from checkpoint_promoted"
        with open_run(self.ledger, run_id) as run:
            (row,) = run.sql(query).fetchall()
        return bytes(row[0])

    def attempts(self, run_id: str) -> int:
        with open_run(self.ledger, run_id) as run:
            (row,) = run.sql("select count(*) from attempt_started").fetchall()
        return int(row[0])


def spawned(arguments: list[str], patch: str = "") -> subprocess.Popen[str]:
    end = "from trainer.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    code = f"import os, sys\n{patch}\n{end}"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )


def shown(program: str) -> str:
    """As a program of this environment is typed: by its name, where that is enough, and else from here."""
    own = Path(sys.executable).with_name(program)
    if shutil.which(program) == str(own):
        return program
    return str(own.relative_to(REPOSITORY) if own.is_relative_to(REPOSITORY) else own)
