"""The processes, threads and devices of a run, and what is worth recording of them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainer.sizes import machine_bytes

DEFAULT_THREADS = 2


@dataclass(frozen=True)
class World:
    """The processes of this training, as torchrun set them up; a lone process is a world of one."""

    rank: int
    size: int
    device: torch.device

    @classmethod
    def join(cls) -> "World":
        """Meet the other ranks, and make torch deterministic. One GPU a rank where there are any."""
        rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        device = torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")
        if device.type == "cuda":
            torch.cuda.set_device(device)
        torch.use_deterministic_algorithms(True)
        if size > 1:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(rank, size, device)

    def leave(self) -> None:
        if self.size > 1:
            dist.destroy_process_group()

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value on every rank."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def gathered(self, value: Any) -> list[Any]:
        """Every rank's value, in the order of ranks, on every rank."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def gathered_numbers(self, *numbers: float) -> list[list[float]]:
        """Every rank's numbers, in the order of ranks: one small message a step, exact in float64."""
        own = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        if self.size == 1:
            return [own.tolist()]
        parts = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(parts, own)
        return [part.tolist() for part in parts]

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over the ranks, in one message."""
        if self.size == 1:
            return
        gradients: list[Tensor] = [parameter.grad for parameter in parameters if parameter.grad is not None]
        joined = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(joined)
        first = 0
        for gradient in gradients:
            gradient.copy_(joined[first : first + gradient.numel()].view_as(gradient))
            first += gradient.numel()


def default_threads() -> int:
    """What torchrun was told or chose; two for a lone process, or as many as there are cores."""
    if "WORLD_SIZE" in os.environ:
        return torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(DEFAULT_THREADS, cores)


def memory_bytes(device: torch.device) -> int:
    """What a process can have: its GPU's memory, or its part of the machine's."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return machine_bytes() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
