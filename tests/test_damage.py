"""A damaged record is never answered from: each kind of file of a run, each damage, each reading command and the API.

The cells in which only a head that was kept outside can tell stand in ONLY_A_KEPT_HEAD.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from psion_ledger import answering, heads, log, open_run, relations
from psion_ledger.cli import app
from psion_ledger.contracts import Contracts
from psion_ledger.errors import CannotDecide
from psion_ledger.log.segment import seal_run
from psion_ledger.replay import record_replay
from tests.corpora import real_contracts, write_shards
from tests.ledgers import RUN_ID, good_run, write_ledger
from tests.suites import sampled

CONTRACTS = real_contracts()
SEGMENTS = (
    "attempt_started", "batch_replayed", "checkpoint_promoted", "checkpoint_written", "contract_declared",
    "receipt_recorded", "run_finished", "run_started", "split_loss_measured", "stage_completed", "stage_started",
    "step_completed", "stream_ended", "stream_opened", "verification_completed", "verification_started",
)  # fmt: skip
FILES: dict[str, str] = {
    "claim": "CLAIM",
    "attempt": "attempts/1.json",
    "manifest": "manifest/1.json",
    "newest entry": "manifest/3.json",
    "journal": "journal/*/*.wal",
    "sequence index": "contracts/*.parquet",
    **{kind: f"segments/{kind}/*.parquet" for kind in SEGMENTS},
}
ONLY_A_KEPT_HEAD = {("journal", "missing")}
Damage = Callable[[Path, Path], None]


def one_bit(path: Path, _: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def truncated(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def missing(path: Path, _: Path) -> None:
    path.unlink()


def foreign(path: Path, other: Path) -> None:
    """Another run's. The two have the same text, and so the same sequence index: one of less text in its place."""
    if path.read_bytes() == other.read_bytes():
        pq.write_table(pq.read_table(pa.BufferReader(other.read_bytes())).slice(1), path)
    else:
        shutil.copyfile(other, path)


DAMAGES: dict[str, Damage] = {"one bit": one_bit, "truncated": truncated, "missing": missing, "foreign": foreign}


def made(folder: Path, contracts: Contracts) -> Path:
    """A finished run with a verification that is not sealed yet."""
    run = write_ledger(folder / "ledger", good_run(contracts))
    shards = write_shards(folder / "runs" / RUN_ID / "corpus", contracts)
    assert not any((run / "journal").glob("*/*.wal"))
    record_replay(run, shards, "0")
    return folder


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of one name, which differ in their nonces alone."""
    one, other = (made(tmp_path_factory.mktemp(name), CONTRACTS) for name in ("one", "other"))
    return one, other


def commands(folder: Path) -> dict[str, list[str]]:
    """Every command that reads a run, without its name."""
    ledger = ["--ledger", str(folder / "ledger")]
    artifacts = ["--artifacts", str(folder / "runs")]
    return {
        "audit": ["audit", RUN_ID, *ledger, *artifacts],
        "audit of one law": ["audit", RUN_ID, "-s", "stage_is_pretrain", *ledger],
        "show": ["show", RUN_ID, *ledger],
        "runs": ["runs", *ledger],
        "query": ["query", RUN_ID, "select 1", *ledger],
        "report": ["query", RUN_ID, "@splits", *ledger],
        "receipt": ["receipt", RUN_ID, *ledger],
        "verify": ["verify", str(folder / "receipt.json"), *ledger],
        "replay": ["replay", RUN_ID, *ledger, *artifacts],
        "catalog": ["catalog", RUN_ID, "-o", str(folder / "catalog.duckdb"), *ledger],
        "head": ["head", RUN_ID, *ledger],
        "prove inclusion": ["prove", "inclusion", RUN_ID, "--entry", "0", "--head", str(folder / "note"), *ledger],
        "prove consistency": ["prove", "consistency", RUN_ID, "--from", str(folder / "note"), *ledger],
        "fsck": ["fsck", RUN_ID, *ledger],
    }


def damaged(tmp_path: Path, originals: tuple[Path, Path], kind: str, damage: str) -> Path:
    one, other = originals
    folder = tmp_path / "damaged"
    shutil.copytree(one, folder)
    paths = [sorted((root / "ledger" / RUN_ID).glob(FILES[kind]))[0] for root in (folder, other)]
    DAMAGES[damage](*paths)
    (folder / "receipt.json").write_text(
        CliRunner().invoke(app, ["receipt", RUN_ID, "--ledger", str(one / "ledger")]).stdout
    )
    (folder / "note").write_text("psion-ledger/run-small/00\n")
    return folder


def answers(folder: Path) -> list[str]:
    """The readings that answered."""
    found = []
    for name, words in commands(folder).items():
        done = CliRunner().invoke(app, words)
        if done.exit_code not in (1, 3):
            found.append(f"{name}: exit {done.exit_code}: {done.output[:300]}")
        elif name not in ("audit", "audit of one law", "fsck", "runs") and done.stdout:
            found.append(f"{name}: it answered {done.stdout[:300]}")
    try:
        with open_run(folder / "ledger", RUN_ID) as run:
            found.append(f"open_run: {run.sql('select count(*) from train_batches').fetchall()}")
    except CannotDecide:
        pass
    return found


# One in nine: each damage, and every second kind of file.
CASES = [(kind, damage) for kind in FILES for damage in DAMAGES if (kind, damage) not in ONLY_A_KEPT_HEAD]


@pytest.mark.parametrize(("kind", "damage"), sampled(CASES, 9, "-".join))
def test_no_command_answers_from_a_damaged_record(
    tmp_path: Path, originals: tuple[Path, Path], kind: str, damage: str
) -> None:
    """Every damage of every kind of file."""
    assert answers(damaged(tmp_path, originals, kind, damage)) == []


@pytest.mark.slow
def test_every_command_answers_from_a_whole_record(tmp_path: Path, originals: tuple[Path, Path]) -> None:
    """The untouched twin, so that the refusals above mean something; the notes of proofs are no heads."""
    folder = tmp_path / "whole"
    shutil.copytree(originals[0], folder)
    (folder / "receipt.json").write_text(
        CliRunner().invoke(app, ["receipt", RUN_ID, "--ledger", str(folder / "ledger")]).stdout
    )
    codes = {name: CliRunner().invoke(app, words).exit_code for name, words in commands(folder).items()}
    assert {name: code for name, code in codes.items() if code} == {"prove inclusion": 2, "prove consistency": 2}


@pytest.mark.parametrize("kind", [*SEGMENTS[::4], "sequence index"])
def test_a_byte_that_changes_after_opening_is_found_by_the_query(
    tmp_path: Path, originals: tuple[Path, Path], kind: str
) -> None:
    """The run was opened, and verified, before."""
    folder = tmp_path / "raced"
    shutil.copytree(originals[0], folder)
    with open_run(folder / "ledger", RUN_ID) as run:
        one_bit(sorted((folder / "ledger" / RUN_ID).glob(FILES[kind]))[0], folder)
        with pytest.raises(CannotDecide):
            run.sql("select count(*) from train_batches")


def test_only_a_kept_head_can_tell_the_newest_entries_apart(tmp_path: Path, originals: tuple[Path, Path]) -> None:
    """The last entry and its segments are gone, or a tail is: the record holds by itself, and does not continue the
    head that was signed before."""
    folder = tmp_path / "cut"
    shutil.copytree(originals[0], folder)
    run = folder / "ledger" / RUN_ID
    seal_run(run)
    with open_run(folder / "ledger", RUN_ID) as opened:
        entries = opened.record.manifest.entries
        size, root = len(entries), opened.record.manifest.head()
    (run / "manifest" / f"{entries[-1].number}.json").unlink()
    for file in entries[-1].files:
        (run / file.path).unlink()
    with open_run(folder / "ledger", RUN_ID) as opened:
        assert opened.faults == []
        assert heads.Tree(opened.record.manifest.leaf_hashes).root(size - 1) != root
    assert log.find_run(folder / "ledger", RUN_ID) == run


def test_a_scan_reads_no_byte_that_was_not_hashed(
    tmp_path: Path, originals: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relations that are scanned, as large ones are: the file changes after the views were made and before the scan,
    and again between two scans."""
    monkeypatch.setattr(relations, "TABLE_ROWS_MAX", -1)
    folder = tmp_path / "scanned"
    shutil.copytree(originals[0], folder)
    path = sorted((folder / "ledger" / RUN_ID).glob(FILES["step_completed"]))[0]
    whole = path.read_bytes()
    count = "select count(*), sum(loss_nats) from step_completed"
    with open_run(folder / "ledger", RUN_ID) as run:
        con = answering.connection(run)
        before = pa.ipc.open_stream(answering.rows(con, run, count)).read_all()
        one_bit(path, folder)
        for _ in range(2):
            with pytest.raises(CannotDecide) as refused:
                answering.rows(con, run, count)
            assert path.name in str(refused.value)
        with pytest.raises(CannotDecide):
            run.first(count)
        con.close()
    path.write_bytes(whole)
    with open_run(folder / "ledger", RUN_ID) as run:
        assert run.sql(count).to_arrow_table() == before
