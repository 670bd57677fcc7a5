"""What the tests of the laws share: a ledger through the real log, one law over it, and what it finds."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from psion_ledger import catalog, events
from psion_ledger.auditing import run_law
from psion_ledger.contracts import Contracts
from psion_ledger.digest import sha256
from psion_ledger.evidence import Sources
from psion_ledger.findings import LawResult
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from psion_ledger.witness import Kept
from tests.corpora import write_shards
from tests.documents import changed
from tests.emitted import checkpoint_id, weights
from tests.ledgers import RUN_ID, Script, write_ledger

Row = tuple[str, int | None, str | None, str, str]
Damage = Callable[[Path], object]
STAGE = f"{RUN_ID}-stage-1-pretrain"
SECOND = "t0002.r00000"
OTHER = sha256(b"other bytes")


def audited(folder: Path, law: str, kept: Kept | None = None) -> LawResult:
    """One law over the run in `folder`, every event encoded again; artifacts are looked for beside the ledger."""
    artifacts = folder.parent.parent / "artifacts"
    corpus = artifacts / RUN_ID / "corpus"
    sources = Sources(artifacts=artifacts, corpus=corpus, kept=kept, deep=True)
    with Run(read(folder), despite_damage=True) as run:
        return run_law(run, next(known for known in catalog.laws() if known.name == law), sources, {})


def rows(result: LawResult) -> list[Row]:
    return [(f.subject, f.event_seq, f.stream, f.expected, f.actual) for f in result.findings]


def violations(folder: Path, law: str, kept: Kept | None = None) -> list[Row]:
    result = audited(folder, law, kept)
    assert result.status == "violated", f"{law} is {result.status}: {result.skipped}"
    return rows(result)


def findings(tmp_path: Path, script: Script, law: str) -> list[Row]:
    """What a law finds in the ledger that a script writes to `tmp_path/ledger`."""
    return violations(write_ledger(tmp_path / "ledger", script, strict=False), law)


def status(tmp_path: Path, script: Script, law: str) -> str:
    return audited(write_ledger(tmp_path / "ledger", script, strict=False), law).status


def findings_after(tmp_path: Path, ledger: Path, damage: Damage, law: str, kept: Kept | None = None) -> list[Row]:
    """What a law finds in a copy of a run's folder, in `tmp_path/ledger`, after damage to its files."""
    folder = tmp_path / "ledger" / RUN_ID
    shutil.copytree(ledger, folder)
    damage(folder)
    return violations(folder, law, kept)


def write_artifacts(folder: Path, contracts: Contracts) -> Path:
    """The trainer's output as `--artifacts` expects it: the corpus's shards, every checkpoint's weights."""
    write_shards(folder / RUN_ID / "corpus", contracts)
    for attempt in (1, 2, 3):
        for step in range(contracts.sampling_plan.horizon_steps + 1):
            file = folder / RUN_ID / "checkpoints" / checkpoint_id(attempt, step) / "model.safetensors"
            file.parent.mkdir(parents=True)
            file.write_bytes(weights(step))
    return folder


def with_change(contracts: Contracts, role: str, pointer: str, value: object) -> Contracts:
    """The contracts with one value of one document changed, and nothing else adapted to it."""
    document = changed(getattr(contracts, role), {pointer: value})
    return msgspec.structs.replace(contracts, **{role: document})


def completion(*receipts: bytes) -> events.StageCompleted:
    """A completion as somebody writes it who does not ask the stage program."""
    return events.StageCompleted(
        stage_id=STAGE,
        stage_kind="pretrain",
        ordinal=1,
        receipt_sha256s=list(receipts),
        completed_at_ms=1,
        completion_digest=OTHER,
    )
