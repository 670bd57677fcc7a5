"""The order is derived from ledger and contracts alone: no shard is at hand in these tests, no replay was recorded."""

from pathlib import Path

import msgspec
import pytest

from psion_ledger import events
from psion_ledger.auditing import audit
from psion_ledger.contracts import Contracts
from psion_ledger.contracts.codec import encode_document
from psion_ledger.contracts.sampling_plan import Passes
from psion_ledger.digest import sha256
from psion_ledger.errors import CannotDecide
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from psion_ledger.receipts import derive_receipt
from tests.corpora import order_of, real_contracts, token_digest
from tests.edits import edited, inserted, place, without
from tests.emitted import batch
from tests.laws import findings, status, with_change
from tests.ledgers import RANK0, Script, good_run, resumed_run, trained_run, write_ledger

RANK1 = "t0001.r00001"


def ids_of(contracts: Contracts, step: int, part: int, world: int = 1) -> list[int]:
    """The sequences of a micro batch of one rank, or of a rank of two."""
    rank, micro_step = (0, part) if world == 1 else (part, 0)
    return batch(contracts, step, world, rank, micro_step).sequence_ids


def with_batch(script: Script, ids: list[int], nth: int, stream: str | None = None) -> Script:
    """Another batch in the place of one, true to itself: its digest is that of its own tokens."""
    return edited(
        script, events.BatchReplayed, nth=nth, stream=stream, sequence_ids=ids, token_sha256=token_digest(ids)
    )


def told(position: int, seq: int, stream: str, expected: int, actual: int, where: str) -> tuple[object, ...]:
    return (f"position {position}", seq, stream, f"sequence {expected}", f"sequence {actual} in {where}")


def test_a_pair_that_was_exchanged_within_a_batch_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """Both places are named, with step and rank; no other law could see it where the two are of one family."""
    right = ids_of(contracts, 2, 1)
    ids = [right[1], right[0], *right[2:]]
    script = with_batch(trained_run(contracts), ids, nth=3)
    assert findings(tmp_path, script, "batches_follow_the_order") == [
        told(12, 20, RANK0, right[0], right[1], "step 2 of rank 0"),
        told(13, 20, RANK0, right[1], right[0], "step 2 of rank 0"),
    ]


def test_batches_that_were_exchanged_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """Each micro batch of a step trained the other's sequences."""
    first, second = ids_of(contracts, 3, 0), ids_of(contracts, 3, 1)
    script = with_batch(with_batch(trained_run(contracts), second, nth=4), first, nth=5)
    found = findings(tmp_path, script, "batches_follow_the_order")
    assert [row[0] for row in found] == [f"position {n}" for n in range(16, 24)]
    assert [row[4] for row in found] == [f"sequence {i} in step 3 of rank 0" for i in second + first]


def test_ranks_that_trained_each_others_batches_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """The right sequences in the step, and each at the other rank's positions."""
    first, second = ids_of(contracts, 1, 0, world=2), ids_of(contracts, 1, 1, world=2)
    script = with_batch(trained_run(contracts, world=2), second, nth=0, stream=RANK0)
    script = with_batch(script, first, nth=0, stream=RANK1)
    found = findings(tmp_path, script, "batches_follow_the_order")
    assert {row[2] for row in found} == {RANK0, RANK1}
    assert [row[0] for row in found] == [f"position {n}" for n in range(8)]


def test_a_batch_that_is_not_there_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """Nothing stands at its positions."""
    script = without(trained_run(contracts), events.BatchReplayed, nth=3)
    assert findings(tmp_path, script, "batches_follow_the_order") == [
        (f"position {at}", None, None, f"sequence {i}", "no sequence")
        for at, i in enumerate(ids_of(contracts, 2, 1), start=12)
    ]


@pytest.mark.parametrize("finished", [False, True])
def test_a_batch_that_nobody_promised_is_found(tmp_path: Path, contracts: Contracts, finished: bool) -> None:
    """Of a completed step, at positions beyond the last."""
    extra = batch(contracts, 2, 1, 0, 1, first_position=40)
    script = inserted(trained_run(contracts), extra, after=events.BatchReplayed, nth=3)
    found = findings(tmp_path, script if finished else script[:-2], "batches_follow_the_order")
    assert [(row[0], row[3]) for row in found] == [(f"position {n}", "no sequence") for n in range(40, 44)]


@pytest.mark.slow
def test_a_run_that_never_looked_at_its_data_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """Every batch repeats the first one: each position of another batch is named, and a pass that copied them is no
    replay."""
    script = good_run(contracts)
    ids = ids_of(contracts, 1, 0)
    for nth in range(sum(isinstance(step, events.BatchReplayed) for _, step in script)):
        script = with_batch(script, ids, nth=nth)
    with Run(read(write_ledger(tmp_path, script, strict=False))) as run:
        found = audit(run)
        replay = derive_receipt(run).replay_receipt
    (law,) = (law for law in found.laws if law.name == "batches_follow_the_order")
    assert (found.verdict, law.status, law.findings_total) == ("FAIL", "violated", 28)
    assert (replay.successful_replays, replay.exact_replay_observed) == (2, False)


@pytest.mark.parametrize("made", [trained_run, resumed_run], ids=["at once", "resumed"])
def test_an_honest_run_follows_its_order(tmp_path: Path, contracts: Contracts, made: object) -> None:
    """Superseded batches do not count, and a resume goes on where it stood."""
    assert callable(made)
    assert status(tmp_path, made(contracts), "batches_follow_the_order") == "held"


def once(contracts: Contracts, pass_sequences: int | None = None) -> Contracts:
    """A plan whose order says that nothing comes twice in a pass of so many positions, or in the whole run."""
    passes = Passes(sequences=pass_sequences, end="spans")
    order = msgspec.structs.replace(contracts.sampling_plan.order, may_repeat="nothing")
    plan = msgspec.structs.replace(contracts.sampling_plan, order=order, passes=passes)
    return msgspec.structs.replace(contracts, sampling_plan=plan)


def test_an_order_that_repeats_though_it_says_that_it_does_not_is_found(tmp_path: Path) -> None:
    """In eight steps the smaller family is drawn more often than it has sequences."""
    longer = once(real_contracts(horizon_steps=8))
    found = findings(tmp_path, trained_run(longer), "order_repeats_as_declared")
    drawn = order_of(longer).sequence_ids(0, 64).tolist()
    repeated = {sequence_id for sequence_id in drawn if drawn.count(sequence_id) > 1}
    assert {(row[0], row[3]) for row in found} == {
        (f"sequence {sequence_id}", "once in the pass from position 0") for sequence_id in repeated
    }
    assert repeated


@pytest.mark.parametrize(("steps", "passes"), [(4, None), (8, 4)])
def test_an_order_that_repeats_in_no_pass_holds(tmp_path: Path, steps: int, passes: int | None) -> None:
    """Four steps repeat nothing; eight do, and in passes of four positions they do not."""
    contracts = once(real_contracts(horizon_steps=steps), passes)
    assert status(tmp_path, trained_run(contracts), "order_repeats_as_declared") == "held"


def test_a_step_in_flight_is_not_compared(tmp_path: Path, contracts: Contracts) -> None:
    """Killed within step 3, whose batch is of other sequences: nobody knows what the step would have been."""
    script = with_batch(trained_run(contracts), ids_of(contracts, 1, 0), nth=4)
    assert (
        status(tmp_path, script[: place(script, events.BatchReplayed, nth=4) + 1], "batches_follow_the_order") == "held"
    )


@pytest.mark.slow
@pytest.mark.parametrize("role", ["order/version", pytest.param("order/name", marks=pytest.mark.slow)])
def test_an_order_that_is_not_known_is_not_assumed_to_be_ours(tmp_path: Path, contracts: Contracts, role: str) -> None:
    """The law is skipped, the level stays below, whoever asks for it gets no PASS, and no replay counts as exact."""
    text = encode_document(with_change(contracts, "sampling_plan", f"/{role}", "another").sampling_plan)
    script = good_run(contracts)
    script = edited(
        script, events.ContractDeclared, nth=nth_of(script, "sampling_plan"), document=text,
        sha256=sha256(text.encode()),
    )  # fmt: skip
    with Run(read(write_ledger(tmp_path, script, strict=False))) as run:
        found, asked = audit(run), audit(run, require="ordered")
        replay = derive_receipt(run).replay_receipt
    with pytest.raises(CannotDecide, match="follow the order of its contracts"):
        write_ledger(tmp_path / "strict", script)
    (law,) = (law for law in found.laws if law.name == "batches_follow_the_order")
    assert (law.status, law.skipped and law.skipped.code, found.level) == ("skipped", "not_derivable", "intact")
    assert ("order" in found.unproven, "order" in asked.unproven, asked.verdict == "PASS") == (False, True, False)
    assert (replay.successful_replays, replay.exact_replay_observed) == (2, False)


def nth_of(script: Script, role: events.ContractRole) -> int:
    declared = [event for _, event in script if isinstance(event, events.ContractDeclared)]
    return [event.contract_role for event in declared].index(role)


def test_the_level_of_an_honest_run_is_ordered(tmp_path: Path, contracts: Contracts) -> None:
    """By default, and asked for."""
    with Run(read(write_ledger(tmp_path, good_run(contracts)))) as run:
        for found in (audit(run), audit(run, require="ordered")):
            assert (found.verdict, found.level) == ("PASS", "ordered")
