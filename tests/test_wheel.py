"""What is installed from the wheel is enough: in an environment without torch a loop is recorded, audited and asked."""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "tests" / "recording" / "lists.py"
SOURCES = ("psion_ledger", "queries", "pyproject.toml", "README.md", "LICENSE", "constraints.txt")


def said(command: Sequence[str | Path], folder: Path) -> str:
    """What a command that ends well prints. Nothing of this checkout is on its path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        own = ROOT / name
        (shutil.copytree if own.is_dir() else shutil.copy)(own, folder / name)
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    pip: list[str | Path] = [programs / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = subprocess.run(
        [*pip, "wheel", "--no-deps", "--wheel-dir", "dist", "."], cwd=folder, capture_output=True, text=True
    )
    if "No matching distribution" in built.stderr or "Could not fetch" in built.stderr:
        pytest.skip("no package index to build the wheel from")
    assert built.returncode == 0, built.stderr
    (wheel,) = (folder / "dist").glob("psion_ledger-*.whl")
    said([*pip, "install", "-c", "constraints.txt", wheel], folder)
    return programs


@pytest.mark.slow
def test_a_loop_of_lists_is_recorded_audited_and_asked(environment: Path, tmp_path: Path) -> None:
    """By the installed programs alone."""
    modules = said([environment / "python", "-m", "pip", "list", "--format=freeze"], tmp_path)
    assert "torch" not in modules
    said([environment / "python", SCRIPT], tmp_path)
    ledger = environment / "psion-ledger"
    verdict = said([ledger, "audit", "lists", "--require", "replayed", "--corpus", "."], tmp_path)
    assert "PASS   level replayed (here)" in verdict
    asked = said([ledger, "query", "lists", "select sum(tokens) as n from train_batches", "--format", "csv"], tmp_path)
    assert asked.split() == ["n", "48"]


@pytest.mark.slow
def test_the_public_api_is_typed_for_who_uses_it(environment: Path, tmp_path: Path) -> None:
    """mypy reads the installed package, and finds no `Any` in a loop that uses it."""
    shutil.copy(SCRIPT, tmp_path / "loop.py")
    (tmp_path / "more.py").write_text(
        "import psion_ledger\n"
        'past = psion_ledger.reopen("ledger", "lists")\n'
        "print(past.attempts, past.documents, past.checkpoints[0].folder)\n"
        'done = psion_ledger.finish("ledger", "lists", corpus=".")\n'
        "print(done.finished, done.replays)\n"
        'with psion_ledger.open_run("ledger", "lists") as run:\n'
        "    print(psion_ledger.audit(run).verdict)\n",
        encoding="utf-8",
    )
    flags = ["--strict", "--disallow-any-expr", "--python-executable", str(environment / "python")]
    said([sys.executable, "-m", "mypy", *flags, "loop.py", "more.py"], tmp_path)
