"""Bad input: one clear line on stderr, the right exit code, no traceback."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from psion_ledger.cli import app
from tests.cli import FIXTURE, FIXTURE_LEDGER, ROOT, fixture, psion


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    copy = tmp_path / "ledger"
    shutil.copytree(FIXTURE_LEDGER, copy)
    return copy


def segment(ledger: Path, kind: str) -> Path:
    return sorted((ledger / FIXTURE / "segments" / kind).iterdir())[0]


def violated(ledger: Path) -> tuple[int, list[tuple[str, str]]]:
    """Exit code, and (law, subject) of each finding."""
    done = psion("audit", FIXTURE, "--ledger", ledger, "--format", "json")
    assert "Traceback" not in done.stderr
    laws = json.loads(done.stdout)["laws"]
    return done.returncode, [(law["name"], f["subject"]) for law in laws for f in law["findings"]]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("audit", "nobody"), 4, "no run nobody"),
        (("show", "nobody"), 4, "no run nobody"),
        (("audit", "../fixture"), 2, "run id '../fixture'"),
        (("audit", "Fixture"), 2, "run id 'Fixture'"),
        (("audit", "fixture", "-s", "no_such_law"), 2, "no law or family no_such_law"),
        (("audit", "fixture", "--as-of", "99"), 3, "the manifest holds 4"),
        (("audit", "fixture", "-o", "/no/such/folder/x"), 2, "its folder cannot be used"),
        (("verify", "no-such-file.json"), 2, "cannot be read"),
        (
            ("replay", "fixture", "--corpus", "/no/such/folder"),
            3,
            "pass the folder of its shards with --corpus",
        ),
        (("query", "fixture", "select nothing"), 2, "nothing"),
    ],
)
def test_a_bad_word_gives_one_line_and_its_code(words: tuple[str, ...], code: int, says: str) -> None:
    """Somebody mistypes."""
    done = fixture(*words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (code, "", 1), done.stderr
    assert says in done.stderr


def test_an_unknown_option_is_wrong_usage() -> None:
    """Typer's own refusals are exit 2."""
    done = fixture("audit", "--level", "x")
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(("folder", "code", "says"), [("empty", 0, "no runs in"), ("none", 4, "no ledger")])
def test_an_empty_ledger_has_no_runs_and_a_missing_one_is_not_empty(
    tmp_path: Path, folder: str, code: int, says: str
) -> None:
    """A folder that was mistyped is no ledger without runs; neither has a latest run."""
    (tmp_path / "empty").mkdir()
    for words, expected in ((["runs"], (code, says)), (["audit"], (4, "no run in"))):
        done = CliRunner().invoke(app, [*words, "--ledger", str(tmp_path / folder)])
        assert (done.exit_code, done.stdout, expected[1] in done.stderr) == (expected[0], "", True)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": "psion.pretrain_stage_receipt.v2"}', "\xff"])
def test_a_receipt_that_is_none_is_wrong_usage(tmp_path: Path, text: str) -> None:
    """Malformed JSON, another schema, missing fields."""
    path = tmp_path / "receipt.json"
    path.write_text(text, encoding="latin-1")
    done = fixture("verify", path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr


def test_a_missing_segment_is_a_violation_named_to_the_file(ledger: Path) -> None:
    """A sealed file has gone."""
    gone = segment(ledger, "step_completed")
    gone.unlink()
    name = gone.relative_to(ledger / FIXTURE).as_posix()
    assert violated(ledger) == (1, [("files_hold_their_digests", name)])


def test_a_truncated_segment_is_a_violation_named_to_the_file(ledger: Path) -> None:
    """A sealed file was cut short."""
    cut = segment(ledger, "batch_replayed")
    cut.write_bytes(cut.read_bytes()[:-7])
    name = cut.relative_to(ledger / FIXTURE).as_posix()
    assert violated(ledger) == (1, [("files_hold_their_digests", name)])


def test_a_malformed_manifest_entry_is_a_violation_named_to_the_entry(ledger: Path) -> None:
    """An entry is no JSON any more."""
    (ledger / FIXTURE / "manifest" / "2.json").write_text("{not json", encoding="utf-8")
    code, found = violated(ledger)
    assert (code, found[0]) == (1, ("manifest_is_chained", "manifest/2.json"))


def test_a_malformed_claim_cannot_be_decided(ledger: Path) -> None:
    """CLAIM is unreadable."""
    (ledger / FIXTURE / "CLAIM").write_text("{", encoding="utf-8")
    done = psion("audit", FIXTURE, "--ledger", ledger)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (3, "", 1)


def test_a_newer_format_says_upgrade(ledger: Path) -> None:
    """The ledger was written by a later version."""
    claim = ledger / FIXTURE / "CLAIM"
    body = claim.read_text().replace('"format_version":1', '"format_version":2').split(',"sha256"')[0]
    own = hashlib.sha256(f"{body}}}".encode()).hexdigest()
    claim.write_text(f'{body},"sha256":"{own}"}}\n', encoding="utf-8")
    done = psion("audit", FIXTURE, "--ledger", ledger)
    assert (done.returncode, "upgrade" in done.stderr) == (3, True)


def test_settings_come_from_flag_then_environment_then_pyproject(tmp_path: Path) -> None:
    """The ledger's folder is named in three places; the nearest to the command wins."""
    project = tmp_path / "project"
    project.mkdir()
    table = f'[tool.psion-ledger]\nledger = "{FIXTURE_LEDGER}"\n'
    (project / "pyproject.toml").write_text(table, encoding="utf-8")
    assert "fixture" in psion("runs", cwd=project).stdout
    empty = {"PSION_LEDGER_LEDGER": str(tmp_path / "empty")}
    assert psion("runs", cwd=project, env=empty).stdout == ""
    assert "fixture" in psion("runs", "--ledger", FIXTURE_LEDGER, cwd=project, env=empty).stdout
    (project / "pyproject.toml").write_text("[tool.psion-ledger]\nleger = 'x'\n", encoding="utf-8")
    done = psion("runs", cwd=project)
    assert (done.returncode, "no setting leger" in done.stderr) == (2, True)


def test_a_crash_of_ours_is_never_a_verdict(ledger: Path) -> None:
    """A file that cannot be opened at all: not 0, not 1."""
    (ledger / FIXTURE / "manifest" / "0.json").unlink()
    (ledger / FIXTURE / "manifest" / "0.json").mkdir()
    done = psion("audit", FIXTURE, "--ledger", ledger)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)


def test_no_color_and_width_hold_in_a_terminal_s_place() -> None:
    """The report fits 100 columns and has no escape codes when it is not a terminal."""
    done = psion("audit", FIXTURE, "--ledger", "fixtures/ledger", cwd=ROOT)
    # Commands are to be pasted: they are not broken.
    assert max(len(line) for line in done.stdout.splitlines() if "psion-ledger audit fixture" not in line) <= 100
    assert "\x1b" not in done.stdout
