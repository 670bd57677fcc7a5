"""The replay laws over training itself, each on a ledger that breaks it: positions, draws, steps, ranks."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from psion_ledger import events
from psion_ledger.contracts import Contracts
from psion_ledger.contracts.sampling_plan import PlannedSkip
from psion_ledger.contracts.steps import Cell
from tests.edits import edited, inserted, place, without
from tests.emitted import batch, batch_of, completed, ended
from tests.laws import SECOND, findings, status
from tests.laws import audited as law_over
from tests.ledgers import RANK0, Script, close, opened, resumed_run, seal, trained_run, write_ledger

RANK1 = "t0001.r00001"


def with_ids(contracts: Contracts, changes: dict[int, int]) -> Script:
    """A finished run whose first batch has other sequences at some of its places; nothing else is changed."""
    ids = batch(contracts, 1, 1, 0, 0).sequence_ids
    return edited(
        trained_run(contracts),
        events.BatchReplayed,
        sequence_ids=[changes.get(at, sequence_id) for at, sequence_id in enumerate(ids)],
    )


def place_of(contracts: Contracts, family: str, nth: int = 0) -> int:
    """Where in the first batch a sequence of the family stands."""
    (own,) = (f for f in contracts.sampling_plan.families if f.split_kind == "train" and f.source_family_id == family)
    ids = batch(contracts, 1, 1, 0, 0).sequence_ids
    return [at for at, i in enumerate(ids) if own.first_sequence_id <= i < own.end_sequence_id][nth]


def test_tokens_that_are_not_the_families_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """A batch claims more tokens than its families have."""
    script = edited(trained_run(contracts), events.BatchReplayed, tokens=160)
    assert findings(tmp_path, script, "batches_count_their_tokens") == [
        ("step 1", 16, RANK0, "256 tokens, 8 sequences", "288 tokens, 8 sequences")
    ]


def test_a_position_without_a_sequence_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A batch names one sequence fewer than it has positions."""
    ids = batch(contracts, 1, 1, 0, 0).sequence_ids[:-1]
    script = edited(trained_run(contracts), events.BatchReplayed, sequence_ids=ids)
    assert findings(tmp_path, script, "batches_count_their_tokens") == [
        ("step 1", 16, RANK0, "256 tokens, 8 sequences", "256 tokens, 7 sequences")
    ]


def test_batches_that_name_no_family_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """A step's batches do not say from which families their tokens came."""
    script = edited(trained_run(contracts), events.BatchReplayed, family_tokens=[])
    script = edited(script, events.BatchReplayed, nth=1, family_tokens=[])
    assert findings(tmp_path, script, "batches_count_their_tokens") == [
        ("step 1", 16, RANK0, "0 tokens, 8 sequences", "256 tokens, 8 sequences")
    ]


@pytest.mark.parametrize(
    ("drawn", "where"),
    [(80, "validation, library_code"), (3, "held_out, held_out_modules"), (5000, "in no family of the plan")],
)
def test_a_sequence_that_is_none_of_train_is_found(
    tmp_path: Path, contracts: Contracts, drawn: int, where: str
) -> None:
    """A sequence of another split was trained on, or one that does not exist."""
    at = place_of(contracts, "library_code")
    assert findings(tmp_path, with_ids(contracts, {at: drawn}), "batches_draw_train_sequences") == [
        (
            f"sequence {drawn}",
            None,
            None,
            "in a family of the train split",
            f"{where} at position {at} of step 1",
        )
    ]


def test_a_divisor_that_is_not_the_target_tokens_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The loss was divided by all tokens, the first of each sequence among them."""
    script = edited(trained_run(contracts), events.StepCompleted, nth=1, loss_divisor=256.0)
    assert findings(tmp_path, script, "loss_divisors_are_target_tokens") == [
        ("step 2", 21, RANK0, "divisor 248", "divisor 256.0 to 256.0")
    ]


def test_ranks_with_other_divisors_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """One rank divided by its own target tokens, not by the step's."""
    script = edited(trained_run(contracts, world=2), events.StepCompleted, nth=1, stream=RANK1, loss_divisor=124.0)
    assert findings(tmp_path, script, "loss_divisors_are_target_tokens") == [
        ("step 2", 19, RANK0, "divisor 248", "divisor 124.0 to 248.0")
    ]


def test_batches_without_a_loss_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """A step's batches were consumed, but the step never said its loss."""
    script = without(trained_run(contracts), events.StepCompleted, nth=1)
    assert findings(tmp_path, script, "loss_divisors_are_target_tokens") == [
        ("step 2", None, None, "divisor 248", "no loss")
    ]


FIRST, SECOND_PART = "4 positions from 0 to 3 by 1", "4 positions from 4 to 7 by 1"


def at_positions(contracts: Contracts, *ranges: tuple[int, int, int]) -> Script:
    """A run whose first step has batches at these (micro step, first, end)."""
    script = trained_run(contracts)
    at = place(script, events.BatchReplayed)
    made = [
        msgspec.structs.replace(
            batch(contracts, 1, 1, 0, 0), micro_step=micro, first_position=first, sequences=end - first
        )
        for micro, first, end in ranges
    ]
    return [*script[:at], *((RANK0, event) for event in made), *script[at + 2 :]]


def in_batches(first: int, end: int, batches: int = 1, sequences: int = 0) -> str:
    return f"{sequences or end - first} positions from {first} to {end - 1} by 1 in {batches} batches"


@pytest.mark.parametrize(
    ("ranges", "found"),
    [
        ([(0, 0, 4), (1, 5, 8)], [(1, SECOND_PART, in_batches(5, 8))]),
        ([(0, 0, 4), (1, 8, 12)], [(1, SECOND_PART, in_batches(8, 12))]),
        ([(0, 0, 4), (1, 2, 6)], [(1, SECOND_PART, in_batches(2, 6))]),
        ([(0, 4, 8), (1, 8, 12)], [(0, FIRST, in_batches(4, 8)), (1, SECOND_PART, in_batches(8, 12))]),
        ([(0, 0, 4), (1, 4, 8), (1, 4, 8)], [(1, SECOND_PART, in_batches(4, 8, 2, 8))]),
        ([(0, 0, 4), (1, 4, 6), (2, 6, 8)], [(1, SECOND_PART, in_batches(4, 6)), (2, "no batch", in_batches(6, 8))]),
        ([(0, 0, 4)], [(1, SECOND_PART, "no batch")]),
        ([(1, 0, 4), (0, 4, 8)], [(0, FIRST, in_batches(4, 8)), (1, SECOND_PART, in_batches(0, 4))]),
    ],
    ids=["gap", "beyond", "overlap", "late", "twice", "cut in three", "absent", "exchanged"],
)
def test_positions_that_the_plan_does_not_deal_are_found(
    tmp_path: Path, contracts: Contracts, ranges: list[tuple[int, int, int]], found: list[tuple[int, str, str]]
) -> None:
    """Step 1 was not made of the two micro batches that the plan deals to its one rank; each place is named."""
    rows = findings(tmp_path, at_positions(contracts, *ranges), "batches_take_their_positions")
    assert [(row[0], row[3], row[4]) for row in rows] == [
        (f"step 1 rank 0 micro step {micro}", expected, actual) for micro, expected, actual in found
    ]


def test_positions_apart_are_found_where_neighbours_are_dealt(tmp_path: Path, contracts: Contracts) -> None:
    """A rank took every second position of a step, and the plan gives it neighbours."""
    script = edited(trained_run(contracts), events.BatchReplayed, nth=1, stride=2)
    assert findings(tmp_path, script, "batches_take_their_positions") == [
        ("step 1 rank 0 micro step 1", 17, RANK0, SECOND_PART, "4 positions from 4 to 10 by 2 in 1 batches")
    ]


def test_a_batch_without_positions_is_found_where_a_schedule_is_promised(tmp_path: Path, contracts: Contracts) -> None:
    """It stands where it belongs, as far as one can count; but it does not say so."""
    script = edited(trained_run(contracts), events.BatchReplayed, first_position=None)
    assert [row[0] for row in findings(tmp_path, script, "batches_take_their_positions")] == [
        "step 1 rank 0 micro step 0"
    ]


def skipped(contracts: Contracts, step: int, first: int, end: int) -> events.BatchSkipped:
    """A batch that is left out before a step."""
    made = batch_of(contracts, step, Cell(rank=0, micro_step=0, first_position=first, stride=1, sequences=end - first))
    return events.BatchSkipped(**msgspec.structs.asdict(made), reason="the loss rose")


def with_skip(contracts: Contracts, *ranges: tuple[int, int], planned: bool = False) -> Script:
    """A run that leaves four sequences out before step 3, at these positions; later steps stand four behind."""
    skips = [PlannedSkip(before_step=3, sequences=4)]
    shifted = msgspec.structs.replace(
        contracts, sampling_plan=msgspec.structs.replace(contracts.sampling_plan, planned_skips=skips)
    )
    script = trained_run(shifted)
    if not planned:  # What was not planned is recorded all the same.
        plain = trained_run(contracts)
        at = place(plain, events.ContractDeclared, nth=4)
        script = [*script[:at], plain[at], *script[at + 1 :]]
    at = place(script, events.BatchReplayed, nth=4)
    return [*script[:at], *((RANK0, skipped(contracts, 3, *own)) for own in ranges), *script[at:]]


@pytest.mark.parametrize("planned", [False, True], ids=["unplanned", "planned"])
def test_a_run_that_leaves_data_out_holds(tmp_path: Path, contracts: Contracts, planned: bool) -> None:
    """The positions of a skip count as drawn, whether the plan knew of it or not."""
    folder = write_ledger(tmp_path / "ledger", with_skip(contracts, (16, 20), planned=planned), strict=False)
    laws = (
        "batches_take_their_positions", "skips_take_their_positions", "batches_follow_the_order",
        "checkpoints_stand_at_their_cursor", "planned_skips_are_taken",
    )  # fmt: skip
    expected = dict.fromkeys(laws, "held") | ({} if planned else {"planned_skips_are_taken": "not_applicable"})
    assert {law: law_over(folder, law).status for law in laws} == expected


@pytest.mark.parametrize(
    ("ranges", "actual"),
    [
        ([(12, 16)], "positions 12 to 15, 4 different of 4"),
        ([(16, 18), (17, 19)], "positions 16 to 18, 3 different of 4"),
    ],
    ids=["elsewhere", "twice"],
)
def test_a_skip_at_other_positions_is_found(
    tmp_path: Path, contracts: Contracts, ranges: list[tuple[int, int]], actual: str
) -> None:
    """What was left out before step 3 does not stand right before it, or counts a position twice."""
    found = findings(tmp_path, with_skip(contracts, *ranges), "skips_take_their_positions")
    assert found == [("skipped before step 3", 28, RANK0, "positions 16 to 19, each once", actual)]


@pytest.mark.parametrize(("ranges", "actual"), [([], "0 skipped"), ([(16, 18)], "2 skipped")])
def test_a_planned_skip_that_was_not_taken_is_found(
    tmp_path: Path, contracts: Contracts, ranges: list[tuple[int, int]], actual: str
) -> None:
    """The plan leaves four sequences out before step 3, and the run fewer."""
    found = findings(tmp_path, with_skip(contracts, *ranges, planned=True), "planned_skips_are_taken")
    assert [(row[0], row[3], row[4]) for row in found] == [("skip before step 3", "4 sequences skipped", actual)]


@pytest.mark.parametrize(
    ("kind", "changes", "expected", "actual"),
    [
        (events.StepCompleted, {"target_tokens": 256}, "248 target tokens", "256 target tokens, 248 in batches"),
        (events.BatchReplayed, {"target_tokens": 128}, "248 target tokens", "248 target tokens, 252 in batches"),
    ],
    ids=["of the step", "of a batch"],
)
def test_target_tokens_that_the_plans_rule_does_not_give_are_found(
    tmp_path: Path,
    contracts: Contracts,
    kind: type[msgspec.Struct],
    changes: dict[str, Any],
    expected: str,
    actual: str,
) -> None:
    """All tokens but the first of each sequence have a loss; a step or a batch counts others."""
    script = edited(trained_run(contracts), kind, **changes)
    assert [(row[0], row[3], row[4]) for row in findings(tmp_path, script, "targets_are_counted")] == [
        ("step 1 rank 0", expected, actual)
    ]


def test_a_mean_loss_that_is_not_its_sum_over_its_divisor_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A mean four times too large, with the right sum and divisor beside it."""
    script = edited(trained_run(contracts), events.StepCompleted, nth=1, loss_nats=22.0)
    assert findings(tmp_path, script, "mean_losses_are_sums_over_divisors") == [
        ("step 2 rank 0", 21, RANK0, "loss 5.5", "loss 22.0")
    ]


def test_the_mean_of_two_ranks_is_over_both_sums(tmp_path: Path, contracts: Contracts) -> None:
    """One rank's own sum was changed: both ranks report a mean that is none of theirs."""
    script = edited(trained_run(contracts, world=2), events.StepCompleted, stream=RANK1, loss_sum_nats=1.0)
    found = findings(tmp_path, script, "mean_losses_are_sums_over_divisors")
    assert [row[0] for row in found] == ["step 1 rank 0", "step 1 rank 1"]


@pytest.mark.parametrize(
    ("loss", "actual"), [(5.25, "2 losses, 5.25 to 5.5, of 2 ranks"), (math.nan, "2 losses, 5.5 to nan, of 2 ranks")]
)
def test_ranks_that_disagree_on_the_loss_are_found(
    tmp_path: Path, contracts: Contracts, loss: float, actual: str
) -> None:
    """The all-reduce gave one rank another number."""
    script = edited(trained_run(contracts, world=2), events.StepCompleted, stream=RANK1, loss_nats=loss)
    assert findings(tmp_path, script, "ranks_agree_on_the_loss") == [
        ("step 1", 17, RANK0, "one loss of 2 ranks", actual)
    ]


def test_a_step_without_any_loss_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """No rank ever said the loss of step 3."""
    script = trained_run(contracts, world=2)
    for stream in (RANK0, RANK1):
        script = without(script, events.StepCompleted, nth=2, stream=stream)
    assert findings(tmp_path, script, "ranks_agree_on_the_loss") == [
        ("step 3", None, None, "one loss of an attempt", "none")
    ]


def test_a_step_that_one_rank_lacks_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """Rank 1 never completed step 3."""
    script = without(trained_run(contracts, world=2), events.StepCompleted, nth=2, stream=RANK1)
    assert findings(tmp_path, script, "steps_are_dense") == [
        ("step 3", 27, RANK0, "2 ranks, and batches", "1 ranks in 1 completions, 2 batches")
    ]


def test_a_step_that_lacks_all_batches_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """No micro batch of step 3 was recorded."""
    script = without(without(trained_run(contracts), events.BatchReplayed, nth=4), events.BatchReplayed, nth=4)
    assert findings(tmp_path, script, "steps_are_dense") == [
        ("step 3", 28, RANK0, "1 ranks, and batches", "1 ranks in 1 completions, 0 batches")
    ]


def test_a_step_that_was_completed_twice_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A step was recorded again with another loss."""
    script = inserted(trained_run(contracts), completed(contracts, 3), after=events.StepCompleted, nth=2)
    assert findings(tmp_path, script, "steps_are_dense") == [
        ("step 3", 31, RANK0, "1 ranks, and batches", "1 ranks in 2 completions, 2 batches")
    ]


def test_a_step_that_is_not_there_at_all_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The run finished without step 3."""
    script = trained_run(contracts)
    first, last = place(script, events.BatchReplayed, nth=4), place(script, events.StepCompleted, nth=2)
    assert findings(tmp_path, script[:first] + script[last + 1 :], "steps_are_dense") == [
        ("step 3", None, None, "completed by an attempt", "0 ranks in 0 completions, 0 batches")
    ]


def test_a_step_beyond_the_horizon_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """Training went on after its last promised step."""
    script = inserted(trained_run(contracts), completed(contracts, 5), after=events.StepCompleted, nth=3)
    for part in (1, 0):
        beyond = batch(contracts, 5, 1, 0, part)
        script = inserted(script, beyond, after=events.StepCompleted, nth=3)
    assert findings(tmp_path, script, "steps_are_dense") == [
        ("step 5", 36, RANK0, "no step beyond the horizon", "1 ranks in 1 completions, 2 batches")
    ]


def test_training_in_an_attempt_that_was_never_started_counts(tmp_path: Path, contracts: Contracts) -> None:
    """A second stream trains on step 4 once more, without saying that it is an attempt."""
    script = trained_run(contracts)
    script = [*script[: place(script, events.StreamEnded)], (RANK0, close), (RANK0, seal), (SECOND, opened(attempt=2))]
    script += [(SECOND, batch(contracts, 4, 1, 0, part)) for part in range(2)]
    script += [(SECOND, completed(contracts, 4)), (SECOND, ended(4))]
    assert findings(tmp_path, script, "steps_are_dense") == [
        ("step 4", 33, RANK0, "1 ranks, and batches", "1 ranks in 2 completions, 4 batches")
    ]


def test_superseded_steps_do_not_count(tmp_path: Path, contracts: Contracts) -> None:
    """Step 3 was trained twice, and what the second attempt made of it is what counts."""
    script = resumed_run(contracts)
    script = edited(script, events.StepCompleted, nth=2, stream=RANK0, loss_divisor=1.0)
    assert status(tmp_path, script, "loss_divisors_are_target_tokens") == "held"
