"""An output never replaces a part of a ledger, a key, what is read or a link; it is tried before the work."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from psion_ledger.cli import app
from psion_ledger.cli.output import Placed, write_out
from psion_ledger.errors import UsageError
from tests.cli import FIXTURE, FIXTURE_LEDGER, FIXTURE_RUNS
from tests.heads.samples import private_pem, public_pem
from tests.permissions import reachable_folder, unprivileged

HEADER = "-----BEGIN {} KEY-----\n"
# Every command that takes an output, with inputs that are not there: the place is looked at before they are.
COMMANDS: dict[str, tuple[str, ...]] = {
    "audit": ("audit", FIXTURE), "receipt": ("receipt", FIXTURE), "head": ("head", FIXTURE),
    "catalog": ("catalog", FIXTURE), "inclusion": ("prove", "inclusion", FIXTURE, "--entry", "0"),
    "consistency": ("prove", "consistency", FIXTURE, "--from", "none"),
    "equivocation": ("prove", "equivocation", FIXTURE, "--expect-head", "none", "--key", "none"),
}  # fmt: skip


def ask(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger, artifacts, and every kind of place that no output may take, each with something there to lose."""
    folder = tmp_path_factory.mktemp("disk")
    shutil.copytree(FIXTURE_LEDGER, folder / "ledger")
    shutil.copytree(FIXTURE_RUNS, folder / "runs")
    shutil.copytree(FIXTURE_LEDGER, folder / "damaged")
    (folder / "damaged" / FIXTURE / "CLAIM").unlink()
    private_pem(folder / "key.pem")
    public_pem(folder / "pub.pem")
    (folder / "openssh.key").write_text(HEADER.format("OPENSSH PRIVATE"))
    (folder / "pgp.key").write_text("-----BEGIN PGP PRIVATE KEY BLOCK-----\n")
    (folder / "signer.key").write_text("PRIVATE+KEY+name+00000000+AAAA\n")
    (folder / "target").write_text("kept")
    (folder / "link").symlink_to(folder / "target")
    (folder / "dangling").symlink_to(folder / "nowhere")
    (folder / "into").symlink_to(folder / "ledger" / FIXTURE / "manifest")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(folder / "socket"))
    return folder


PLACES = {
    "an entry": "ledger/fixture/manifest/0.json", "a new name in a run": "ledger/fixture/report.txt",
    "a new name deep in a run": "ledger/fixture/segments/batch_replayed/report.txt", "beside the runs": "ledger/report",
    "an entry through a link": "into/0.json", "through dots": "folder/../ledger/fixture/CLAIM",
    "a private key": "key.pem", "a public key": "pub.pem", "another's key": "openssh.key", "a PGP key": "pgp.key",
    "a signer": "signer.key", "a link": "link", "a link to nothing": "dangling", "a loop of links": "loop/report",
    "a folder": "folder", "a pipe": "pipe", "a socket": "socket", "a device": "/dev/null", "no folder": "none/report",
    "below a file": "target/report", "the folder itself": ".", "a name of 300 bytes": "x" * 300,
}  # fmt: skip


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every name below a folder, with its kind and bytes."""
    paths = sorted(folder.rglob("*"))
    regular = {path for path in paths if path.is_file() and not path.is_symlink()}
    return {str(path): (path.lstat().st_mode, path.read_bytes() if path in regular else b"") for path in paths}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_must_not_be_replaced_is_not(command: str, disk: Path) -> None:
    """One line and exit 2, whatever the command; and every file is as it was."""
    before = contents(disk)
    for name, place in PLACES.items():
        done = ask(*COMMANDS[command], "--ledger", disk / "ledger", "-o", disk / place)
        assert (name, done.exit_code, done.stdout, len(done.stderr.splitlines())) == (name, 2, "", 1), done.stderr
    assert contents(disk) == before
    assert os.stat("/dev/null").st_rdev == os.makedev(1, 3)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_place_is_tried_before_the_work(command: str, disk: Path) -> None:
    """Where there is no run at all, the place is complained of first."""
    words = ["nobody" if word == FIXTURE else word for word in COMMANDS[command]]
    done = ask(*words, "--ledger", disk / "ledger", "-o", disk / "none" / "report")
    assert (done.exit_code, "its folder cannot be used" in done.stderr) == (2, True)


READ = {
    "the kept head": ("audit --expect-head FILE --key KEY", None),
    "the key of an audit": ("audit --expect-head KEY --key FILE", None),
    "the key of a head": ("head --key FILE", None),
    "the head of a proof": ("prove inclusion --entry 0 --head FILE", None),
    "the older head": ("prove consistency --from FILE", None),
    "the newer head": ("prove consistency --from KEY --head FILE", None),
    "the kept head of a proof": ("prove equivocation --expect-head FILE --key KEY", None),
    "a checkpoint": ("audit --artifacts RUNS", "runs/fixture/file"),
    "a shard": ("audit --corpus SHARDS", "shards/file"),
    "a file of a damaged run": ("audit --ledger DAMAGED", "damaged/fixture/manifest/0.json"),
}


@pytest.mark.parametrize("what", READ)
def test_what_the_command_reads_is_not_replaced(what: str, disk: Path, tmp_path: Path) -> None:
    """Files by what they are, not by their names: a second hard link is the same file."""
    shutil.copytree(disk / "damaged", tmp_path / "damaged")
    command, output = READ[what]
    (tmp_path / "read").write_text("kept")
    for folder in ("runs/fixture", "shards"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file").write_text("kept")
    os.link(tmp_path / "read", tmp_path / "other name")
    known = {"FILE": "read", "KEY": "no key", "RUNS": "runs", "SHARDS": "shards", "DAMAGED": "damaged"}
    words = [str(tmp_path / known[word]) if word in known else word for word in command.split()]
    words[1 + (words[0] == "prove") : 1 + (words[0] == "prove")] = [FIXTURE]
    words += [] if "--ledger" in words else ["--ledger", str(disk / "ledger")]
    before = contents(tmp_path)
    done = ask(*words, "-o", tmp_path / (output or "other name"))
    assert (done.exit_code, "is read by this very command" in done.stderr) == (2, True), done.stderr
    assert contents(tmp_path) == before


def test_a_private_key_is_not_replaced_by_the_head_that_it_signs(disk: Path) -> None:
    """As the issue has it; under another name it works."""
    key, note = disk / "key.pem", disk / "folder" / "kept.note"
    before = key.read_bytes()
    words = ("head", FIXTURE, "--ledger", disk / "ledger", "--key", key, "-o")
    assert [ask(*words, place).exit_code for place in (key, note)] == [2, 0]
    assert (key.read_bytes(), note.read_bytes().count(b"\n\xe2\x80\x94 ")) == (before, 1)
    note.unlink()


@pytest.mark.parametrize("name", ["report.txt", "\u65e5" * 85], ids=["short", "of 255 bytes"])
def test_a_regular_file_is_replaced_whole_and_nothing_is_left_beside(tmp_path: Path, disk: Path, name: str) -> None:
    """A report that was written before. A name of another file's, which holds on to its bytes, is one like any."""
    path = tmp_path / name
    os.link(disk / "target", path)
    assert ask("receipt", FIXTURE, "--ledger", disk / "ledger", "-o", path).exit_code == 0
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert path.read_text() == ask("receipt", FIXTURE, "--ledger", disk / "ledger").stdout
    assert (disk / "target").read_text() == "kept"


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), SystemExit(3)])
def test_a_write_that_does_not_end_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    """A full disk, Ctrl-C, a signal: between the first byte and the name."""
    path = tmp_path / "report"
    path.write_text("older")
    placed = Placed.at(path)
    assert placed is not None

    def fails(fd: int) -> None:
        assert [entry.stat().st_size for entry in tmp_path.iterdir() if entry != path] == [6]
        raise failure

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(UsageError if isinstance(failure, OSError) else type(failure)):
        write_out("newer", placed)
    assert contents(tmp_path) == {str(path): (path.stat().st_mode, b"older")}


def test_what_has_come_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """The work takes minutes: a key was made there."""
    placed = Placed.at(tmp_path / "report")
    assert placed is not None
    private_pem(tmp_path / "report")
    with pytest.raises(UsageError, match="holds a key"):
        placed.put(b"newer")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_command_through_its_cleaning(tmp_path: Path, number: signal.Signals) -> None:
    """One that writes a database for minutes leaves nothing behind, and exits as one that cannot decide."""
    scratch = tmp_path / "scratch"
    code = (
        "import os, pathlib, signal, sys, time; from psion_ledger.cli import supervise; supervise.supervised()\n"
        "scratch = pathlib.Path(sys.argv[1]); scratch.touch()\n"
        "try:\n    os.kill(os.getpid() if sys.argv[2] == '2' else os.getppid(), int(sys.argv[2])); time.sleep(60)\n"
        "finally:\n    scratch.unlink()"
    )
    # Whoever runs the tests under `nohup` ignores one, and a process that ignores a signal goes on doing so.
    done = subprocess.run(
        [sys.executable, "-c", code, str(scratch), str(int(number))], capture_output=True, text=True, timeout=30,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "psion-ledger: interrupted\n")
    assert not scratch.exists()


def test_a_command_that_hears_no_signal_is_killed() -> None:
    """A native library is at work, and Python does not get to its handlers: it ends all the same."""
    code = (
        "import os, signal, time; from psion_ledger.cli import supervise; supervise.CLEANING_S_MAX = 1\n"
        "supervise.supervised(); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    said = "psion-ledger: cannot decide: ended by SIGKILL while it read the record\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", said)


def test_a_place_that_others_keep_is_refused() -> None:
    """A folder that may not be written to or listed, a file that may not be read."""
    with reachable_folder() as folder:
        for name, mode in (("closed", 0o555), ("unlisted", 0o333), ("open", 0o777)):
            (folder / name).mkdir()
            (folder / name).chmod(mode)
        (folder / "open" / "secret").touch(0o000)
        said = {}
        with unprivileged():
            for name in ("closed/x", "unlisted/x", "open/secret", "open/x"):
                try:
                    said[name] = "taken" if Placed.at(folder / name) else ""
                except UsageError as error:
                    said[name] = str(error).removeprefix(f"{folder / name}: ")
        assert said == {
            "closed/x": "cannot be written: Permission denied",
            "unlisted/x": "its folder cannot be used: Permission denied",
            "open/secret": "what is there cannot be read, and is not replaced: Permission denied",
            "open/x": "taken",
        }
        assert [path.name for path in (folder / "open").iterdir()] == ["secret"]
