"""What holds for every test: Hypothesis measures no time on noisy cores, and prints how to repeat a failure."""

import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("everywhere", deadline=None, print_blob=True)
settings.load_profile("everywhere")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The commands that are tested keep nothing in the folder of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_phases() -> Iterator[None]:
    """How long a phase takes here is the machine's, and what is said of it is no part of an answer."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(import_module("psion_ledger.cli.app"), "SILENT_S_MAX", 3600.0)
        yield


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of its own, of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
