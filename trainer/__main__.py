"""From the command line to the report: prepare, promise, train, complete, audit.

    python -m trainer                                   the default corpus, the smoke anchor
    python -m trainer --resume RUN                      go on where it stopped, bit for bit
    torchrun --nproc-per-node 2 -m trainer              the same on two processes

Talk goes to stderr; stdout gets the report and, on its last line, the run id. Exit codes: 0 it holds, 1 a
law is violated, 2 wrong usage or configuration, 3 cannot decide, 4 no such run, 130 interrupted, 143
terminated.
"""

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from trainer.config import (
    BadInput,
    Command,
    Damaged,
    Settings,
    new_settings,
    parse_command,
    refuse_batch_beyond,
    refuse_disagreeing_flags,
)

if TYPE_CHECKING:
    from trainer.emit import Past
    from trainer.environment import World


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What rank 0 found or made before this attempt, and tells the other ranks.

    `documents` are the contracts' exact texts by role; `sequence_index` is null when it is declared already.
    """

    run: Path
    attempt: int
    past: "Past"
    settings: Settings
    documents: dict[str, str]
    sequence_index: bytes | None


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
    except (BadInput, Damaged) as error:
        return failed(error, error.exit_code)
    except KeyboardInterrupt:
        say(f"interrupted. {what_is_kept(command)}")
        return 128 + signal.SIGINT
    except OSError as error:
        return failed(f"{error}. {what_is_kept(command)}", 3)
    except Exception as error:
        from trainer.emit import LedgerError

        if not isinstance(error, LedgerError):
            raise
        return failed(error, error.exit_code)


def run(command: Command) -> int:
    """One attempt, and the report when it completes the run; returns the exit code."""
    if command.resume is None:
        # Before anything is loaded or read: a mistake in a flag is told at once.
        new_settings(command.flags, world_size=int(os.environ.get("WORLD_SIZE", "1")), threads=1)
    say("loading")
    from trainer import emit
    from trainer.environment import World

    world = World.join()
    try:
        began: Beginning = world.broadcast(begin(command, world) if world.rank == 0 else None)
        if not began.past.finished:
            stop = StopAsked()
            if not attempt(command, began, world, stop):
                say(f"stopped. {what_is_kept(command)}")
                return 128 + stop.signal if stop.signal else 0
        if world.rank > 0:
            return 0
        say("auditing")
        exit_code = emit.audit(began.run, command.artifacts, command.artifacts / command.run_id / "corpus")
        try:
            print(command.run_id, flush=True)
        except BrokenPipeError:
            # Whoever read has gone (`| head`): the run is finished all the same.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_code
    finally:
        world.leave()


def begin(command: Command, world: "World") -> Beginning:
    """A new run, its text prepared and its contracts bound; or an old one, with how far it had come."""
    from trainer import emit
    from trainer.environment import default_threads

    artifacts = command.artifacts / command.run_id
    if command.resume is None:
        for folder in (command.ledger / command.run_id, artifacts):
            if folder.exists():
                raise BadInput(f"{folder} exists; resume the run with --resume, or choose another --run-id")
        settings = new_settings(command.flags, world_size=world.size, threads=default_threads())
        try:
            documents, index = prepare(settings, command.run_id, artifacts)
        except BaseException:
            shutil.rmtree(artifacts, ignore_errors=True)
            raise
        folder, past = emit.create(command.ledger, command.run_id), emit.Past()
    else:
        folder, past = emit.reopen(command.ledger, command.run_id)
        if past.settings is None:
            raise BadInput(f"run {command.run_id} ended before it said what it trains; start a new run")
        settings = Settings.from_pairs(past.settings)
        refuse_disagreeing_flags(command.run_id, command.flags, settings)
        if past.world_size != world.size and not past.finished:
            raise BadInput(
                f"run {command.run_id} was started on {past.world_size} processes, not {world.size}; "
                f"resume it with torchrun --nproc-per-node {past.world_size} -m trainer"
            )
        documents, index = past.documents, None
        if not past.contracts_declared:
            documents, index = prepare(settings, command.run_id, artifacts)
            if any(documents[role] != text for role, text in past.documents.items()):
                raise Damaged(f"the text of run {command.run_id} has changed since it was promised; start a new run")
    number = 0 if past.finished else emit.claim_attempt(folder)
    return Beginning(
        run=folder, attempt=number, past=past, settings=settings, documents=documents, sequence_index=index
    )


def prepare(settings: Settings, run_id: str, artifacts: Path) -> tuple[dict[str, str], bytes]:
    """Text to shards; returns the contracts' exact texts by role, and the sequence index."""
    import hashlib

    from trainer import corpus, emit, promises, tokenizer

    say("reading the text")
    documents = corpus.load_documents(settings.corpus)
    bytes_total = sum(len(document.text.encode()) for document in documents if document.split == "train")
    # A token is a byte at least.
    refuse_batch_beyond(settings, bytes_total // settings.context)
    say(f"tokenizing {bytes_total / 1e6:.1f} MB")
    encoder = tokenizer.train_tokenizer(documents, settings.vocab)
    packed = tokenizer.pack(documents, encoder, settings.context)
    refuse_batch_beyond(settings, sum(len(group.parts) for group in packed if group.split == "train"))
    shards, tokenizer_sha256 = tokenizer.write_shards(artifacts / "corpus", packed, encoder)
    index = tokenizer.sequence_index(packed)
    vocab = encoder.get_vocab_size()
    manifest = promises.corpus_manifest(settings, documents, packed, shards, tokenizer_sha256, vocab)
    policy = promises.sampling_policy(settings, manifest, packed)
    plan = promises.sampling_plan(settings, manifest, shards, hashlib.sha256(index).hexdigest())
    promises.refuse_short_horizon({"tokenized_corpus": manifest, "sampling_policy": policy, "sampling_plan": plan})
    left_out = sum(group.tail_tokens + group.repeats * settings.context for group in packed)
    say(
        f"corpus: {len(documents)} documents, {sum(len(group.parts) for group in packed):,} sequences of "
        f"{settings.context} tokens, vocabulary {vocab:,}; {left_out:,} tokens left out (tails, repeats)"
    )
    return emit.bind(run_id, settings, manifest, policy, plan), index


def attempt(command: Command, began: Beginning, world: "World", stop: StopAsked) -> bool:
    """One rank's part of this attempt; False when it was stopped before the horizon."""
    from trainer import emit, environment
    from trainer.loop import build, promote, train

    past = began.past
    if past.stage_completed and world.rank > 0:
        return True  # nothing of training follows completion; rank 0 alone has a finish to record
    failing = command.on_ledger_failure
    with emit.Recorder(began.run, began.attempt, world.rank, past.previous, failing) as recorder:
        if not past.stage_completed:
            devices = environment.devices(world)
            if world.rank == 0:
                if past.settings is None:
                    recorder.run_started(began.settings, world, devices)
                say(f"run {command.run_id}, attempt {began.attempt}; to resume it: {resume_command(command)}")
                recorder.declare(past, began.documents, began.sequence_index)
                recorder.attempt_started(world.size, began.settings.micro_steps, past.checkpoint)
            world.gathered("rank 0 has declared everything")
            if world.rank > 0:
                recorder.attempt_started(world.size, began.settings.micro_steps, past.checkpoint)
            with stop.listening():
                artifacts = command.artifacts / command.run_id
                say("building the model")
                training = build(began.documents, began.settings, world, recorder, artifacts)
                last = train(training, past.checkpoint, stop)
            if last is None:
                return False
            if world.rank == 0 and not past.promoted:
                promote(training, last)
            if world.rank > 0:
                recorder.run_finished()
                recorder.writer.close()
            world.gathered("every other stream has ended")
        if world.rank == 0:
            emit.complete(recorder, past, command.artifacts / command.run_id / "corpus", say)
    return True


def what_is_kept(command: Command) -> str:
    if (command.ledger / command.run_id / "CLAIM").exists():
        return f"What was recorded is kept; to go on: {resume_command(command)}"
    return "Nothing was recorded yet."


def resume_command(command: Command) -> str:
    """The shell command that resumes the run from the same folder."""
    size = os.environ.get("WORLD_SIZE")
    words = ["python"] if size is None else ["torchrun", "--nproc-per-node", size]
    words += ["-m", "trainer", "--resume", command.run_id]
    for flag, folder, default in (
        ("--ledger", command.ledger, "ledger"),
        ("--artifacts", command.artifacts, "runs"),
    ):
        words += [flag, str(folder)] if folder != Path(default) else []
    return shlex.join(words)


def say(line: str) -> None:
    """Talk, from rank 0 alone. It may quote a ledger, whose strings a terminal must not obey."""
    if os.environ.get("RANK", "0") == "0":
        shown = line if line.isascii() and line.isprintable() else ascii(line)[1:-1]
        print(shown, file=sys.stderr, flush=True)


def failed(what: object, exit_code: int) -> int:
    say(f"python -m trainer: {what}")
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
