"""The vocabulary grows: a version with more fields reads what this one wrote; this one refuses what that one wrote."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from psion_ledger import log
from psion_ledger.errors import NewerFormat
from psion_ledger.ledger import open_run
from tests.cli import FIXTURE, FIXTURE_LEDGER, FIXTURE_RUNS, ROOT, psion
from tests.ledgers import opened
from tests.log.streams import numbered

# A field more of each shape: a number, a truth, a text that may be missing, a list, a struct that may be missing.
GROWN = {
    "BatchReplayed": "shard: Count = 1",
    "StepCompleted": "clipped: bool = True",
    "StreamOpened": "rack: str | None = None",
    "SplitLossMeasured": "sampled_ids: list[Count] = []",
    "CheckpointWritten": "device: Device | None = None",
    "ContractDeclared": "weight: float = 0.5",
}
SCANS = """
import sys
from psion_ledger import open_run, relations
relations.TABLE_ROWS_MAX = int(sys.argv[3])
with open_run(sys.argv[1], sys.argv[2]) as run:
    print(run.con.execute(sys.argv[4]).fetchall())
"""
WRITES = """
import sys
from pathlib import Path
from psion_ledger import events, log
run = Path(sys.argv[1])
attempt = log.claim_attempt(run)
opened = events.StreamOpened(
    role="train", attempt=attempt, rank=0, host="h", pid=1, code_version="2", rack="r",
    attempt_sha256=log.attempt_sha256(run, attempt), previous=log.previous_ends(run, attempt),
)
with log.open_writer(run, opened) as writer:
    writer.emit(events.BatchReplayed(
        pass_id="train", step=41, micro_step=0, first_position=0, stride=1, sequences=1, sequence_ids=[0],
        sequence_sha256s=[], family_tokens=[], tokens=1, target_tokens=0, token_sha256=bytes(32), shard=7,
    ))
log.seal_run(run)
"""
EVERY_FIELD = (
    "select (select count(*) from batch_replayed where shard = 1),"
    " (select count(*) from step_completed where clipped),"
    " (select count(*) from stream_opened where rack is null),"
    " (select count(*) from split_loss_measured where sampled_ids = []),"
    " (select count(*) from checkpoint_written where device is null),"
    " (select count(*) from contract_declared where weight = 0.5)"
)
COUNTS = (
    "select (select count(*) from batch_replayed), (select count(*) from step_completed),"
    " (select count(*) from stream_opened), (select count(*) from split_loss_measured),"
    " (select count(*) from checkpoint_written), (select count(*) from contract_declared)"
)


def grown(text: str) -> str:
    """The vocabulary's source as of a next version."""
    for kind, field in GROWN.items():
        body = re.search(rf"^class {kind}\(.*?(?=\n\n\n)", text, re.DOTALL | re.MULTILINE)
        assert body is not None
        text = text.replace(body[0], f"{body[0]}\n    {field}")
    old = re.search(r"    1: (\{.*?\n    \}),\n", text, re.DOTALL)
    assert old is not None
    more = {re.sub(r"(?<=.)([A-Z])", r"_\1", kind).lower(): 1 for kind in GROWN}
    text = text.replace("EVENTS_VERSION = 1\n", "EVENTS_VERSION = 2\n")
    return text + f"\nFIELD_COUNTS[2] = {{k: n + {more!r}.get(k, 0) for k, n in FIELD_COUNTS[1].items()}}\n"


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package of the next version, and its queries beside it."""
    folder = tmp_path_factory.mktemp("newer")
    for name in ("psion_ledger", "queries"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    source = folder / "psion_ledger" / "events.py"
    source.write_text(grown(source.read_text(encoding="utf-8")), encoding="utf-8")
    return folder


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURE_LEDGER, tmp_path / "ledger")
    return tmp_path / "ledger"


def python(newer: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """A Python that imports the newer package."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=newer, env={"PYTHONPATH": str(newer)}, capture_output=True, text=True)


def asked(newer: Path, *words: object) -> str:
    done = python(newer, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(newer: Path, ledger: Path, sql: str, table_rows_max: int = 20_000) -> str:
    return asked(newer, "-c", SCANS, ledger, FIXTURE, table_rows_max, sql).strip()


@pytest.mark.parametrize(
    "table_rows_max",
    [pytest.param(20_000, id="tables"), pytest.param(-1, id="scans", marks=pytest.mark.slow)],
)
def test_a_field_that_an_old_event_lacks_has_its_default(newer: Path, ledger: Path, table_rows_max: int) -> None:
    """In every event of every kind that grew, whether its files are read into memory or scanned."""
    everything = rows(newer, ledger, COUNTS, table_rows_max)
    assert "0" not in re.findall(r"\d+", everything)
    assert everything == rows(newer, ledger, EVERY_FIELD, table_rows_max)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("audit", FIXTURE, "--require", "replayed", "--artifacts", FIXTURE_RUNS, "--deep"), ("fsck", FIXTURE, "--deep"),
        ("show", FIXTURE), ("receipt", FIXTURE), ("runs",), ("query", FIXTURE, "select shard from train_batches"),
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_every_command_takes_an_old_ledger(newer: Path, words: tuple[object, ...]) -> None:
    """As it takes one of its own version."""
    asked(newer, "-m", "psion_ledger", *words, "--ledger", FIXTURE_LEDGER)


@pytest.mark.slow
def test_a_catalog_of_an_old_ledger_has_the_defaults(newer: Path, ledger: Path, tmp_path: Path) -> None:
    """In the file itself, for any client."""
    made = tmp_path / "made.duckdb"
    asked(newer, "-m", "psion_ledger", "catalog", FIXTURE, "-o", made, "--ledger", ledger)
    with duckdb.connect(str(made), read_only=True) as con:
        assert con.execute(EVERY_FIELD).fetchone() == con.execute(COUNTS).fetchone()


@pytest.mark.slow
def test_old_segments_are_compacted_as_they_are(newer: Path, ledger: Path) -> None:
    """Two old streams' worth of files in one, of the old version, which both versions read."""
    run = ledger / FIXTURE
    log.claim_attempt(run)
    with log.open_writer(run, opened(attempt=2)) as writer:
        for step in range(41, 43):
            writer.emit(numbered(step))
            writer.rotate()
    log.seal_run(run)
    asked(newer, "-m", "psion_ledger", "compact", FIXTURE, "--ledger", ledger)
    asked(newer, "-m", "psion_ledger", "fsck", FIXTURE, "--deep", "--ledger", ledger)
    assert rows(newer, ledger, EVERY_FIELD) == rows(newer, ledger, COUNTS)
    assert psion("fsck", FIXTURE, "--deep", "--ledger", ledger).returncode == 0


@pytest.mark.slow
def test_an_old_journal_is_read_and_sealed_by_a_newer_version(newer: Path, ledger: Path) -> None:
    """Its segments have the columns of the version that wrote it, or its links would not come out."""
    run = ledger / FIXTURE
    log.claim_attempt(run)
    with log.open_writer(run, opened(attempt=2)) as writer:
        writer.emit(numbered(41))
    assert rows(newer, ledger, EVERY_FIELD) == rows(newer, ledger, COUNTS)
    asked(newer, "-m", "psion_ledger", "seal", FIXTURE, "--ledger", ledger)
    assert rows(newer, ledger, EVERY_FIELD) == rows(newer, ledger, COUNTS)
    asked(newer, "-m", "psion_ledger", "fsck", FIXTURE, "--deep", "--ledger", ledger)
    assert psion("fsck", FIXTURE, "--deep", "--ledger", ledger).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("table_rows_max", [20_000, -1], ids=["tables", "scans"])
def test_old_and_new_events_stand_in_one_relation(newer: Path, ledger: Path, table_rows_max: int) -> None:
    """Each with the value that it was given, or its default."""
    asked(newer, "-c", WRITES, ledger / FIXTURE)
    found = rows(newer, ledger, "select shard, count(*) from batch_replayed group by 1 order by 1", table_rows_max)
    before = int(re.findall(r"\d+", rows(newer, FIXTURE_LEDGER, COUNTS))[0])
    assert found == f"[(1, {before}), (7, 1)]"
    assert rows(newer, ledger, "select rack from stream_opened where attempt = 2", table_rows_max) == "[('r',)]"
    asked(newer, "-m", "psion_ledger", "fsck", FIXTURE, "--deep", "--ledger", ledger)


@pytest.mark.slow
def test_what_a_newer_version_wrote_is_not_guessed_at(newer: Path, ledger: Path) -> None:
    """Exit code 3, and what to do about it; sealed or not."""
    asked(newer, "-c", WRITES, ledger / FIXTURE)
    with pytest.raises(NewerFormat, match="upgrade"):
        open_run(ledger, FIXTURE)
    for command in ("audit", "show", "fsck", "compact"):
        done = psion(command, FIXTURE, "--ledger", ledger)
        assert (done.returncode, "upgrade" in done.stderr) == (3, True), command
