"""The public recorder as this trainer calls it, and the audit at the end. Nothing here decides what training does."""

import subprocess
import sys
from pathlib import Path

import psion_ledger
from psion_ledger import Past, Promises, Recorder
from psion_ledger.errors import CannotDecide, LedgerError
from trainer.config import Command, Settings
from trainer.hints import resume_command

__all__ = ["LedgerError", "audit", "finish", "reopen", "start"]

CHECKPOINT_FAMILY = "train.psion.decoder"
EXIT_CODE_MAX = 4


def reopen(command: Command) -> Past:
    """How far a run had come. Raises NoSuchRun; CannotDecide when a process still writes it or it cannot be read."""
    return psion_ledger.reopen(command.ledger, command.run_id, command.artifacts)


def start(
    command: Command, settings: Settings, promises: Promises, past: Past | None, *, finish: bool = True
) -> Recorder:
    """This rank's recorder in a new attempt; rank 0 has declared everything when it returns."""
    return psion_ledger.record(
        command.ledger,
        run_id=command.run_id,
        promises=promises,
        past=past,
        artifacts=command.artifacts,
        corpus=_corpus(command),
        settings=dict(settings.pairs()),
        resume_command=resume_command(command),
        deterministic=True,
        checkpoint_family=CHECKPOINT_FAMILY,
        on_failure=command.on_ledger_failure,
        finish=finish,
    )


def finish(command: Command) -> None:
    """What is left of a run whose stage is completed."""
    psion_ledger.finish(command.ledger, command.run_id, corpus=_corpus(command))


def _corpus(command: Command) -> Path:
    return command.artifacts / command.run_id / "corpus"


def audit(command: Command) -> int:
    """Audit the run in a process of its own, which prints its report on our stdout; returns its exit code, which is 3
    when it was killed."""
    sys.stdout.flush()
    words = ["audit", command.run_id, "--ledger", str(command.ledger), "--require", "replayed"]
    words += ["--artifacts", str(command.artifacts), "--corpus", str(_corpus(command))]
    # Nothing in the working directory is imported by it.
    code = subprocess.run([sys.executable, "-P", "-m", "psion_ledger", *words]).returncode
    return code if 0 <= code <= EXIT_CODE_MAX else CannotDecide.exit_code
