"""Facts of any value are facts: laws speak of them, and no value turns a verdict into "cannot decide"."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from psion_ledger import events
from psion_ledger.audit import Audit, audit
from psion_ledger.contracts import Contracts
from psion_ledger.errors import EventRefused
from psion_ledger.ledger import Run
from psion_ledger.record import read
from tests.ledgers import RANK0, Script, close, good_run, seal, write_ledger

EXTREMES: dict[type, list[Any]] = {
    float: [math.nan, math.inf, -math.inf, -0.0, 1.7e308],
    int: [0, 2**63 - 1],
    str: ["", "x" * 3, "\0", "{", "[1]", "null"],
    bytes: [bytes(32)],
    bool: [True, False],
    list: [[]],
    type(None): [],
}
# Seq is chosen by the writer; a stream's own identity is its name's.
LEFT_OUT = {"stream_opened"}


def changes(script: Script) -> Iterator[tuple[int, str, Any]]:
    """Every field of the first event of each kind, with each value at the edge of its type."""
    seen = set[str]()
    for place, (_, event) in enumerate(script):
        if not isinstance(event, msgspec.Struct):
            continue
        kind = str(event.__struct_config__.tag)
        if kind in seen or kind in LEFT_OUT:
            continue
        seen.add(kind)
        for name in event.__struct_fields__:
            value = getattr(event, name)
            for extreme in [*EXTREMES[type(value)], None]:
                if extreme is not value:
                    yield place, name, extreme
    document = next(
        place
        for place, (_, event) in enumerate(script)
        if isinstance(event, events.ContractDeclared) and event.contract_role == "sampling_plan"
    )
    for text in ("", "{", "[" * 500, "{}", '{"families": 3}', '{"horizon_steps": 1e400}', "\0"):
        yield document, "document", text


def cases() -> list[tuple[int, str, Any]]:
    from tests.ledgers import real_contracts

    return list(changes(good_run(real_contracts())))


CASES = cases()


def audited_with(tmp_path: Path, contracts: Contracts, case: tuple[int, str, Any], *, also_wrong: bool) -> Audit | None:
    """The audit of a run in which one field was changed; None when the writer refuses the value."""
    place, name, value = case
    script = good_run(contracts)
    stream, event = script[place]
    assert isinstance(event, msgspec.Struct)
    script[place] = (stream, msgspec.structs.replace(event, **{name: value}))
    if also_wrong:
        at = max(p for p, (_, e) in enumerate(script) if isinstance(e, events.StepCompleted))
        stream, step = script[at]
        assert isinstance(step, events.StepCompleted)
        script[at] = (stream, msgspec.structs.replace(step, loss_divisor_tokens=1))
    script += [(RANK0, close), (RANK0, seal)]
    try:
        folder = write_ledger(tmp_path, script, strict=False)
    except EventRefused:
        return None
    with Run(read(folder)) as run:
        return audit(run)


@pytest.mark.parametrize("case", CASES[::45], ids=str)
def test_a_sample_of_extreme_facts_is_audited(tmp_path: Path, contracts: Contracts, case: tuple[int, str, Any]) -> None:
    """A verdict, whatever the value; and FAIL where something else is wrong."""
    found = audited_with(tmp_path, contracts, case, also_wrong=True)
    assert found is None or found.verdict == "FAIL"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES[1::3], ids=str)
def test_a_third_of_the_extreme_facts_is_audited(
    tmp_path: Path, contracts: Contracts, case: tuple[int, str, Any]
) -> None:
    """All fields of all kinds are among them."""
    found = audited_with(tmp_path, contracts, case, also_wrong=True)
    assert found is None or found.verdict == "FAIL"


def test_a_document_of_the_sequence_index_is_a_finding(tmp_path: Path, contracts: Contracts) -> None:
    """The index is declared by its path; a document beside it breaks a rule and no audit."""
    script: Script = []
    with Run(read(write_ledger(tmp_path / "good", good_run(contracts)))) as run:
        row = run.first("select path, sha256 from contract_declared where contract_role = 'sequence_index'")
    assert row is not None
    declared = events.ContractDeclared(
        contract_role="sequence_index", schema_version="x", sha256=row[1], document="{}", path=row[0]
    )
    for stream, step in good_run(contracts):
        script.append((stream, step))
        if isinstance(step, events.ContractDeclared) and step.contract_role == "sampling_plan":
            script.append((stream, declared))
    with Run(read(write_ledger(tmp_path / "changed", script, strict=False))) as run:
        found = audit(run)
    (law,) = (law for law in found.laws if law.name == "contracts_hold_their_rules")
    assert (found.verdict, [finding.subject for finding in law.findings]) == ("FAIL", ["sequence_index#"])


def test_a_step_time_that_is_no_number_is_left_out_of_the_mean(tmp_path: Path, contracts: Contracts) -> None:
    """The receipt is derived, recorded and verified all the same."""
    script = good_run(contracts)
    for place, (stream, event) in enumerate(script):
        if isinstance(event, events.StepCompleted) and event.step == 2:
            script[place] = (stream, msgspec.structs.replace(event, step_ms=math.nan))
    with Run(read(write_ledger(tmp_path, script))) as run:
        assert audit(run).verdict == "PASS"
