"""An output never replaces a part of a ledger, a key, an input or a link; it is tried before the work."""

import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from psion_ledger.cli import app
from tests.cli import FIXTURE, FIXTURE_LEDGER

KEY = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURE_LEDGER, tmp_path / "ledger")
    return tmp_path / "ledger"


def put(command: str, ledger: Path, output: Path) -> Result:
    words = {
        "audit": ["audit", FIXTURE, "--ledger", str(ledger), "-s", "stage_is_pretrain"],
        "receipt": ["receipt", FIXTURE, "--ledger", str(ledger)],
        "head": ["head", FIXTURE, "--ledger", str(ledger)],
        "catalog": ["catalog", FIXTURE, "--ledger", str(ledger)],
    }[command]
    return CliRunner().invoke(app, [*words, "-o", str(output)])


def places(tmp_path: Path, ledger: Path) -> dict[str, Path]:
    """Paths that no output may take, each with something there to lose."""
    (tmp_path / "key.pem").write_bytes(KEY)
    (tmp_path / "target").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    return {
        "an entry": ledger / FIXTURE / "manifest" / "0.json",
        "a new name in a run": ledger / FIXTURE / "report.txt",
        "beside the runs": ledger / "report.txt",
        "a key": tmp_path / "key.pem",
        "a link": tmp_path / "link",
        "a folder": tmp_path / "folder",
        "a pipe": tmp_path / "pipe",
        "no folder": tmp_path / "none" / "x",
    }


@pytest.mark.parametrize("command", ["audit", "receipt", "head", "catalog"])
def test_what_must_not_be_replaced_is_not(command: str, tmp_path: Path, ledger: Path) -> None:
    """One line, exit 2, and every file as it was."""
    refused = places(tmp_path, ledger)
    before = contents(tmp_path)
    for name, path in refused.items():
        done = put(command, ledger, path)
        assert (name, done.exit_code, done.stdout, len(done.stderr.splitlines())) == (name, 2, "", 1)
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_an_output_is_not_an_input_of_the_same_command(tmp_path: Path, ledger: Path) -> None:
    """The kept head would be replaced by the report of the audit that reads it."""
    note = tmp_path / "kept.note"
    note.write_text("a note")
    words = ["audit", FIXTURE, "--ledger", str(ledger), "--expect-head", str(note), "--key", str(note), "-o", str(note)]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "an input of this command" in done.stderr, note.read_text()) == (2, True, "a note")


def test_a_regular_file_is_replaced_whole_and_nothing_is_left_beside(tmp_path: Path, ledger: Path) -> None:
    """A report that was written before."""
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "receipt.json"
    path.write_text("older")
    assert put("receipt", ledger, path).exit_code == 0
    assert [entry.name for entry in path.parent.iterdir()] == ["receipt.json"]
    printed = CliRunner().invoke(app, ["receipt", FIXTURE, "--ledger", str(ledger)]).stdout
    assert path.read_text() == printed
