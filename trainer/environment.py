"""The processes, threads and devices of a run, and what is worth recording of them."""

import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainer.sizes import machine_bytes

DEFAULT_THREADS = 2
_RECORDED_PACKAGES = ("torch", "tokenizers", "safetensors", "numpy")


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


def versions() -> list[tuple[str, str]]:
    """(name, version) of Python and of what the bits of a run depend on, sorted."""
    return sorted([("python", platform.python_version()), *((name, version(name)) for name in _RECORDED_PACKAGES)])


def isa() -> str:
    """The widest vector extension in use, such as AVX512."""
    return torch.backends.cpu.get_cpu_capability()


def devices(world: World) -> list[dict[str, Any]]:
    """The inventory: each rank's own device, every device once."""
    return list({device["stable_device_id"]: device for device in world.gathered(_device(world.device))}.values())


def _device(device: torch.device) -> dict[str, Any]:
    if device.type == "cpu":
        page = os.sysconf("SC_PAGE_SIZE")
        free = os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in os.sysconf_names else None
        return {
            "stable_device_id": f"cpu:{platform.node() or 'host'}",
            "backend": "cpu",
            "name": _cpu_name(),
            "total_memory_bytes": os.sysconf("SC_PHYS_PAGES") * page,
            "free_memory_bytes": None if free is None else free * page,
            "topology_key": None,
        }
    properties: Any = torch.cuda.get_device_properties(device)
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    bus = (properties.pci_domain_id, properties.pci_bus_id, properties.pci_device_id)
    return {
        "stable_device_id": f"cuda:{properties.uuid}",
        "backend": "cuda",
        "name": properties.name,
        "total_memory_bytes": total_bytes,
        "free_memory_bytes": free_bytes,
        "topology_key": ":".join(f"{part:02x}" for part in bus),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def launch_id() -> str | None:
    """Which start of torchrun this is; null for a lone process."""
    run, restarts = os.environ.get("TORCHELASTIC_RUN_ID"), os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return None if run is None else f"{run}.{restarts}"


def circumstances(world: World, threads: int) -> dict[str, Any]:
    """Where and with what an attempt trains, as `attempt_started` has it. Every rank takes part."""
    commit, dirty = git_state()
    return {
        "launch_id": launch_id(),
        "git_commit": commit,
        "git_dirty": dirty,
        "versions": versions(),
        "isa": isa(),
        "threads_per_process": threads,
        "devices": devices(world),
        "deterministic": True,
    }


def git_state() -> tuple[str | None, bool | None]:
    """(commit, dirty) of the clone that the trainer runs from; nulls where there is no clone or no git."""
    folder = Path(__file__).resolve().parent
    try:
        outputs = [
            subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        ]
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return outputs[0].strip(), bool(outputs[1].strip())
