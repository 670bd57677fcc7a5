"""Each command on the recorded fixture: what it prints, and its exit code."""

import csv
import io
import json
import shutil
from pathlib import Path

import duckdb
import pytest

from psion_ledger import catalog
from tests.cli import FIXTURE, FIXTURE_LEDGER, FIXTURE_RUNS, ROOT, fixture, psion

RECEIPT = ROOT / "fixtures" / "psion" / "pretrain" / "psion_pretrain_stage_receipt_v1.json"


def test_audit_of_a_replayed_run_passes_and_says_by_whom() -> None:
    """Somebody with the ledger and the shards derives every batch again."""
    done = fixture("audit", FIXTURE, "--artifacts", FIXTURE_RUNS, "--require", "replayed")
    assert done.returncode == 0, done.stderr
    assert "PASS   level replayed (here), " in done.stdout


@pytest.mark.slow
def test_audit_without_artifacts_is_ordered_and_says_what_is_not_at_hand(tmp_path: Path) -> None:
    """Somebody gets the ledger alone, read-only, on another path."""
    copy = tmp_path / "elsewhere"
    shutil.copytree(FIXTURE_LEDGER, copy)
    for path in [*copy.rglob("*"), copy]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    words = ("audit", FIXTURE, "--ledger", copy, "--artifacts", tmp_path / "none")
    done, as_json = psion(*words, cwd=tmp_path), psion(*words, "--format", "json", cwd=tmp_path)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o700)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    laws = {law["name"]: law["status"] for law in json.loads(as_json.stdout)["laws"]}
    assert sorted(laws) == sorted(law.name for law in catalog.laws())
    assert {name for name, status in laws.items() if status not in ("held", "not_applicable")} == {
        "checkpoint_files_hold_their_digests", "columns_give_their_links", "history_continues_the_kept_head",
        "replay_here_agrees",
    }  # fmt: skip
    held = list(laws.values()).count("held")
    assert lines[1].split()[1:5] == ["PASS", "level", "ordered,", str(held)]
    assert lines[-2].startswith("PASS  level ordered, ")
    # Artifacts were given and are not there: they are not asked for again.
    assert not any("--artifacts DIR" in line for line in lines)


def test_audit_that_must_replay_without_a_corpus_is_unproven_and_says_what_to_pass(tmp_path: Path) -> None:
    """Replay is asked for, the shards are not there."""
    done = fixture("audit", FIXTURE, "--artifacts", tmp_path, "--require", "replayed")
    assert done.returncode == 3
    assert "UNPROVEN" in done.stdout
    closes = (
        f"psion-ledger audit fixture --require replayed --corpus DIR --artifacts {tmp_path} --ledger {FIXTURE_LEDGER}"
    )
    assert closes in [line.strip() for line in done.stdout.splitlines()]


def test_audit_json_carries_schema_and_every_law() -> None:
    """A machine reads the audit."""
    done = fixture("audit", FIXTURE, "--artifacts", FIXTURE_RUNS, "--require", "replayed", "--format", "json")
    found = json.loads(done.stdout)
    assert found["schema"] == "psion_ledger.audit.v1"
    assert [found[name] for name in ("run_id", "verdict", "level", "required_level", "unproven")] == [
        FIXTURE, "PASS", "replayed", "replayed", [],
    ]  # fmt: skip
    assert found["evidence"]["replayed"] == "here"
    assert sorted(law["name"] for law in found["laws"]) == sorted(law.name for law in catalog.laws())
    assert {tuple(sorted(law)) for law in found["laws"] if "skipped" not in law} == {
        ("examined", "family", "findings", "findings_total", "level", "name", "status")
    }


def test_a_selection_is_no_verdict_of_a_level() -> None:
    """One family and one law are asked for: integrity runs as well, and the verdict has its own word."""
    done = fixture("audit", FIXTURE, "-s", "family:stage", "-s", "batches_take_their_positions", "--format", "json")
    found = json.loads(done.stdout)
    of = {law.name: law.header["family"] for law in catalog.laws()}
    selected = sorted(
        name for name, family in of.items() if family == "stage" or name == "batches_take_their_positions"
    )
    assert sorted(found["selected"]) == selected
    assert sorted(law["name"] for law in found["laws"]) == sorted(
        [*selected, *(name for name, family in of.items() if family == "integrity")]
    )
    assert [found[name] for name in ("verdict", "level", "required_level")] == ["HELD", None, None]
    assert done.returncode == 0
    said = fixture("audit", FIXTURE, "-s", "batches_take_their_positions").stdout.splitlines()[-1]
    assert said == f"HELD  1 of {len(of)} laws held, 1 selected"


def test_a_selection_over_a_damaged_record_fails(tmp_path: Path) -> None:
    """The selected law has nothing to do with the file that is damaged."""
    shutil.copytree(FIXTURE_LEDGER, tmp_path / "ledger")
    (file,) = (tmp_path / "ledger" / FIXTURE / "segments" / "checkpoint_written").iterdir()
    file.unlink()
    done = psion("audit", FIXTURE, "--ledger", tmp_path / "ledger", "-s", "stage_is_pretrain", "--format", "json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["verdict"], found["level"]) == (1, "FAIL", None)
    assert [law["name"] for law in found["laws"] if law["status"] == "violated"] == ["files_hold_their_digests"]


def test_audit_without_a_run_takes_the_latest_and_says_so() -> None:
    """No run is named."""
    done = fixture("audit", "--format", "json")
    assert done.returncode == 0
    assert done.stderr.splitlines()[0] == f"run fixture (the latest in {FIXTURE_LEDGER})"


def test_show_tells_contracts_splits_streams_and_checkpoints() -> None:
    """What is this run?"""
    done = fixture("show", FIXTURE)
    assert done.returncode == 0
    for part in ("contracts", "splits", "streams", "checkpoints", "t0001.r00000", "a0001-s000040"):
        assert part in done.stdout


def test_query_prints_the_issue_s_example() -> None:
    """The losses of the promoted weights, as a table, as JSON, as CSV."""
    sql = "select split_name, source_family_id, loss_nats from final_split_loss order by 1, 2"
    rows = json.loads(fixture("query", FIXTURE, sql, "--format", "json").stdout)
    pairs = [(row["split_name"], row["source_family_id"]) for row in rows["rows"]]
    assert pairs == [
        ("held_out", "held_out_notes"), ("train", "field_notes"), ("train", "house_rules"),
        ("validation", "field_notes"), ("validation", "house_rules"),
    ]  # fmt: skip
    read = list(csv.DictReader(io.StringIO(fixture("query", FIXTURE, sql, "--format", "csv").stdout)))
    assert [float(row["loss_nats"]) for row in read] == [row["loss_nats"] for row in rows["rows"]]
    table = fixture("query", FIXTURE, sql).stdout.splitlines()
    assert [line.split()[:2] for line in table] == [["split_name", "source_family_id"], *map(list, pairs)]


def test_query_shows_hostile_text_spelled_out() -> None:
    """A string with terminal codes, markup and a bidi override is only text."""
    sql = "select chr(27) || '[31mred' || chr(8238) || '[bold]x' as nasty"
    assert fixture("query", FIXTURE, sql).stdout.splitlines()[1].strip() == "\\x1b[31mred\\u202e[bold]x"
    text = fixture("query", FIXTURE, "select '=1+1' as cell", "--format", "csv").stdout
    assert text.splitlines() == ["cell", "'=1+1"]


def test_query_refuses_anything_but_one_select(tmp_path: Path) -> None:
    """Writing is not asking."""
    target = tmp_path / "x.csv"
    for sql in (
        f"copy (select 1) to '{target}'",
        "select 1; select 2",
        "create table t (a int)",
        "selec 1",
        "@nothing",
    ):
        done = fixture("query", FIXTURE, sql)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), sql
    assert not target.exists()


def test_receipt_is_the_recorded_one_and_verifies(tmp_path: Path) -> None:
    """The receipt is printed byte for byte, and its ledger gives it again."""
    done = fixture("receipt", FIXTURE)
    assert done.stdout == RECEIPT.read_text(encoding="utf-8")
    path = tmp_path / "receipt.json"
    path.write_text(done.stdout, encoding="utf-8")
    verified = fixture("verify", path, "--format", "json")
    assert json.loads(verified.stdout) == {
        "schema": "psion_ledger.verification.v1",
        "verdict": "PASS",
        "checked": ["recorded in its ledger; derived again as of 3 manifest entries"],
        "findings": [],
    }
    assert verified.returncode == 0


def test_verify_names_every_field_that_differs(tmp_path: Path) -> None:
    """Two fields of a receipt are edited."""
    edited = json.loads(RECEIPT.read_text(encoding="utf-8"))
    edited["replay_receipt"]["successful_replays"] = 9
    edited["source_family_reports"][1]["mean_next_token_loss_milli"] -= 1
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(edited, indent=2) + "\n", encoding="utf-8")
    done = fixture("verify", path, "--format", "json")
    pointers = [finding["pointer"] for finding in json.loads(done.stdout)["findings"]]
    assert pointers == [
        "receipt#/source_family_reports/1/mean_next_token_loss_milli",
        "receipt#/replay_receipt/successful_replays",
    ]
    assert done.returncode == 1


@pytest.mark.slow
def test_replay_is_exact_and_records_only_when_asked(tmp_path: Path) -> None:
    """Order and content are derived again; with --record the ledger grows by a stream that audits clean."""
    ledger = tmp_path / "ledger"
    shutil.copytree(FIXTURE_LEDGER, ledger)
    before = sorted(path.name for path in (ledger / FIXTURE / "manifest").iterdir())
    words = ("replay", FIXTURE, "--ledger", ledger, "--artifacts", FIXTURE_RUNS)
    done = psion(*words)
    assert (done.returncode, done.stdout) == (
        0, "exact  run fixture: order and content of 40 batches of 40 steps, 0 mismatches\n",
    )  # fmt: skip
    assert sorted(path.name for path in (ledger / FIXTURE / "manifest").iterdir()) == before
    assert psion(*words, "--record").returncode == 0
    assert len(list((ledger / FIXTURE / "manifest").iterdir())) == len(before) + 1
    audited = psion("audit", FIXTURE, "--ledger", ledger, "--artifacts", FIXTURE_RUNS)
    assert (audited.returncode, "3/2" in audited.stdout) == (0, True)
    assert psion("verify", RECEIPT, "--ledger", ledger).returncode == 0


def test_laws_lists_every_law() -> None:
    """What is checked?"""
    listed = json.loads(psion("laws", "--format", "json").stdout)["laws"]
    assert [law["name"] for law in listed] == [law.name for law in catalog.laws()]


def test_catalog_writes_a_duckdb_file_that_any_client_reads(tmp_path: Path) -> None:
    """A notebook opens the file without us."""
    path = tmp_path / "run.duckdb"
    assert fixture("catalog", FIXTURE, "-o", path).returncode == 0
    with duckdb.connect(str(path), read_only=True) as con:
        assert con.sql("select count(*) from train_batches").fetchall() == [(40,)]
        assert con.sql("select run_id, basis_entries from catalog_basis").fetchall() == [(FIXTURE, 4)]
        losses = con.sql("select split_name, loss_nats from final_split_loss order by all").fetchall()
    rows = json.loads(
        fixture(
            "query", FIXTURE, "select split_name, loss_nats from final_split_loss order by all", "--format", "json"
        ).stdout
    )["rows"]
    assert losses == [(row["split_name"], row["loss_nats"]) for row in rows]
    again = fixture("catalog", FIXTURE, "-o", path)
    assert (again.returncode, "delete it first" in again.stderr) == (2, True)


@pytest.mark.parametrize("words", [("--help",), ("audit", "--help"), ("--version",)])
def test_help_and_version_are_on_stdout(words: tuple[str, ...]) -> None:
    """Somebody asks for help."""
    done = psion(*words)
    assert (done.returncode, done.stderr, bool(done.stdout.strip())) == (0, "", True)
