"""Where and with what an attempt trains. Nothing is imported for it: what the process has loaded is asked."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from psion_ledger import events

# What the bits of a run may depend on.
PACKAGES = (
    "torch", "numpy", "transformers", "accelerate", "datasets", "tokenizers", "safetensors", "lightning", "torchdata",
    "megatron-core", "jax", "flax",
)  # fmt: skip
GIT_S_MAX = 5.0


def versions() -> list[events.Version]:
    """Python, and each of `PACKAGES` that this process has imported."""
    found = [events.Version(name="python", version=platform.python_version())]
    for name in PACKAGES:
        if name.replace("-", "_").partition("_core")[0] in sys.modules:
            try:
                found.append(events.Version(name=name, version=version(name)))
            except PackageNotFoundError:
                continue
    return sorted(found, key=lambda known: known.name)


def isa() -> str | None:
    """The widest vector extension that torch uses, such as AVX512; null where torch is not loaded."""
    torch = _torch()
    return None if torch is None else str(torch.backends.cpu.get_cpu_capability())


def threads() -> int | None:
    torch = _torch()
    return None if torch is None else int(torch.get_num_threads())


def devices() -> list[events.Device]:
    """The device that this process trains on: its GPU where torch has begun to use one, else the machine's CPU."""
    torch = _torch()
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return [_gpu(torch)]
    return [_cpu()]


def _torch() -> Any:
    return sys.modules.get("torch")


def _gpu(torch: Any) -> events.Device:
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    free_bytes, total_bytes = torch.cuda.mem_get_info()
    bus = (properties.pci_domain_id, properties.pci_bus_id, properties.pci_device_id)
    return events.Device(
        stable_device_id=f"cuda:{properties.uuid}", backend="cuda", name=properties.name,
        total_memory_bytes=total_bytes, free_memory_bytes=free_bytes,
        topology_key=":".join(f"{part:02x}" for part in bus),
    )  # fmt: skip


def _cpu() -> events.Device:
    page = os.sysconf("SC_PAGE_SIZE")
    free = os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in os.sysconf_names else None
    return events.Device(
        stable_device_id=f"cpu:{platform.node() or 'host'}", backend="cpu", name=_cpu_name(),
        total_memory_bytes=os.sysconf("SC_PHYS_PAGES") * page,
        free_memory_bytes=None if free is None else free * page, topology_key=None,
    )  # fmt: skip


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """(commit, dirty) of the clone that holds a folder; nulls where there is no clone or no git."""
    try:
        outputs = [
            subprocess.run(
                ["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=GIT_S_MAX
            ).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None, None
    return outputs[0].strip(), bool(outputs[1].strip())


def script_folder() -> Path:
    """The folder of the script that trains; the working directory of an interactive one."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path.cwd() if script is None else Path(script).absolute().parent


def launch_id() -> str | None:
    """Which start of torchrun this is; null for a lone process, and where that cannot be told."""
    run, restarts = os.environ.get("TORCHELASTIC_RUN_ID"), os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if run == "none":
        # Its default, the same for every start: on one machine the process that started all ranks tells.
        alone = os.environ.get("LOCAL_WORLD_SIZE") == os.environ.get("WORLD_SIZE")
        run = f"{platform.node()}-{os.getppid()}-{_began_ticks(os.getppid())}" if alone else None
    return None if run is None else f"{run}.{restarts}"


def _began_ticks(pid: int) -> str:
    """When a process of this machine began; empty where nothing tells."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
