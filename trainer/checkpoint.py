"""Checkpoints: everything that the next step depends on, durable before anybody hears of it.

    <artifacts>/<run-id>/checkpoints/<checkpoint_id>/
      model.safetensors         the weights, named and shaped as the descriptor says
      descriptor.json           the model descriptor, its exact contract text
      optimizer.safetensors     <parameter>|exp_avg, <parameter>|exp_avg_sq, <parameter>|step
      rng-<rank:05>.safetensors the generators of each rank: cpu, and cuda where there is one
      cursor.json               the step, and the first position that has not been consumed

The learning rate is a function of the step and is not stored. Nothing is pickled. A folder appears under its
name only when every byte in it is durable: written under a temporary name, synced, renamed, and the parent
synced.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from psion_ledger import Checkpoint
from trainer.config import Damaged
from trainer.files import read_recorded, write_durably

WEIGHTS_FILE = "model.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
CURSOR_FILE = "cursor.json"
_OPTIMIZER_STATE = ("exp_avg", "exp_avg_sq", "step")


def checkpoint_id(attempt: int, step: int) -> str:
    return f"a{attempt:04}-s{step:06}"


def write(
    artifacts: Path,
    name: str,
    *,
    step: int,
    position: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rng_states: list[dict[str, Tensor]],
    descriptor: str,
) -> Path:
    """Write one checkpoint below a run's artifacts folder; its folder is durable on return. Raises OSError."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    moments = optimizer_tensors(model, optimizer)
    contents = {
        WEIGHTS_FILE: safetensors.torch.save(weights),
        "descriptor.json": descriptor.encode(),
        OPTIMIZER_FILE: safetensors.torch.save(moments),
        CURSOR_FILE: json.dumps({"position": position, "step": step}).encode(),
    }
    contents |= {f"rng-{rank:05}.safetensors": safetensors.torch.save(state) for rank, state in enumerate(rng_states)}
    _publish(artifacts / "checkpoints", name, contents)
    return artifacts / "checkpoints" / name


def _publish(folder: Path, name: str, contents: Mapping[str, bytes]) -> None:
    scratch = folder / f".tmp-{name}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(parents=True)
        for file, data in contents.items():
            write_durably(scratch / file, data)
        _sync_folder(scratch)
        scratch.rename(folder / name)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)  # a full disk gets its room back
        raise
    _sync_folder(folder)


def load(
    artifacts: Path, recorded: Checkpoint, *, rank: int, model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Restore weights, optimizer and this rank's generators.

    Raises Damaged when a file is missing or is not what the ledger says.
    """
    contents = {
        Path(file.path).name: read_recorded(artifacts, file.path, file.bytes, file.sha256) for file in recorded.files
    }
    needed = (WEIGHTS_FILE, OPTIMIZER_FILE, f"rng-{rank:05}.safetensors")
    if missing := [name for name in needed if name not in contents]:
        raise Damaged(f"checkpoint {recorded.checkpoint_id}: its record lists no {', '.join(missing)}")
    try:
        model.load_state_dict(safetensors.torch.load(contents[WEIGHTS_FILE]))
        _restore_optimizer(model, optimizer, safetensors.torch.load(contents[OPTIMIZER_FILE]))
        set_rng_state(safetensors.torch.load(contents[f"rng-{rank:05}.safetensors"]))
    except (safetensors.SafetensorError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise Damaged(
            f"checkpoint {recorded.checkpoint_id}: its files have the recorded digests and hold no state of this "
            f"model ({type(error).__name__}); resume with the version that wrote it"
        ) from error


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by parameter name; empty before the first step."""
    return {
        f"{name}|{key}": value.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        if tensors:
            optimizer.state[parameter] = {
                key: tensors[f"{name}|{key}"].to(parameter.device) for key in _OPTIMIZER_STATE
            }


def rng_state() -> dict[str, Tensor]:
    """The state of this process's generators."""
    states = {"cpu": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else states


def set_rng_state(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def state_sha256(tensors: Mapping[str, Tensor]) -> bytes:
    """A digest of state: equal tensors give equal digests, whatever file holds them.

    SHA-256 over, in order of name, the JSON of [name, dtype, shape] and a newline, then the tensor's bytes.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        header: list[Any] = [name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
        digest.update(json.dumps(header).encode() + b"\n")
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.digest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
