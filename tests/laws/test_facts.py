"""Facts of any value are facts: laws speak of them, and no value turns a verdict into "cannot decide".

Generated: every field of every kind of event, in lists and structs too, at the edges of its type; every value of every
contract's document; and the sequence index. All of it is written by the real writer.
"""

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from psion_ledger import events
from psion_ledger.auditing import Audit, audit
from psion_ledger.contracts import Contracts
from psion_ledger.digest import sha256
from psion_ledger.events import KINDS
from psion_ledger.ledger import Run
from psion_ledger.log import Writer
from psion_ledger.reading import read
from psion_ledger.receipts import derive_receipt
from tests.corpora import index_rows, real_contracts
from tests.edits import edited
from tests.laws.extremes import Change, changed, of_documents, of_events, rare_run, wrong
from tests.ledgers import RANK0, Script, good_run, record, trained_run, write_ledger

BASES: dict[str, Callable[[Contracts], Script]] = {"good": good_run, "rare": rare_run, "trained": trained_run}
# Changes of different events in one ledger: each of them is read, and any of them may raise.
TOGETHER = 8
Case = tuple[str, list[Change]]


def kinds_of(script: Script) -> set[str]:
    return {str(event.__struct_config__.tag) for _, event in script if not callable(event)}


def cases() -> tuple[list[Case], list[Case]]:
    """Changes of events, some at a time; and of documents, which are read as one, each by itself."""
    contracts = real_contracts()
    common = kinds_of(good_run(contracts))
    rare = [c for c in of_events(rare_run(contracts)) if c.what.split(":")[0] not in common]
    shuffled = random.Random(8)
    found: list[Case] = []
    for base, changes in (("good", list(of_events(good_run(contracts)))), ("rare", rare)):
        shuffled.shuffle(changes)
        groups: list[dict[int, Change]] = []
        for change in changes:
            group = next((g for g in groups if change.place not in g and len(g) < TOGETHER), None)
            if group is None:
                groups.append(group := {})
            group[change.place] = change
        found += [(base, list(group.values())) for group in groups]
    documents: list[Case] = [("trained", [change]) for change in of_documents(trained_run(contracts))]
    shuffled.shuffle(documents)
    return found, documents


EVENTS, DOCUMENTS = cases()


def shown(case: Case) -> str:
    return "; ".join(change.what for change in case[1])


def audited(folder: Path, script: Script) -> Audit:
    with Run(read(write_ledger(folder, script, strict=False))) as run:
        return audit(run)


def audited_with(tmp_path: Path, contracts: Contracts, case: Case) -> Audit:
    """One audit with all of a case's changes, over a ledger that is violated elsewhere."""
    base, changes = case
    return audited(tmp_path, changed(wrong(BASES[base](contracts)), *changes))


@pytest.mark.parametrize("case", random.Random(8).sample(EVENTS, 2) + random.Random(8).sample(DOCUMENTS, 2), ids=shown)
def test_a_sample_of_extreme_facts_fails_as_before(tmp_path: Path, contracts: Contracts, case: Case) -> None:
    """A wrong divisor stays a violation, whatever else the record says."""
    assert audited_with(tmp_path, contracts, case).verdict == "FAIL"


@pytest.mark.slow
@pytest.mark.parametrize("case", EVENTS, ids=shown)
def test_extreme_facts_fail_as_before(tmp_path: Path, contracts: Contracts, case: Case) -> None:
    """Every field of every kind, some events at a time."""
    assert audited_with(tmp_path, contracts, case).verdict == "FAIL"


@pytest.mark.slow
@pytest.mark.parametrize("case", DOCUMENTS[:: len(DOCUMENTS) // 80], ids=shown)
def test_extreme_promises_fail_as_before(tmp_path: Path, contracts: Contracts, case: Case) -> None:
    """Values of contracts, and texts that are no JSON; a seeded part of them, each by itself."""
    assert audited_with(tmp_path, contracts, case).verdict == "FAIL"


def test_every_kind_and_every_contract_is_tried() -> None:
    """But for what the writer gives by itself."""
    tried = {change.what.split(".")[0].split(":")[0] for _, changes in EVENTS for change in changes}
    assert tried == set(KINDS)
    assert {shown(case).split("#")[0] for case in DOCUMENTS} == {
        "stage_config", "model_descriptor", "tokenized_corpus", "sampling_policy", "sampling_plan"
    }  # fmt: skip


# ---- Values that have broken an audit ----


def last_batches(contracts: Contracts, **changes: Any) -> Script:
    return edited(wrong(trained_run(contracts)), events.BatchReplayed, nth=7, **changes)


BROKE: dict[str, Callable[[Contracts], Script]] = {
    "a position at the end of its range": lambda c: last_batches(c, first_position=2**63 - 1),
    "sequences at the end of their range": lambda c: last_batches(c, sequences=2**63 - 1, stride=2**31 - 1),
    "tokens at the end of their range": lambda c: last_batches(c, tokens=2**63 - 1, target_tokens=2**63 - 1),
    "a family's tokens, ten thousand times": lambda c: last_batches(
        c, family_tokens=[events.FamilyTokens(source_family_id="library_code", tokens=2**62)]
    ),
}


@pytest.mark.parametrize("name", BROKE)
def test_a_value_that_overflows_is_a_finding(tmp_path: Path, contracts: Contracts, name: str) -> None:
    """Sums and products of facts do not end an audit."""
    found = audited(tmp_path, BROKE[name](contracts))
    assert found.verdict == "FAIL"
    assert {"loss_divisors_are_target_tokens"} < {law.name for law in found.laws if law.status == "violated"}


ODD_ROWS: list[dict[str, Any]] = [
    {"sequence_id": 2**63 - 1}, {"tokens": -(2**31)}, {"tokens": 2**31 - 1}, {"split_name": "\0"},
    {"documents": []}, {"documents": [{"source_id": None, "document_id": None, "first_token": None, "tokens": None}]},
    {"token_sha256": None}, {"token_sha256": bytes(32)},
]  # fmt: skip


@pytest.mark.parametrize(
    "changes", [*(pytest.param(row, marks=pytest.mark.slow) for row in ODD_ROWS[:-2]), *ODD_ROWS[-2:]], ids=str
)
def test_an_index_of_any_value_is_read(tmp_path: Path, contracts: Contracts, changes: dict[str, Any]) -> None:
    """A row of the sequence index says something odd, and the plan names its digest."""
    index = index_rows(contracts)
    index[-1] = index[-1] | changes
    found = audited(tmp_path, wrong(trained_run(real_contracts(), rows=index)))
    assert found.verdict == "FAIL"


OUTSIDE = '[{"path":"../CLAIM","bytes":1,"rows":1,"first":0,"sha256":""}]'


@pytest.mark.parametrize(
    "listed", [OUTSIDE, *(pytest.param(text, marks=pytest.mark.slow) for text in ("{}", "[]", "null"))]
)
def test_a_list_of_index_files_that_is_none_is_a_finding(tmp_path: Path, contracts: Contracts, listed: str) -> None:
    """What is declared in the place of the index's files breaks a rule and no audit."""
    script = good_run(contracts)
    at = next(at for at, (_, step) in enumerate(script) if isinstance(step, events.StageStarted)) - 1

    def declare(folder: Path, writer: Writer) -> None:
        writer.emit(
            events.ContractDeclared(
                contract_role="sequence_index", schema_version="x", sha256=sha256(listed.encode()), document=listed
            )
        )

    found = audited(tmp_path, [*script[:at], (RANK0, declare), *script[at + 1 :]])
    (law,) = (law for law in found.laws if law.name == "contracts_hold_their_rules")
    assert (found.verdict, [finding.subject for finding in law.findings]) == ("FAIL", ["sequence_index#"])


@pytest.mark.parametrize(
    ("step_ms", "mean_ms"), [(math.nan, 31), (math.inf, 31), (-math.inf, 31), (1e308, 31), (-1.0, 31), (-0.0, 23)]
)
def test_a_step_time_of_any_value_breaks_no_receipt(
    tmp_path: Path, contracts: Contracts, step_ms: float, mean_ms: int
) -> None:
    """One that is no number of milliseconds is left out of the mean of the four; there is a receipt all the same."""
    script = good_run(contracts)
    device = next(event.devices[0] for _, event in script if isinstance(event, events.AttemptStarted))
    cuda = msgspec.structs.replace(device, backend="cuda")
    script = edited(script, events.AttemptStarted, devices=[cuda])
    for nth in range(4):
        script = edited(script, events.StepCompleted, nth=nth, step_ms=step_ms if nth == 1 else 31.0)
    until = next(at for at, (_, event) in enumerate(script) if event is record)
    with Run(read(write_ledger(tmp_path, script[:until]))) as run:
        execution = derive_receipt(run).accelerator_execution
    assert execution is not None
    assert execution.mean_step_latency_ms == mean_ms


def test_a_recorded_receipt_that_cannot_be_derived_is_a_finding(tmp_path: Path, contracts: Contracts) -> None:
    """Somebody recorded one whose basis has a loss that is no number: a law says so, and the audit goes on."""
    script = edited(good_run(contracts), events.SplitLossMeasured, nth=14, is_finite=False)

    def forged(folder: Path, writer: Writer) -> None:
        basis = read(folder).manifest
        writer.emit(
            events.ReceiptRecorded(
                schema_version="psion.pretrain_stage_receipt.v1", sha256=sha256(b"{}"), document="{}",
                basis_entries=len(basis.entries), basis_head=basis.head(), derivation_version=1,
            )
        )  # fmt: skip

    found = audited(tmp_path, [(stream, forged if event is record else event) for stream, event in script])
    (law,) = (law for law in found.laws if law.name == "receipts_rederive")
    assert (found.verdict, law.status, law.findings[0].expected) == ("FAIL", "violated", "a receipt")
