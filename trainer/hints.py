"""Commands to paste: they name the folders, and the programs of this environment."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from trainer.config import ARTIFACTS, LEDGER, Command


def what_is_kept(command: Command) -> str:
    if os.path.lexists(command.ledger / command.run_id / "CLAIM"):
        return f"What was recorded is kept; to go on: {resume_command(command)}"
    return "Nothing was recorded yet."


def resume_command(command: Command, world_size: int | None = None) -> str:
    """The shell command that resumes the run from this folder, on as many processes as now or as are given."""
    size = int(os.environ.get("WORLD_SIZE", "1")) if world_size is None else world_size
    under_torchrun = size > 1 or "WORLD_SIZE" in os.environ
    words = [typed("torchrun"), "--nproc-per-node", str(size)] if under_torchrun else [typed("python")]
    words += ["-m", "trainer", "--resume", command.run_id]
    if "corpus" in command.flags:
        words += ["--corpus", command.flags["corpus"]]
    for flag, folder, default in (
        ("--ledger", command.ledger, LEDGER),
        ("--artifacts", command.artifacts, ARTIFACTS),
    ):
        words += [flag, str(folder)] if folder != default else []
    return shlex.join(words)


def typed(program: str) -> str:
    """What to type for a program of this interpreter's environment: its name, where the shell finds that one."""
    own = Path(sys.executable).with_name(program)
    if shutil.which(program) == str(own) or not own.exists():
        return program
    return str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)
