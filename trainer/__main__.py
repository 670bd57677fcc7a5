"""From the command line to the report: prepare, promise, train, complete, audit.

    python -m trainer                                   the default corpus, the smoke anchor
    python -m trainer --resume RUN                      go on where it stopped, bit for bit
    torchrun --nproc-per-node 2 -m trainer              the same on two processes

Talk goes to stderr; stdout gets the report and, on its last line, the run id. Exit codes: 0 it holds, 1 a
law is violated, 2 wrong usage or configuration, 3 cannot decide, 4 no such run, 130 interrupted, 143
terminated.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from trainer.beginning import Beginning, begin, begin_again, read_text, refuse_folders
from trainer.config import BadInput, CannotGoOn, Command, new_settings, parse_command
from trainer.hints import resume_command, what_is_kept
from trainer.talk import forget, phase, say

if TYPE_CHECKING:
    from trainer.document import Document
    from trainer.environment import World


class StopAsked:
    """The first SIGINT or SIGTERM is a question that training asks each step; a second Ctrl-C ends it."""

    def __init__(self) -> None:
        self.signal = 0

    def __call__(self) -> bool:
        return self.signal > 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._heard) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        # torchrun passes a Ctrl-C on that its ranks have heard already, so there it always counts once.
        if self.signal and number == signal.SIGINT and "WORLD_SIZE" not in os.environ:
            raise KeyboardInterrupt
        self.signal = self.signal or number


def main(arguments: list[str]) -> int:
    try:
        command = parse_command(arguments)
    except BadInput as error:
        return failed(error, error.exit_code)
    try:
        return run(command)
    except (BadInput, CannotGoOn) as error:
        return failed(error, error.exit_code)
    except KeyboardInterrupt:
        say(f"interrupted. {what_is_kept(command)}")
        return 128 + signal.SIGINT
    except OSError as error:
        return failed(f"{error}. {what_is_kept(command)}", 3)
    except Exception as error:
        from trainer.emit import LedgerError

        if isinstance(error, LedgerError):
            return failed(error, error.exit_code)
        if os.environ.get("PSION_LEDGER_DEBUG"):
            raise
        return failed(
            f"cannot go on, {type(error).__name__}: {error} (PSION_LEDGER_DEBUG=1 shows where). "
            f"{what_is_kept(command)}",
            3,
        )


def run(command: Command) -> int:
    """One attempt, and the report when it completes the run; returns the exit code."""
    documents: list[Document] = []
    if command.resume is None:
        # Before anything heavy is loaded: a mistake in a flag or in the text is told at once.
        settings = new_settings(command.flags, world_size=int(os.environ.get("WORLD_SIZE", "1")), threads=1)
        if os.environ.get("RANK", "0") == "0":
            refuse_folders(command)
            documents = read_text(settings)
    with phase("loading"):
        from trainer import emit
        from trainer.environment import World

        world = World.join()
    try:
        began: Beginning = world.broadcast(_began(command, world, documents) if world.rank == 0 else None)
        past = began.past
        if past is None or not (past.finished or past.stage_completed):
            stop = StopAsked()
            if not attempt(command, began, world, stop):
                say(f"stopped. {what_is_kept(command)}")
                return 128 + stop.signal if stop.signal else 0
        elif not past.finished and world.rank == 0:
            emit.finish(command)
        if world.rank > 0:
            return 0
        with phase("auditing"):
            exit_code = emit.audit(command)
        try:
            print(command.run_id, flush=True)
        except BrokenPipeError:
            # The run is finished all the same.
            forget(sys.stdout.fileno())
        return exit_code
    finally:
        world.leave()


def _began(command: Command, world: "World", documents: "list[Document]") -> Beginning:
    return begin(command, world, documents) if command.resume is None else begin_again(command, world)


def attempt(command: Command, began: Beginning, world: "World", stop: StopAsked) -> bool:
    """One rank's part of this attempt, and behind it the end of the run; False when it was stopped before."""
    import torch

    from trainer import emit
    from trainer.loop import build, promote, train

    torch.set_num_threads(began.settings.threads)
    with emit.start(command, began.settings, began.promises, began.past) as recorder:
        say(f"run {command.run_id}, attempt {recorder.attempt}; to resume it: {resume_command(command)}")
        with stop.listening():
            artifacts = command.artifacts / command.run_id
            with phase("building the model"):
                training = build(began.contracts, began.settings, world, recorder, artifacts)
            last = train(training, stop)
        if last is not None:
            promote(training, last)
    return last is not None


def failed(why: object, exit_code: int) -> int:
    rank = os.environ.get("RANK", "0")
    say(f"python -m trainer{'' if rank == '0' else f', rank {rank}'}: {why}", every_rank=True)
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
