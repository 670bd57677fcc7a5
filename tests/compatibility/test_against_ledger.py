"""What the original accepts although its meaning changed is found by whoever derives the receipt again.

Each measured change is made, by its path and operation, to the receipts of real ledgers wherever the path is there,
once with the digests as they stand and once with all of them recomputed.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from psion_ledger import events, open_run
from psion_ledger.ledger import Run
from psion_ledger.receipts import PretrainStageReceipt, derive_receipt, verify_receipt
from psion_ledger.receipts.verify import compare
from tests.cli import FIXTURE, FIXTURE_LEDGER, psion
from tests.compatibility import FIXTURES, SEALS, Case, cases, put, sampled
from tests.compatibility.transfer import applied, edits_of, plain, resealed, text_of
from tests.corpora import real_contracts
from tests.documents import needs_upstream
from tests.edits import edited
from tests.ledgers import RUN_ID, good_run, write_ledger

pytestmark = needs_upstream
COUNT = 2_170
# Our stages begin from no checkpoint of another ledger, so these paths are in no receipt that we derive.
NOT_OURS = "/checkpoint_lineage/base_checkpoint"


def card(number: int) -> events.Device:
    return events.Device(
        stable_device_id=f"cuda:{number}",
        backend="cuda",
        name="a card",
        total_memory_bytes=80,
        free_memory_bytes=70,
        topology_key=f"0000:0{number + 3}:00.0",
    )


@pytest.fixture(scope="module")
def derived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PretrainStageReceipt]:
    """The receipts of the fixture and of three more runs: on a cpu, on one card, on two."""
    contracts = real_contracts()
    with open_run(FIXTURE_LEDGER, FIXTURE) as run:
        receipts = {"fixture": derive_receipt(run)}
    for name, devices in {"cpu": None, "card": [card(0)], "cards": [card(0), card(1)]}.items():
        script = good_run(contracts)
        if devices is not None:
            script = edited(script, events.AttemptStarted, devices=devices)
        ledger = tmp_path_factory.mktemp(name)
        write_ledger(ledger, script)
        with open_run(ledger, RUN_ID) as run:
            receipts[name] = derive_receipt(run)
    return receipts


class Changed(NamedTuple):
    """One change made to one receipt: where, and the texts with old and with recomputed digests."""

    case: Case
    ledger: str
    pointers: list[str]
    texts: tuple[bytes, bytes]


def made(given: Iterable[Case], derived: dict[str, PretrainStageReceipt]) -> Iterator[Changed]:
    for case in given:
        edits = edits_of(case)
        for ledger, receipt in derived.items():
            value = plain(receipt)
            if pointers := applied(edits, value):
                yield Changed(case, ledger, pointers, (text_of(value), resealed(value)))


def unfound(changed: Changed, receipt: PretrainStageReceipt) -> list[str]:
    """What derivation misses, or finds that nobody changed: nothing, where it holds."""
    wrong = []
    for text, allowed in zip(changed.texts, ((), SEALS), strict=True):
        found = {difference.pointer for difference in compare(receipt, text)}
        inside = {p: {f for f in found if f"{f}/".startswith(f"{p}/")} for p in changed.pointers}
        wrong += [f"{changed.case.name} {changed.ledger} {p}: not found" for p, those in inside.items() if not those]
        others = found.difference(*inside.values(), allowed)
        wrong += [f"{changed.case.name} {changed.ledger} {p}: found, and not changed" for p in sorted(others)]
    return wrong


def hold(given: list[Case], derived: dict[str, PretrainStageReceipt]) -> int:
    """Every change of these cases is found in every receipt where it can be made; in how many it was."""
    changes = list(made(given, derived))
    wrong = [line for changed in changes for line in unfound(changed, derived[changed.ledger])]
    assert wrong == []
    reached = {changed.case.name for changed in changes}
    passed_over = [(case.name, case.path, case.op) for case in given if case.name not in reached]
    assert [line for line in passed_over if not line[1].startswith(NOT_OURS)] == []
    return len(changes)


def test_a_receipt_as_it_was_derived_differs_in_nothing(derived: dict[str, PretrainStageReceipt]) -> None:
    """Neither as it stands nor resealed: the texts below differ by their changes alone."""
    for receipt in derived.values():
        assert compare(receipt, text_of(plain(receipt))) == []
        assert compare(receipt, resealed(plain(receipt))) == []


def test_a_sample_of_the_changes_is_found(derived: dict[str, PretrainStageReceipt]) -> None:
    """Of every path and operation, one."""
    given = list(cases(sampled(1, "document", "path", "op", "note", accepted=True)))
    assert len(given) > 100
    assert hold(given, derived) > 400


@pytest.mark.slow
def test_every_change_is_found(derived: dict[str, PretrainStageReceipt]) -> None:
    """All that the original accepts although their meaning changed."""
    given = list(cases(sampled(COUNT, "document", accepted=True)))
    assert len(given) == COUNT
    assert hold(given, derived) > 6_000


# ---- Through the ledger itself, and through the command ----


@pytest.fixture(scope="module")
def fixture_run() -> Iterator[Run]:
    with open_run(FIXTURE_LEDGER, FIXTURE) as run:
        yield run


FEW = [
    ("/replay_receipt/exact_replay_observed", "set"),
    ("/source_family_reports/1/mean_next_token_loss_milli", "set"),
    ("/source_family_reports", "list_swap"),
    ("/source_family_reports/2/detail", "literal"),
    ("/checkpoint_lineage/promoted_checkpoint/durable_at_ms", "remove"),
    ("/checkpoint_lineage/promoted_checkpoint", "rename_key"),
    ("/delivered_execution/selected_devices/0/memory_class", "set_enum"),
    ("/delivered_execution/cluster_execution", "patch"),
    ("/objective_config/label_smoothing_bps", "set"),
]


def one(path: str, op: str, derived: PretrainStageReceipt) -> Changed:
    given = [case for case in cases(sampled(10_000, "path", accepted=True)) if (case.path, case.op) == (path, op)]
    return next(made(given, {"fixture": derived}))


@pytest.mark.parametrize(("path", "op"), FEW)
def test_a_change_is_found_by_verifying_against_the_ledger(
    fixture_run: Run, derived: dict[str, PretrainStageReceipt], path: str, op: str
) -> None:
    """As a receipt that was never recorded: it is derived as of now."""
    changed = one(path, op, derived["fixture"])
    for text in changed.texts:
        verification = verify_receipt(fixture_run, text)
        assert verification.recorded is False
        assert verification.differences == compare(derived["fixture"], text)
        assert verification.differences != []


@pytest.mark.parametrize(("path", "op"), [FEW[0], FEW[4]])
def test_a_change_is_found_by_the_command(
    derived: dict[str, PretrainStageReceipt], tmp_path: Path, path: str, op: str
) -> None:
    """`psion-ledger verify RECEIPT --ledger LEDGER`: exit code 1, with the pointers."""
    changed = one(path, op, derived["fixture"])
    file = tmp_path / "receipt.json"
    file.write_bytes(changed.texts[1])
    done = psion("verify", file, "--ledger", FIXTURE_LEDGER, "--format", "json")
    found = [finding["pointer"] for finding in json.loads(done.stdout)["findings"]]
    assert done.returncode == 1
    assert found == [f"receipt#{difference.pointer}" for difference in compare(derived["fixture"], changed.texts[1])]


@pytest.mark.parametrize(("run_id", "code"), [("fixture-2", 4), ("Fixture 2", 2)])
def test_a_receipt_of_another_run_is_none_of_the_ledgers(tmp_path: Path, run_id: str, code: int) -> None:
    """A changed run id names a run that the ledger does not hold, or none that any could."""
    file = tmp_path / "receipt.json"
    file.write_bytes(put((FIXTURES / "psion_pretrain_stage_receipt_v1.json").read_bytes(), "/run_id", run_id))
    done = psion("verify", file, "--ledger", FIXTURE_LEDGER)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (code, "", 1)


def test_the_committed_receipt_is_what_the_fixtures_ledger_gives(derived: dict[str, PretrainStageReceipt]) -> None:
    """The changes are made to the receipt that is committed."""
    assert text_of(plain(derived["fixture"])) == (FIXTURES / "psion_pretrain_stage_receipt_v1.json").read_bytes()
