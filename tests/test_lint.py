"""The project is clean by its own configuration: ruff and mypy (strict) run as tests."""

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "--no-cache"),
        ("ruff", "format", "--check", "--no-cache"),
        # Half a minute in a fresh clone, where nothing is cached.
        pytest.param(("mypy",), marks=pytest.mark.slow),
    ],
)
def test_the_project_is_clean(command: tuple[str, ...]) -> None:
    """Nothing to say, over the whole project."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
