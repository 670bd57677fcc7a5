"""From the command line to the report: prepare, promise, train, complete, audit.

    python -m trainer                      the default corpus, the smoke anchor
    python -m trainer --resume RUN         where it stopped, bit for bit
    torchrun --nproc-per-node 2 -m trainer

Talk goes to stderr; stdout gets the report and, on its last line, the run id. Exit codes: 0 it holds, 1 a law is
violated, 2 wrong usage or configuration, 3 cannot decide, 4 no such run, 130 interrupted (143 terminated).
"""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from trainer.config import BadInput, Command, Damaged, Settings, new_settings, parse_command, refuse_disagreeing_flags

if TYPE_CHECKING:
    from trainer.emit import Past
    from trainer.environment import World


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What rank 0 found or made before this attempt, and tells the other ranks. `documents` are the contracts."""

    run: Path
    attempt: int
    past: "Past"
    settings: Settings
    documents: dict[str, str]
    sequence_index: bytes | None


class StopAsked:
    """Turns the first SIGINT or SIGTERM into a question that training asks after each step; a second one kills."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None

    @contextmanager
    def listening(self) -> Iterator[None]:
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._heard) for number in signals}
        try:
            yield
        finally:
            for number in signals:
                signal.signal(number, before[number])

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        say("stopping after this step; once more to stop at once")


def main() -> int:
    command: Command | None = None
    try:
        command = parse_command(sys.argv[1:])
        return run(command)
    except (BadInput, Damaged) as error:
        return _failed(error, error.exit_code)
    except KeyboardInterrupt:
        if command is not None:
            say(f"interrupted; what was recorded is kept: {resume_command(command)}")
        return 128 + signal.SIGINT
    except Exception as error:
        from trainer.emit import LedgerError

        if isinstance(error, LedgerError):
            return _failed(error, error.exit_code)
        if isinstance(error, OSError) and error.errno is not None:
            return _failed(f"{error}; what was recorded is kept: mend it, then resume the run", 3)
        raise


def run(command: Command) -> int:
    """One attempt, from its beginning to its report; returns the exit code."""
    from trainer import emit
    from trainer.environment import World
    from trainer.loop import build, promote, train

    world = World.join()
    try:
        began: Beginning = world.broadcast(begin(command, world) if world.rank == 0 else None)
        artifacts, past = command.artifacts / began.run.name, began.past
        if past.finished:
            return _report(command, began, world)
        say(f"run {began.run.name}, attempt {began.attempt}; to resume it: {resume_command(command)}")
        with emit.Recorder(began.run, began.attempt, world.rank, past.previous) as recorder:
            if not past.stage_completed:
                devices = devices_of(world)
                if world.rank == 0:
                    if past.settings is None:
                        recorder.run_started(began.settings, world, devices)
                    recorder.declare(past, began.documents, began.sequence_index)
                ...
    finally:
        world.leave()
    return 0
