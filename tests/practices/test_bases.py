"""A run that begins with weights from elsewhere: promoted by another run, in its own ledger, or foreign."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from psion_ledger import events
from psion_ledger.auditing import Audit, audit
from psion_ledger.contracts import BaseCheckpoint, BaseFile, BaseRun
from psion_ledger.digest import sha256
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from psion_ledger.receipts import derive_receipt
from psion_ledger.receipts.verify import decode_receipt
from tests import ledgers
from tests.corpora import real_contracts
from tests.edits import edited, place
from tests.emitted import weights
from tests.ledgers import RANK0, Script, write_ledger
from tests.practices.recorder import declared

NEXT, BASE = "run-next", "the-base"


def base_of(ledger: Path) -> BaseCheckpoint:
    """What the first run's receipt promotes, as the next run's contract names it."""
    with Run(read(ledger / ledgers.RUN_ID)) as run:
        row = run.first("select document, lower(hex(sha256)) from receipt_recorded")
    assert row is not None
    reference = decode_receipt(row[0]).checkpoint_lineage.promoted_checkpoint
    return BaseCheckpoint(
        schema_version="psion_ledger.base_checkpoint.v1", checkpoint_id=BASE, object_sha256=reference.object_digest,
        run=BaseRun(run_id=ledgers.RUN_ID, receipt_sha256=row[1], reference=reference),
    )  # fmt: skip


def foreign() -> BaseCheckpoint:
    """Weights that somebody published."""
    files = [BaseFile(path="model.safetensors", bytes=9, sha256="ab" * 32, role="weights")]
    return BaseCheckpoint(
        schema_version="psion_ledger.base_checkpoint.v1", checkpoint_id=BASE, object_sha256="ab" * 32, files=files
    )


def going_on(base: BaseCheckpoint) -> Script:
    """A finished run with a stage, which begins with the base."""
    script = ledgers.good_run(real_contracts(run_id=NEXT))
    at = place(script, events.StageStarted)
    script = [*script[:at], (RANK0, declared("base_checkpoint", base)), *script[at:]]
    script = edited(script, events.StageStarted, base_checkpoint_id=base.checkpoint_id)
    script = edited(script, events.AttemptStarted, checkpoint_id=base.checkpoint_id)
    at = place(script, events.AttemptStarted)
    loaded = events.CheckpointLoaded(checkpoint_id=base.checkpoint_id, object_sha256=bytes.fromhex(base.object_sha256))
    return [*script[: at + 1], (RANK0, loaded), *script[at + 1 :]]


def judged(ledger: Path, script: Script) -> tuple[Audit, Any]:
    with Run(read(write_ledger(ledger, script, strict=False, run_id=NEXT))) as run:
        return audit(run), derive_receipt(run).checkpoint_lineage.base_checkpoint


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with the run that promoted the base."""
    ledger = tmp_path_factory.mktemp("first")
    write_ledger(ledger, ledgers.good_run(real_contracts()))
    return ledger


@pytest.fixture
def ledger(first: Path, tmp_path: Path) -> Path:
    """A copy of it for a next run."""
    shutil.copytree(first / ledgers.RUN_ID, tmp_path / "ledger" / ledgers.RUN_ID)
    return tmp_path / "ledger"


def violated(found: Audit) -> list[tuple[str, Any]]:
    return [(law.name, finding.subject) for law in found.laws for finding in law.findings]


def test_a_run_that_goes_on_from_another_runs_promotion_passes(ledger: Path) -> None:
    """The other ledger's receipt is held against the contract, and the new receipt has the base."""
    base = base_of(ledger)
    found, reference = judged(ledger, going_on(base))
    assert (violated(found), found.verdict, found.level) == ([], "PASS", "ordered")
    assert base.run is not None
    assert reference == base.run.reference


@pytest.mark.slow
def test_a_run_that_goes_on_from_foreign_weights_passes(tmp_path: Path) -> None:
    """Lineage ends there: nobody else's ledger is asked, and the receipt has no base."""
    found, reference = judged(tmp_path, going_on(foreign()))
    assert (violated(found), found.verdict, reference) == ([], "PASS", None)


@pytest.mark.slow
def test_a_base_whose_run_is_not_at_hand_is_not_proven(ledger: Path, tmp_path: Path) -> None:
    """The ledger of the other run was not copied along: the audit says so, and finds nothing wrong."""
    base = base_of(ledger)
    found, _ = judged(tmp_path / "alone", going_on(base))
    assert (violated(found), found.verdict) == ([], "PASS")
    assert "base_run" in [point.code for point in found.not_proven]


@pytest.mark.slow
@pytest.mark.parametrize("which", ["reference", pytest.param("receipt_sha256", marks=pytest.mark.slow)])
def test_a_base_that_the_other_run_did_not_promote_is_found(ledger: Path, which: str) -> None:
    """The contract names a receipt that is not there, or another checkpoint than it promotes."""
    base = base_of(ledger)
    assert base.run is not None
    other: dict[str, Any] = {"receipt_sha256": "00" * 32}
    if which == "reference":
        other = {"reference": msgspec.structs.replace(base.run.reference, step=2)}
    base = msgspec.structs.replace(base, run=msgspec.structs.replace(base.run, **other))
    found, _ = judged(ledger, going_on(base))
    assert ("base_was_promoted_by_its_run", "reference") in violated(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        "other weights",
        pytest.param("from nothing", marks=pytest.mark.slow),
        pytest.param("another cursor", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_does_not_begin_with_its_base_is_found(tmp_path: Path, fault: str) -> None:
    """It loaded other weights than it promised, none at all, or began at a later position."""
    script = going_on(foreign())
    if fault == "other weights":
        script = edited(script, events.CheckpointLoaded, object_sha256=bytes(32))
    elif fault == "from nothing":
        script = edited(script, events.AttemptStarted, checkpoint_id=None)
    else:
        script = edited(script, events.AttemptStarted, cursor_position=8)
    found, _ = judged(tmp_path, script)
    assert ("attempts_resume_from_written_checkpoints", "attempt 1") in violated(found)


@pytest.mark.slow
def test_a_base_named_like_an_own_checkpoint_hides_none(tmp_path: Path) -> None:
    """A contract that calls its base as the run calls a checkpoint keeps no law from speaking of that."""
    base = msgspec.structs.replace(foreign(), checkpoint_id="a0001-s000002")
    script = edited(going_on(base), events.CheckpointWritten, nth=1, cursor_position=3)
    found, _ = judged(tmp_path, script)
    assert ("checkpoints_stand_at_their_cursor", "a0001-s000002") in violated(found)


NO_WEIGHTS = [{"path": "a", "bytes": 1, "sha256": "ef" * 32, "role": "other"}]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"files": None}, {"object_sha256": "cd" * 32}, {"files": NO_WEIGHTS}],
    ids=["neither", "other digest", "no weights"],
)
def test_a_base_that_is_not_what_it_says_breaks_its_rules(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Neither a run nor files, a digest of something else, or files without weights."""
    raw = msgspec.to_builtins(foreign()) | changes
    base = msgspec.convert({name: value for name, value in raw.items() if value is not None}, BaseCheckpoint)
    script = going_on(base)
    with Run(read(write_ledger(tmp_path, script, strict=False, run_id=NEXT))) as run:
        found = audit(run)
    assert ("contracts_hold_their_rules", "base_checkpoint#") in [
        (law, str(subject).split("/")[0]) for law, subject in violated(found)
    ]


def test_weights_of_the_base_are_the_promoted_ones(ledger: Path) -> None:
    """The digest that the next run loads is that of the first run's last checkpoint."""
    assert base_of(ledger).object_sha256 == msgspec.to_builtins(sha256(weights(4)).hex())
    assert json.loads(msgspec.json.encode(base_of(ledger)))["run"]["run_id"] == ledgers.RUN_ID
