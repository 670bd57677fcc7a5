"""Before an attempt: refuse what cannot work, prepare a new run's text and contracts, or read an old run's record.

The settings and contracts of a ledger decide what is built and which files are opened, so they are checked first:
whoever wrote it.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.config import (
    BadInput,
    CannotGoOn,
    Command,
    Damaged,
    Settings,
    new_settings,
    refuse_disagreeing_flags,
)
from trainer.corpus import load_documents
from trainer.document import Document
from trainer.hints import resume_command
from trainer.sizes import (
    ModelSize,
    gib,
    nearest,
    refuse_batch_beyond,
    refuse_beyond_disk,
    refuse_beyond_memory,
    refuse_beyond_text,
    vocab_most,
)
from trainer.talk import phase, say

if TYPE_CHECKING:
    from psion_ledger import Past, Promises
    from psion_ledger.contracts import Contracts
    from trainer.environment import World


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What rank 0 found or made before this attempt, and tells the other ranks.

    `past` is null of a new run; `sequence_index` has the files of the index, null when it is declared already.
    """

    past: "Past | None"
    settings: Settings
    contracts: "Contracts"
    sequence_index: "list[tuple[bytes, int]] | None"

    @property
    def promises(self) -> "Promises":
        from psion_ledger import Promises

        index = self.sequence_index
        if index is None:
            return Promises(contracts=self.contracts)
        return Promises(contracts=self.contracts, files={"sequence_index": lambda: ("parquet", index)})


def refuse_folders(command: Command) -> None:
    """Raises BadInput for a run that is there already, and for folders in which nothing can be made."""
    recorded, artifacts = command.ledger / command.run_id, command.artifacts / command.run_id
    if os.path.lexists(recorded):
        raise BadInput(f"{recorded} exists; go on with `{resume_command(command)}`, or choose another --run-id")
    if os.path.lexists(artifacts):
        raise BadInput(f"{artifacts} exists, and no run of that name; remove it, or choose another --run-id")
    for flag, folder in (("--ledger", recorded), ("--artifacts", artifacts)):
        above = nearest(folder)
        if not above.is_dir():
            raise BadInput(f"{above} is no folder; give {flag} another")
        if not os.access(above, os.W_OK | os.X_OK):
            raise BadInput(f"{above} may not be written (permission); give {flag} another folder")


def read_text(settings: Settings) -> list[Document]:
    """The corpus, which is large enough for the settings; raises BadInput."""
    with phase("reading the text"):
        documents = load_documents(settings.corpus)
        refuse_beyond_text(settings, documents)
    return documents


def begin(command: Command, world: "World", documents: list[Document]) -> Beginning:
    """A new run, its text prepared and its contracts bound; raises BadInput."""
    from trainer import binding
    from trainer.environment import default_threads, memory_bytes

    artifacts = command.artifacts / command.run_id
    settings = new_settings(command.flags, world_size=world.size, threads=default_threads())
    size = binding.model_size(settings, vocab_most(settings, documents))
    refuse_beyond_memory(settings, step_bytes(settings, size, world), memory_bytes(world.device))
    refuse_beyond_disk(settings, size, command.artifacts)
    try:
        promised, index = prepare(settings, documents, command.run_id, artifacts, world.size)
    except BaseException:
        shutil.rmtree(artifacts, ignore_errors=True)
        raise
    return Beginning(past=None, settings=settings, contracts=promised, sequence_index=index)


def begin_again(command: Command, world: "World") -> Beginning:
    """An old run, with how far it had come; raises BadInput, CannotGoOn, and what the record's reader raises."""
    from trainer import binding, emit
    from trainer.environment import memory_bytes

    with phase("reading the record"):
        past = emit.reopen(command)
    if past.contracts is None:
        settings = settings_given_again(command, past, world)
        artifacts = command.artifacts / command.run_id
        contracts, index = prepare(settings, read_text(settings), command.run_id, artifacts, world.size)
        return Beginning(past=past, settings=settings, contracts=contracts, sequence_index=index)
    promised = binding.promises_of(past, world.size)
    settings = recorded_settings(command, past, world, promised.settings)
    if not past.finished:
        needed, there = step_bytes(settings, promised.size, world), memory_bytes(world.device)
        if needed > there:
            raise CannotGoOn(
                f"run {command.run_id}: a step needs at least {gib(needed)} of memory, and there are {gib(there)}; "
                "resume it on a larger machine"
            )
    return Beginning(past=past, settings=settings, contracts=past.contracts, sequence_index=None)


def settings_given_again(command: Command, past: "Past", world: "World") -> Settings:
    """The settings of a run that was stopped before it had promised them all: from the flags, as those of a new run.
    Raises BadInput where the ledger has others by now."""
    from trainer.environment import default_threads

    settings = new_settings(command.flags, world_size=world.size, threads=default_threads())
    for name, value in (past.settings or {}).items():
        if (given := dict(settings.pairs()).get(name)) != value:
            raise BadInput(
                f"run {command.run_id} was stopped before it promised what it trains, and had begun with {name} "
                f"{value[:80]!r}, not {given!r}; give the flags that it was started with, or start a new run"
            )
    return settings


def recorded_settings(command: Command, past: "Past", world: "World", promised: dict[str, Any]) -> Settings:
    """What the ledger says, which the flags may not contradict; raises BadInput and CannotGoOn."""
    if past.settings is None:
        raise BadInput(f"run {command.run_id} ended before it said what it trains; start a new run")
    settings = Settings.from_pairs(list(past.settings.items()), promised)
    refuse_disagreeing_flags(command.run_id, command.flags, settings)
    if past.start is not None and past.start.world != world.size and not past.finished:
        raise BadInput(
            f"run {command.run_id} was started on {past.start.world} processes, not {world.size}; "
            f"resume it with `{resume_command(command, past.start.world)}`"
        )
    if (fault := settings.undivided(world.size)) is not None and not past.finished:
        raise Damaged(f"run {command.run_id}: its recorded settings cannot be: {fault}")
    return settings


def step_bytes(settings: Settings, size: ModelSize, world: "World") -> int:
    """The least memory of a step of this rank: in float32, or in bfloat16 on a GPU."""
    sequences = settings.batch // (world.size * settings.micro_steps)
    return size.step_bytes(sequences, settings.context, 2 if world.device.type == "cuda" else 4)


def prepare(
    settings: Settings, documents: list[Document], run_id: str, artifacts: Path, world_size: int
) -> "tuple[Contracts, list[tuple[bytes, int]]]":
    """Text to shards; returns the contracts, and the files of the sequence index."""
    from trainer import binding, promises, tokenizer

    bytes_total = sum(len(document.text.encode()) for document in documents if document.split == "train")
    with phase(f"tokenizing {bytes_total / 1e6:.1f} MB"):
        encoder = tokenizer.train_tokenizer(documents, vocab_most(settings, documents))
        packed = tokenizer.pack(documents, encoder, settings.context)
    refuse_batch_beyond(settings, sum(len(group.parts) for group in packed if group.split == "train"))
    with phase("writing the shards"):
        shards, tokenizer_sha256 = tokenizer.write_shards(artifacts / "corpus", packed, encoder)
        index = tokenizer.sequence_index(packed)
    vocab = encoder.get_vocab_size()
    manifest = promises.corpus_manifest(settings, documents, packed, shards, tokenizer_sha256, vocab)
    policy = promises.sampling_policy(settings, manifest, packed)
    plan = promises.sampling_plan(settings, manifest, shards, world_size)
    promises.refuse_short_horizon({"tokenized_corpus": manifest, "sampling_policy": policy, "sampling_plan": plan})
    left_out = sum(group.tail_tokens + group.repeats * settings.context for group in packed)
    say(
        f"corpus: {len(documents)} documents, {sum(len(group.parts) for group in packed):,} sequences of "
        f"{settings.context} tokens, vocabulary {vocab:,}; {left_out:,} tokens left out (tails, repeats)"
    )
    return binding.bind(run_id, settings, manifest, policy, plan), index
