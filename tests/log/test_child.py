"""Processes of our own import nothing from where they are started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from psion_ledger import log
from psion_ledger.log import child_command
from psion_ledger.reading import read
from tests.ledgers import opened
from tests.log.streams import claimed_run, numbered

# Modules that the child imports, of Python's own and of others, and one that only a careless child would find.
NAMES = ("uuid", "json", "pyarrow", "msgspec", "psion_ledger", "sitecustomize", "usercustomize")


@pytest.fixture
def trapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with files that leave a mark when they are executed."""
    folder = tmp_path / "trapped"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'a').write({name!r})\n")
    monkeypatch.chdir(folder)
    return tmp_path / "mark"


def test_a_sealer_executes_nothing_of_the_working_directory(tmp_path: Path, trapped: Path) -> None:
    """It seals, and no file there was executed."""
    run = claimed_run(tmp_path / "ledger")
    with log.open_writer(run, opened()) as writer:
        writer.emit(numbered(1))
    log.seal_in_child(run)
    assert [entry.last_seq for entry in read(run).manifest.entries] == [1]
    assert not trapped.exists()


def test_a_command_that_is_started_as_a_script_passes_no_folder_on(tmp_path: Path, trapped: Path) -> None:
    """Neither the script's own folder nor the working directory reach the child; what was installed does."""
    script = tmp_path / "folder" / "loop.py"
    script.parent.mkdir()
    script.write_text(
        "import subprocess\nfrom psion_ledger.log import child_command\n"
        "subprocess.run(child_command('psion_ledger', '--version'), check=True)\n"
    )
    (script.parent / "typer.py").write_text("raise SystemExit(9)\n")
    root = str(Path(log.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, script], env=os.environ | {"PYTHONPATH": root}, capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert child_command("psion_ledger")[1] == "-I"
    assert not trapped.exists()


def test_what_a_sealer_says_is_spelled_out(tmp_path: Path) -> None:
    """It names a folder that somebody gave a name which a terminal would obey."""
    run = claimed_run(tmp_path / "ledger")
    with log.open_writer(run, opened()) as writer:
        writer.emit(numbered(1))
    (run / "journal" / writer.stream).rename(run / "journal" / "v.\x1b[31m")
    done = subprocess.run(child_command("psion_ledger.log", str(run)), capture_output=True, text=True)
    assert (done.returncode, "\x1b" in done.stderr, "\\x1b[31m" in done.stderr) == (3, False, True)
