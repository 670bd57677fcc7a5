"""Only regular files are opened, without blocking; what cannot be read is said so, in one line, with exit 2 or 3."""

import json
import os
import shutil
import socket
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from psion_ledger import cli, open_run
from psion_ledger.errors import UsageError
from psion_ledger.inputs import INPUT_BYTES_MAX
from psion_ledger.settings import from_pyproject
from tests.cli import FIXTURE, FIXTURE_LEDGER, FIXTURE_RUNS, ROOT
from tests.heads.samples import private_pem
from tests.permissions import reachable_folder, unprivileged

ANSWERS_WITHIN_S = 20.0
DOCUMENTS = {
    "--config": "psion_pretrain_stage_config_v1.json", "--descriptor": "psion_compact_decoder_descriptor_v1.json",
    "--corpus": "psion_tokenized_corpus_manifest_v1.json", "--policy": "psion_sampling_policy_manifest_v1.json",
}  # fmt: skip
RECEIPT = ROOT / "fixtures/psion/pretrain/psion_pretrain_stage_receipt_v1.json"
FILE = "FILE"
# Every place of the command line for a file that the user gives.
INPUTS: dict[str, tuple[object, ...]] = {
    "a receipt": ("verify", FILE, "--ledger", FIXTURE_LEDGER), "a proof": ("prove", "check", FILE, "--key", FILE),
    "a public key": ("prove", "check", RECEIPT, "--key", FILE),
    "a private key": ("head", FIXTURE, "--key", FILE, "--ledger", FIXTURE_LEDGER),
    "a kept head": ("audit", FIXTURE, "--expect-head", FILE, "--key", FILE, "--ledger", FIXTURE_LEDGER),
    "a head to prove from": ("prove", "inclusion", FIXTURE, "--entry", "0", "--head", FILE, "--ledger", FIXTURE_LEDGER),
    "an older head": ("prove", "consistency", FIXTURE, "--from", FILE, "--head", FILE, "--ledger", FIXTURE_LEDGER),
    "a head that contradicts": (
        "prove", "equivocation", FIXTURE, "--expect-head", FILE, "--key", FILE, "--ledger", FIXTURE_LEDGER,
    ),
    **{
        f"a document, {name}": (
            "verify", RECEIPT,
            *(part for other, file in DOCUMENTS.items()
              for part in (other, FILE if other == name else RECEIPT.with_name(file))),
        )
        for name in DOCUMENTS
    },
}  # fmt: skip


def ask(*words: object) -> Result:
    """A command that blocks would never return."""
    began_s = time.monotonic()
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert time.monotonic() - began_s < ANSWERS_WITHIN_S
    return done


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What is no regular file of a fair size."""
    folder = tmp_path_factory.mktemp("places")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(folder / "socket"))
    for name in ("pipe", "loop"):
        (folder / f"link to a {name}").symlink_to(folder / (name if name == "pipe" else "link to a loop"))
    with (folder / "huge").open("wb") as file:
        file.truncate(INPUT_BYTES_MAX + 1)
    known = {path.name: path for path in folder.iterdir()}
    return known | {"folder": folder, "device": Path("/dev/zero"), "missing": folder / "none"}


@pytest.mark.parametrize("what", INPUTS)
def test_an_input_that_is_no_regular_file_is_refused(places: dict[str, Path], what: str) -> None:
    """A named pipe, which would block; a device without an end; a file of 256 MiB of nothing."""
    for kind, path in places.items():
        if kind == "huge" and "key" not in what:
            continue  # It would be read; once is enough, below.
        done = ask(*(path if word == FILE else word for word in INPUTS[what]))
        assert (kind, done.exit_code, done.stdout, len(done.stderr.splitlines())) == (kind, 2, "", 1), done.stderr


def test_an_input_without_a_fair_size_is_refused(places: dict[str, Path]) -> None:
    """It is read no further than that."""
    done = ask("verify", places["huge"], "--ledger", FIXTURE_LEDGER)
    assert (done.exit_code, "larger than 268,435,456 bytes" in done.stderr) == (2, True)


def test_a_link_to_a_regular_input_is_followed(tmp_path: Path) -> None:
    """The file is the user's own."""
    words = [part for name, file in DOCUMENTS.items() for part in (name, RECEIPT.with_name(file))]
    (tmp_path / "receipt").symlink_to(RECEIPT)
    assert ask("verify", tmp_path / "receipt", *words).exit_code == ask("verify", RECEIPT, *words).exit_code == 0


# Where in a record, and with which codes: a file that an entry names is a violation to those who judge.
FILES = {
    "CLAIM": (1, 3, 4), "attempts/1.json": (1, 3), "manifest/0.json": (1, 3), "contracts/*.parquet": (1, 3),
    "segments/batch_replayed/*.parquet": (1, 3), "journal/v.more/000000000000.wal": (1, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_a_record_is_no_file_of_it(tmp_path: Path, name: str) -> None:
    """Nothing waits for its other end, and nothing answers without it."""
    shutil.copytree(FIXTURE_LEDGER, tmp_path / "ledger")
    run = tmp_path / "ledger" / FIXTURE
    (run / "journal" / "v.more").mkdir(parents=True, exist_ok=True)
    path = next(run.glob(name), run / name)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    for words in (("show", FIXTURE), ("audit", FIXTURE), ("fsck", FIXTURE), ("query", FIXTURE, "select 1")):
        done = ask(*words, "--ledger", tmp_path / "ledger")
        assert done.exit_code in FILES[name], (words, done.stderr)


def test_a_pipe_among_the_artifacts_is_no_file_of_them(tmp_path: Path) -> None:
    """The promoted checkpoint's weights, and a shard: neither is taken for what the run wrote."""
    shutil.copytree(FIXTURE_RUNS, tmp_path / "runs")
    with open_run(FIXTURE_LEDGER, FIXTURE) as run:
        ((written,),) = run.sql("select files from promoted_checkpoint").fetchall()
    shard = next((tmp_path / "runs" / FIXTURE / "corpus").glob("*.bin"))
    shard.unlink()
    for path in (shard, *(tmp_path / "runs" / FIXTURE / file["path"] for file in written)):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
    artifacts = ("--artifacts", tmp_path / "runs")
    done = ask("replay", FIXTURE, "--ledger", FIXTURE_LEDGER, *artifacts)
    assert (done.exit_code, f"{shard}: not a regular file" in done.stderr) == (3, True)
    law = "checkpoint_files_hold_their_digests"
    done = ask("audit", FIXTURE, "--ledger", FIXTURE_LEDGER, *artifacts, "-s", law, "--format", "json")
    assert [found["status"] for found in json.loads(done.stdout)["laws"] if found["name"] == law] == ["skipped"]


def test_what_is_no_folder_is_no_ledger(places: dict[str, Path]) -> None:
    """Nor the place of artifacts or of a corpus."""
    for kind in ("pipe", "device", "huge", "missing", "link to a loop"):
        codes = [ask(*words, "--ledger", places[kind]).exit_code for words in (("runs",), ("show",), ("show", FIXTURE))]
        assert (kind, [code in (3, 4) for code in codes]) == (kind, [True] * 3), codes
        done = ask("replay", FIXTURE, "--ledger", FIXTURE_LEDGER, "--corpus", places[kind])
        assert (kind, done.exit_code, len(done.stderr.splitlines())) == (kind, 3, 1)


def refused_settings(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What `psion-ledger laws` says there, in its one line."""
    with pytest.raises(UsageError):
        from_pyproject(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["psion-ledger", "laws"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out, len(said.err.splitlines()), len(said.err) < 2500) == (2, "", 1, True), said.err
    return said.err


@pytest.mark.parametrize(
    "text",
    [
        "tool = [1]", "tool = 3", "[tool]\npsion-ledger = []", "[tool.psion-ledger]\nledger = 3",
        "[tool.psion-ledger]\nledger = ['x']", "[tool.psion-ledger]\nnothing = 'x'", "x = " + "[" * 5000 + "]" * 5000,
        "x = " + "{a=" * 5000 + "1" + "}" * 5000, "[", "\x00", '[tool.psion-ledger]\nledger = "a\\u0000b"', "\udcff",
        "a." * 100_000 + "a = 1", "[" + "a." * 100_000 + "a]", "x = 1" + "0" * 200_000, "#" * (1 << 20),
        f'[tool.psion-ledger]\n"{"x" * 200_000}" = 1', f'["{"x" * 100_000}"]\n' * 2,
    ],
    ids=range(18),
)  # fmt: skip
def test_a_hostile_pyproject_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """Never a traceback, never the code of a violated law, and no megabytes; keys of many parts, which the parser takes
    gigabytes for."""
    (tmp_path / "pyproject.toml").write_bytes(text.encode(errors="surrogateescape"))
    assert str(tmp_path / "pyproject.toml") in refused_settings(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to a loop", "device", "missing", "huge", "socket"])
def test_settings_are_read_from_a_regular_file_alone(
    tmp_path: Path,
    places: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    """What stands there by its name may be a link to it; nothing is waited for."""
    (tmp_path / "pyproject.toml").symlink_to(places[kind])
    refused_settings(tmp_path, monkeypatch, capsys)


def test_settings_that_may_not_be_read_are_wrong_usage() -> None:
    """Rather than the settings of the folder above, or none."""
    with reachable_folder() as folder:
        (folder / "pyproject.toml").touch(0o000)
        with unprivileged(), pytest.raises(UsageError, match="cannot be read: Permission denied"):
            from_pyproject(folder)


def test_a_command_that_cannot_begin_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder that it runs in is gone; or there is no process to be had."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setattr(sys, "argv", ["psion-ledger", "laws"])

    def no_process() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert (ended.value.code, said.out, len(said.err.splitlines())) == (3, "", 1)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(os, "fork", no_process)


def test_a_private_key_is_read_through_a_link_and_not_from_a_pipe(tmp_path: Path, places: dict[str, Path]) -> None:
    """A head that is signed with one."""
    shutil.copytree(FIXTURE_LEDGER, tmp_path / "ledger")
    private_pem(tmp_path / "real.pem")
    (tmp_path / "key.pem").symlink_to(tmp_path / "real.pem")
    words = ("head", FIXTURE, "--ledger", tmp_path / "ledger", "--key")
    assert [ask(*words, key).exit_code for key in (tmp_path / "key.pem", places["link to a pipe"])] == [0, 2]


def test_a_string_of_megabytes_in_a_receipt_is_shown_in_short(tmp_path: Path) -> None:
    """In seconds, and in a few lines; JSON has it whole."""
    receipt = json.loads(ask("receipt", FIXTURE, "--ledger", FIXTURE_LEDGER).stdout)
    receipt["summary"] = "\x9b" * (4 << 20)
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(receipt, ensure_ascii=False))
    done = ask("verify", path, "--ledger", FIXTURE_LEDGER)
    assert (done.exit_code, len(done.stdout) < 20_000, "more characters" in done.stdout) == (1, True, True)
    whole = json.loads(ask("verify", path, "--ledger", FIXTURE_LEDGER, "--format", "json").stdout)
    assert receipt["summary"] in [finding["actual"] for finding in whole["findings"]]
