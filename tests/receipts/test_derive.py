"""The receipt follows from the record: in full, at every edge of its arithmetic; what the record lacks is named."""

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psion_ledger import catalog, events, open_run, relations
from psion_ledger.contracts import encode_document
from psion_ledger.errors import CannotDecide
from psion_ledger.receipts import derive_receipt
from psion_ledger.receipts.derive import milli_half_up
from tests.edits import edited, place, without
from tests.ledgers import RUN_ID, Script, good_run, resumed_run, write_ledger
from tests.receipts.derived import CONTRACTS, CUDA, LAST, as_json, receipt_of, trained
from tests.receipts.good_receipt import good_receipt


def test_the_receipt_of_the_good_run_in_full(tmp_path: Path) -> None:
    """Every field, in the original's order, and the text to the byte."""
    text = encode_document(receipt_of(tmp_path, good_run(CONTRACTS)))
    expected = good_receipt(CONTRACTS)
    assert expected == json.loads(text)
    assert json.dumps(expected, indent=2, ensure_ascii=False) + "\n" == text


@pytest.mark.slow
def test_a_receipt_is_derived_the_same_twice(tmp_path: Path) -> None:
    """From one connection and from two."""
    write_ledger(tmp_path, good_run(CONTRACTS))
    with open_run(tmp_path, RUN_ID) as run:
        first, second = derive_receipt(run), derive_receipt(run)
    with open_run(tmp_path, RUN_ID) as again:
        assert first == second == derive_receipt(again)


def test_a_resumed_runs_receipt_counts_no_superseded_step(tmp_path: Path) -> None:
    """Step 3 was trained twice and counts once; the second attempt is the membership epoch."""
    receipt = receipt_of(tmp_path, resumed_run(CONTRACTS))
    promoted = receipt.checkpoint_lineage.promoted_checkpoint
    assert (promoted.membership_epoch, promoted.stream_id) == (2, "run-small.a0002-s000004")
    assert "4 optimizer steps over 1024 tokens" in receipt.summary
    assert good_receipt(CONTRACTS)["source_family_reports"] == as_json(receipt)["source_family_reports"]
    assert (receipt.replay_receipt.successful_replays, receipt.replay_receipt.exact_replay_observed) == (2, True)


def test_an_accelerator_is_reported_with_what_it_did(tmp_path: Path) -> None:
    """Its class and memory, the steps, and the mean of their milliseconds, which is never 0."""
    script = edited(trained(), events.AttemptStarted, devices=[CUDA])
    for nth in range(4):
        script = edited(script, events.StepCompleted, nth, step_ms=0.1)
    found = as_json(receipt_of(tmp_path, script))
    device = {
        "stable_device_id": "cuda:0", "topology_key": "0000:01:00.0", "performance_class": "discrete_accelerator",
        "memory_class": "dedicated_device", "total_memory_bytes": 80, "free_memory_bytes": 70,
    }  # fmt: skip
    accelerator = {
        "accelerator_backed": True, "optimizer_steps_completed": 4, "mean_step_latency_ms": 1,
        "detail": "4 optimizer steps completed on cuda:0.",
    }  # fmt: skip
    assert [device] == found["delivered_execution"]["selected_devices"]
    assert accelerator == found["accelerator_execution"]


def test_a_step_that_takes_longer_is_reported_in_whole_milliseconds(tmp_path: Path) -> None:
    """The mean over the steps of rank 0: 10.2, 20.5, 20.5, 20.5."""
    script = edited(edited(trained(), events.AttemptStarted, devices=[CUDA]), events.StepCompleted, step_ms=10.2)
    assert as_json(receipt_of(tmp_path, script))["accelerator_execution"]["mean_step_latency_ms"] == 18


def test_several_devices_have_no_topology(tmp_path: Path) -> None:
    """How the model was spread over them is not recorded."""
    devices = [CUDA, msgspec.structs.replace(CUDA, stable_device_id="cuda:1")]
    receipt = receipt_of(tmp_path, edited(trained(), events.AttemptStarted, devices=devices))
    assert receipt.delivered_execution is not None
    assert receipt.delivered_execution.execution_topology is None
    assert [d.stable_device_id for d in receipt.delivered_execution.selected_devices] == ["cuda:0", "cuda:1"]


def test_the_devices_of_all_ranks_are_in_a_receipt(tmp_path: Path) -> None:
    """Each rank says its own; one that two ranks share counts once."""
    second = msgspec.structs.replace(CUDA, stable_device_id="cuda:1")
    script = edited(good_run(CONTRACTS, world=2), events.AttemptStarted, 0, devices=[CUDA])
    apart = edited(script, events.AttemptStarted, 1, devices=[second])
    shared = edited(script, events.AttemptStarted, 1, devices=[CUDA])
    found = []
    for name, made in (("apart", apart), ("shared", shared)):
        delivered = receipt_of(tmp_path / name, made, strict=False).delivered_execution
        assert delivered is not None
        found.append([device.stable_device_id for device in delivered.selected_devices])
    assert found == [["cuda:0", "cuda:1"], ["cuda:0"]]


NO_REPLAY = "0 complete dry replays of order and content; not every pass equalled training."


def test_without_a_replay_none_is_claimed(tmp_path: Path) -> None:
    """No pass, so no exact one."""
    replay = receipt_of(tmp_path, trained()).replay_receipt
    assert (replay.successful_replays, replay.exact_replay_observed, replay.summary) == (0, False, NO_REPLAY)


def test_one_pass_that_differs_is_no_success_and_spoils_the_other(tmp_path: Path) -> None:
    """One digest of one of its batches is another's."""
    script = edited(good_run(CONTRACTS), events.BatchReplayed, 0, "v.second", token_sha256=bytes(32))
    replay = receipt_of(tmp_path, script, strict=False).replay_receipt
    assert (replay.successful_replays, replay.exact_replay_observed) == (1, False)
    assert "not every pass equalled training" in replay.summary


def test_a_receipt_without_an_exact_replay_is_not_recorded(tmp_path: Path) -> None:
    """One of two passes differs: the original would refuse the receipt, and so the stage is not completed."""
    script = edited(good_run(CONTRACTS), events.BatchReplayed, 0, "v.second", token_sha256=bytes(32))
    with pytest.raises(CannotDecide, match="no receipt without an exact replay"):
        write_ledger(tmp_path, script)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "changes"),
    [(events.VerificationStarted, {"sample_bps": 5000}), (events.VerificationStarted, {"method": "order"})],
)
def test_a_pass_over_less_counts_as_neither(
    tmp_path: Path, kind: type[msgspec.Struct], changes: dict[str, Any]
) -> None:
    """A sample of the batches, or their order alone: it is no success and spoils nothing."""
    replay = receipt_of(tmp_path, edited(good_run(CONTRACTS), kind, 1, **changes)).replay_receipt
    assert (replay.successful_replays, replay.exact_replay_observed) == (1, True)


@pytest.mark.slow
def test_an_aborted_pass_counts_as_neither(tmp_path: Path) -> None:
    """The verifier was killed before its last two batches and its completion."""
    script = without(good_run(CONTRACTS), events.VerificationCompleted, 1)
    for _ in range(2):
        at = place(script, events.BatchReplayed, -1, "v.second")
        script = script[:at] + script[at + 1 :]
    replay = receipt_of(tmp_path, script).replay_receipt
    assert (replay.successful_replays, replay.exact_replay_observed) == (1, True)


REFUSED: list[tuple[str, Script]] = [
    ("a promoted checkpoint, the losses of the promoted weights", without(trained(), events.CheckpointPromoted)),
    ("a promoted checkpoint", edited(trained(), events.CheckpointPromoted, checkpoint_id="another")),
    ("the losses of the promoted weights", trained()[: place(trained(), events.SplitLossMeasured, LAST)]
     + trained()[place(trained(), events.SplitLossMeasured, LAST + 4) + 1 :]),
    ("a declared corpus", without(trained(), events.ContractDeclared, 2)),
    ("the device inventory", edited(trained(), events.AttemptStarted, devices=[])),
    ("the device inventory", without(trained(), events.AttemptStarted)),
    ("no stage config is declared", without(trained(), events.ContractDeclared, 0)),
    ("the loss or share of held_out held_out_modules is not a finite number",
     edited(trained(), events.SplitLossMeasured, LAST, loss_sum_nanonats=0, is_finite=False)),
    ("the loss or share of held_out held_out_modules is not a finite number",
     edited(trained(), events.SplitLossMeasured, LAST, target_tokens=0)),
    ("the loss or share of validation library_code is not a finite number",
     edited(trained(), events.SplitLossMeasured, LAST + 3, target_tokens=0)),
    ("began from elsewhere, which no contract declares as its base",
     edited(trained(), events.StageStarted, base_checkpoint_id="elsewhere")),
]  # fmt: skip


@pytest.mark.parametrize(("missing", "script"), REFUSED, ids=range(len(REFUSED)))
def test_what_the_record_lacks_is_named(tmp_path: Path, missing: str, script: Script) -> None:
    """No receipt is derived, and one line says why."""
    with pytest.raises(CannotDecide, match=re.escape(missing)) as refused:
        receipt_of(tmp_path, script)
    assert str(refused.value).startswith(f"run {RUN_ID}: ")
    assert "\n" not in str(refused.value)


# --- arithmetic -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nanonats", "tokens", "milli"),
    [
        (0, 1, 0),
        (499_999, 1, 0),
        (500_000, 1, 1),
        (1_499_999, 1, 1),
        (1_500_000, 1, 2),
        (2_500_000, 1, 3),
        (1_000_000, 2, 1),
        (999_999, 2, 0),
        (5_000_500_000 * 124, 124, 5001),
        (5_000_499_999 * 124, 124, 5000),
    ],
)
def test_thousandths_of_a_nat_round_half_up(nanonats: int, tokens: int, milli: int) -> None:
    """Never half to even, and never by way of a float."""
    assert milli == milli_half_up(nanonats, tokens)


@settings(deadline=None, database=None)
@given(nanonats=st.integers(0, 2**63 - 1), tokens=st.integers(1, 2**40))
def test_thousandths_of_a_nat_are_the_exact_quotient_rounded(nanonats: int, tokens: int) -> None:
    """floor(x + 1/2) in rational numbers."""
    exact = Fraction(nanonats, tokens * 1_000_000)
    assert (exact + Fraction(1, 2)).__floor__() == milli_half_up(nanonats, tokens)


def shared(amounts: dict[str, tuple[int, int]]) -> list[tuple[Any, ...]]:
    """The view `split_shares` over one split's (tokens, sequences) by family: its token and sequence shares."""
    (view,) = (view for view in catalog.views() if view.name == "split_shares")
    rows = [("train", "train", family, *pair) for family, pair in amounts.items()]
    names = ["split_name", "split_kind", "source_family_id", "tokens", "sequences"]
    with duckdb.connect(config=relations.SETTINGS) as con:
        con.register("split_amounts", pa.table(list(zip(*rows, strict=True)), names=names))
        return con.sql(
            f"select source_family_id, token_share_bps, sequence_share_bps from ({view.sql}) order by source_family_id"
        ).fetchall()


def largest_remainder(amounts: dict[str, int]) -> dict[str, int]:
    """Whole basis points, then one more each to the largest remainders, ties by name (Hamilton's method)."""
    total = sum(amounts.values())
    exact = {name: Fraction(amount * 10_000, total) for name, amount in amounts.items()}
    floors = {name: share.__floor__() for name, share in exact.items()}
    by_remainder = sorted(amounts, key=lambda name: (floors[name] - exact[name], name))
    more = set(by_remainder[: 10_000 - sum(floors.values())])
    return {name: floors[name] + (name in more) for name in amounts}


AMOUNTS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.tuples(st.integers(1, 2**45) | st.integers(1, 3), st.integers(0, 5)),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, database=None, max_examples=60)
@given(amounts=AMOUNTS)
def test_shares_sum_to_ten_thousand(amounts: dict[str, tuple[int, int]]) -> None:
    """Each is within one basis point of the exact share, and the remainders go where they are largest."""
    tokens = {name: pair[0] for name, pair in amounts.items()}
    found = {name: share for name, share, _ in shared(amounts)}
    assert sum(found.values()) == 10_000
    assert all(
        abs(found[name] - Fraction(amount * 10_000, sum(tokens.values()))) < 1 for name, amount in tokens.items()
    )
    assert largest_remainder(tokens) == found


def test_a_split_of_nothing_has_no_share() -> None:
    """Null, which no receipt passes over."""
    assert shared({"a": (0, 0), "b": (0, 0)}) == [("a", None, None), ("b", None, None)]
