"""Checkpoints: state comes back bit for bit, equal state has equal digests, and damage is named."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from psion_ledger import Checkpoint
from psion_ledger.recording.saving import hashed, listed
from tests.trainer.tiny import Runs, settings, write_corpus
from trainer import checkpoint
from trainer.config import Damaged
from trainer.loop import Training, make_optimizer
from trainer.model import CompactDecoder, initialise, token_losses


@pytest.fixture
def training(tmp_path: Path) -> Training:
    training = Runs(tmp_path, settings(write_corpus(tmp_path / "text"))).begin("r")
    with training.recorder:
        return training


def learn(training: Training, steps: int = 2) -> None:
    for _ in range(steps):
        ids = torch.randint(0, 300, (2, 16))  # draws from the generator that the checkpoint restores
        torch.autograd.backward(token_losses(training.model, ids).sum())
        training.optimizer.step()
        training.optimizer.zero_grad()


def write(training: Training, step: int) -> Checkpoint:
    """A checkpoint as the ledger would know it."""
    name = checkpoint.checkpoint_id(1, step)
    folder = checkpoint.write(
        training.artifacts,
        name,
        step=step,
        position=step * 4,
        model=training.model,
        optimizer=training.optimizer,
        rng_states=[checkpoint.rng_state()],
        descriptor=training.descriptor,
    )
    files = hashed(listed(folder, training.artifacts, {}))
    return Checkpoint(
        checkpoint_id=name, step=step, position=step * 4, folder=folder, root=training.artifacts, files=files
    )


def digests(written: Checkpoint) -> dict[str, bytes]:
    """What the files of each role have: here one a role."""
    found: dict[str, bytes] = {file.role: file.sha256 for file in written.files}
    assert len(written.files) == len(found)
    return found


def other(training: Training) -> Training:
    """The same parts with other weights, another generator, and an optimizer that has seen nothing."""
    model = CompactDecoder(training.contracts["model_descriptor"]["config"])
    initialise(model, 99)
    torch.manual_seed(99)
    return replace(training, model=model, optimizer=make_optimizer(model, training.settings))


def state(training: Training) -> list[bytes]:
    return [
        checkpoint.state_sha256(training.model.state_dict()),
        checkpoint.state_sha256(checkpoint.optimizer_tensors(training.model, training.optimizer)),
        checkpoint.state_sha256(checkpoint.rng_state()),
    ]


@pytest.mark.parametrize("steps", [0, 2])
def test_a_checkpoint_restores_every_bit(training: Training, steps: int) -> None:
    """Weights, moments, step counts and generators are those that were written, and go on alike."""
    learn(training, steps)
    written = write(training, steps)
    before = state(training)
    learn(training)
    after = state(training)
    fresh = other(training)
    checkpoint.load(training.artifacts, written, rank=0, model=fresh.model, optimizer=fresh.optimizer)
    assert state(fresh) == before
    learn(fresh)
    assert state(fresh) == after


def test_equal_state_has_equal_digests(training: Training) -> None:
    """Two writes of one state differ in name, time and cursor alone."""
    learn(training)
    first, second = digests(write(training, 1)), digests(write(training, 2))
    learn(training)
    third = digests(write(training, 3))
    assert sorted(first) == ["cursor", "optimizer", "other", "rng", "weights"]
    assert {"cursor"} == {role for role in first if second[role] != first[role]}
    assert {"cursor", "optimizer", "rng", "weights"} == {role for role in first if third[role] != first[role]}


def test_names_types_and_shapes_are_part_of_a_state() -> None:
    """The same bytes under another name, type or shape are another state."""
    zeros = torch.zeros(4)
    states = [{"a": zeros}, {"b": zeros}, {"a": zeros.view(torch.int32)}, {"a": zeros.reshape(2, 2)}, {}]
    assert len({checkpoint.state_sha256(one) for one in states}) == len(states)


def test_the_folder_holds_what_is_recorded(training: Training) -> None:
    """Every file of the folder with its size, below the run's artifacts; nothing temporary is left."""
    written = write(training, 0)
    folder = training.artifacts / "checkpoints"
    assert [path.name for path in folder.iterdir()] == ["a0001-s000000"]
    assert [(file.path, file.bytes) for file in written.files] == [
        (f"checkpoints/a0001-s000000/{path.name}", path.stat().st_size)
        for path in sorted((folder / "a0001-s000000").iterdir())
    ]
    assert [Path(file.path).name for file in written.files] == [
        "cursor.json",
        "descriptor.json",
        "model.safetensors",
        "optimizer.safetensors",
        "rng-00000.safetensors",
    ]
    text = (folder / "a0001-s000000" / "descriptor.json").read_text(encoding="utf-8")
    assert text == training.descriptor


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "rng-00000.safetensors"])
def test_damage_is_named_before_anything_is_loaded(training: Training, file: str) -> None:
    """One flipped bit in any file: nothing of the checkpoint is taken."""
    learn(training)
    written = write(training, 2)
    path = training.artifacts / "checkpoints" / written.checkpoint_id / file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    fresh = other(training)
    before = state(fresh)
    with pytest.raises(Damaged, match=f"{file} has sha256 .* and the ledger says .*; restore it"):
        checkpoint.load(training.artifacts, written, rank=0, model=fresh.model, optimizer=fresh.optimizer)
    assert state(fresh) == before
    path.unlink()
    with pytest.raises(Damaged, match=f"{file}: No such file or directory; name the run's artifacts"):
        checkpoint.load(training.artifacts, written, rank=0, model=fresh.model, optimizer=fresh.optimizer)


def test_a_write_that_fails_leaves_nothing_behind(training: Training) -> None:
    """A checkpoint that exists already is not overwritten, and the unfinished copy of it is gone."""
    write(training, 0)
    learn(training)
    with pytest.raises(OSError, match="not empty"):
        write(training, 0)
    assert [path.name for path in (training.artifacts / "checkpoints").iterdir()] == ["a0001-s000000"]
