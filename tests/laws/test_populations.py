"""Populations come from promises: where events are missing, no law holds over the rest as if that were all."""

from pathlib import Path

import msgspec
import pytest

from psion_ledger.audit import Audit, audit
from psion_ledger.contracts import Contracts
from psion_ledger.ledger import Run
from psion_ledger.record import read
from tests.ledgers import Script, good_run, resumed_run, write_ledger

# Their population is the record's own files and streams: an entry that never had an event promises none.
OF_THE_RECORD = {"files_hold_their_digests", "manifest_is_chained"}


def kind_of(event: object) -> str | None:
    return str(event.__struct_config__.tag) if isinstance(event, msgspec.Struct) else None


def without_kind(script: Script, kind: str, step: int | None) -> Script:
    """The script without the events of a kind: all of them, or those of one step. Verifications keep theirs."""
    return [
        (stream, event)
        for stream, event in script
        if not (kind_of(event) == kind and stream.startswith("t") and step in (None, getattr(event, "step", None)))
    ]


KINDS = [
    "run_started", "contract_declared", "stage_started", "attempt_started", "batch_replayed", "step_completed",
    "split_loss_measured", "checkpoint_written", "checkpoint_promoted",
]  # fmt: skip
CASES = [(kind, None) for kind in KINDS] + [(kind, 2) for kind in ("batch_replayed", "step_completed")]
QUICK = {("batch_replayed", 2), ("checkpoint_written", None)}
ALL = [
    pytest.param(name, kind, step, marks=[] if name == "good" and (kind, step) in QUICK else pytest.mark.slow)
    for name in ("good", "resumed")
    for kind, step in CASES
]


def audited(folder: Path) -> Audit:
    with Run(read(folder)) as run:
        return audit(run)


@pytest.fixture(scope="module")
def whole(contracts: Contracts, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Audit]:
    scripts = {"good": good_run(contracts), "resumed": resumed_run(contracts)}
    return {name: audited(write_ledger(tmp_path_factory.mktemp(name), script)) for name, script in scripts.items()}


@pytest.mark.parametrize(("name", "kind", "step"), ALL)
def test_what_is_missing_is_missed(
    tmp_path: Path, contracts: Contracts, whole: dict[str, Audit], name: str, kind: str, step: int | None
) -> None:
    """Every law that examined fewer than before is violated, or says that it examined nothing; and the run does not
    pass."""
    script = good_run(contracts) if name == "good" else resumed_run(contracts)
    found = audited(write_ledger(tmp_path, without_kind(script, kind, step), strict=False))
    before = {law.name: law.examined for law in whole[name].laws}
    held = [law for law in found.laws if law.status == "held" and law.name not in OF_THE_RECORD]
    fewer = {law.name for law in held if law.examined < before[law.name]}
    assert (found.verdict in ("FAIL", "UNPROVEN"), fewer) == (True, set())


def test_a_batch_file_s_events_that_are_gone_violate_the_laws_of_batches(tmp_path: Path, contracts: Contracts) -> None:
    """The first attempt's batches were never recorded: each law that speaks of a step's batches misses them."""
    folder = write_ledger(tmp_path, without_kind(resumed_run(contracts), "batch_replayed", 1), strict=False)
    laws = {law.name: law for law in audited(folder).laws}
    for name in ("positions_tile", "batches_count_their_tokens", "loss_divisors_are_target_tokens", "steps_are_dense"):
        assert (name, laws[name].status, laws[name].findings[0].subject) == (name, "violated", "step 1")
    for name in ("sequences_once_per_pass", "draws_come_from_their_family", "family_draws_match_the_plan"):
        assert (name, laws[name].status) == (name, "violated")
