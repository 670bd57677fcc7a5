"""Only regular files are opened, without blocking; what cannot be read is said so, in one line, with exit 2 or 3."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from psion_ledger.cli import app
from psion_ledger.errors import UsageError
from psion_ledger.report.escape import json_safe
from psion_ledger.settings import from_pyproject
from tests.cli import FIXTURE, FIXTURE_LEDGER

ANSWERS_WITHIN_S = 20.0


def invoked(*words: str) -> tuple[int, int]:
    """Exit code and lines on stderr; a command that blocks would never return."""
    began_s = time.monotonic()
    done = CliRunner().invoke(app, list(words))
    assert time.monotonic() - began_s < ANSWERS_WITHIN_S
    return done.exit_code, len(done.stderr.splitlines())


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "missing"])
def test_an_input_that_is_no_regular_file_is_refused(tmp_path: Path, kind: str) -> None:
    """A receipt, a proof, a key, a head."""
    path = {"pipe": tmp_path / "pipe", "folder": tmp_path, "device": Path("/dev/zero"), "missing": tmp_path / "none"}[
        kind
    ]
    if kind == "pipe":
        os.mkfifo(path)
    ledger = str(FIXTURE_LEDGER)
    assert invoked("verify", str(path), "--ledger", ledger) == (2, 1)
    assert invoked("prove", "check", str(path), "--key", str(path)) == (2, 1)
    assert invoked("audit", FIXTURE, "--ledger", ledger, "--expect-head", str(path), "--key", str(path)) == (2, 1)


FILES = (
    "CLAIM", "attempts/1.json", "manifest/0.json", "contracts/*.parquet", "segments/batch_replayed/*.parquet",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_a_record_is_no_file_of_it(tmp_path: Path, name: str) -> None:
    """Nothing waits for its other end."""
    shutil.copytree(FIXTURE_LEDGER, tmp_path / "ledger")
    path = sorted((tmp_path / "ledger" / FIXTURE).glob(name))[0]
    path.unlink()
    os.mkfifo(path)
    for words in (("show", FIXTURE), ("audit", FIXTURE), ("fsck", FIXTURE), ("query", FIXTURE, "select 1")):
        code, _ = invoked(*words, "--ledger", str(tmp_path / "ledger"))
        assert code in (1, 3), words


@pytest.mark.parametrize(
    "text",
    [
        "tool = [1]", "tool = 3", "[tool]\npsion-ledger = []", "[tool.psion-ledger]\nledger = 3",
        "[tool.psion-ledger]\nnothing = 'x'", "x = " + "[" * 5000 + "]" * 5000, "[", "\x00",
        '[tool.psion-ledger]\nledger = "a\\u0000b"',
    ],
)  # fmt: skip
def test_a_hostile_pyproject_is_wrong_usage(tmp_path: Path, text: str) -> None:
    """Never a traceback, never the code of a violated law."""
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError):
        from_pyproject(tmp_path)
    words = [sys.executable, "-m", "psion_ledger", "laws"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env={**os.environ})
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_a_pyproject_that_is_a_pipe_is_none(tmp_path: Path) -> None:
    """It is not waited for."""
    os.mkfifo(tmp_path / "pyproject.toml")
    assert from_pyproject(tmp_path) == from_pyproject(tmp_path.parent)


def test_json_carries_no_character_that_a_terminal_obeys() -> None:
    """C1 controls, bidi overrides, separators, zero widths, beyond the basic plane too; the values stay the same."""
    value = {"a": "\x9b31m \u202e \u2028 \u200b \x7f \U000e0041 na\u00efve \u4f60"}
    text = json.dumps(value, ensure_ascii=False)
    safe = json_safe(text)
    assert json.loads(safe) == value
    assert [c for c in safe if c in "\x9b\u202e\u2028\u200b\x7f\U000e0041"] == []
    assert "na\u00efve \u4f60" in safe


def test_a_string_of_megabytes_in_a_receipt_is_shown_in_short(tmp_path: Path) -> None:
    """In seconds, and in a few lines."""
    receipt = json.loads(CliRunner().invoke(app, ["receipt", FIXTURE, "--ledger", str(FIXTURE_LEDGER)]).stdout)
    receipt["summary"] = "\x9b" * (8 << 20)
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(receipt))
    began_s = time.monotonic()
    done = CliRunner().invoke(app, ["verify", str(path), "--ledger", str(FIXTURE_LEDGER)])
    assert done.exit_code == 1
    assert time.monotonic() - began_s < ANSWERS_WITHIN_S
    assert len(done.stdout) < 20_000


def test_a_ledger_that_may_not_be_read_is_not_an_empty_one(tmp_path: Path) -> None:
    """Another user looks: the folder keeps him out."""
    shutil.copytree(FIXTURE_LEDGER, tmp_path / "ledger")
    (tmp_path / "ledger").chmod(0o700)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    code = (
        "import os, sys; os.setgid(65534); os.setuid(65534)\n"
        "from psion_ledger.log import run_ids\nfrom psion_ledger.errors import Unreadable\nfrom pathlib import Path\n"
        "try:\n    print(run_ids(Path(sys.argv[1])))\n"
        "except Unreadable as error:\n    print('refused', error.exit_code)"
    )
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    words = [sys.executable, "-c", "import psion_ledger.log\n" + code, str(tmp_path / "ledger")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.stdout == "refused 3\n", done.stderr
