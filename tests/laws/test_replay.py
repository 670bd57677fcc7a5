"""The replay laws over training itself, each on a ledger that breaks it: positions, draws, steps, ranks."""

import math
from pathlib import Path

import pytest

from psion_ledger import events
from psion_ledger.contracts import Contracts
from tests.laws import SECOND, findings, status
from tests.ledgers import (
    RANK0,
    Script,
    batch,
    close,
    completed,
    edited,
    inserted,
    opened,
    place,
    resumed_run,
    seal,
    trained_run,
    without,
)

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


def test_a_validation_sequence_in_training_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A sequence of the validation split was trained on."""
    at = place_of(contracts, "library_code")
    assert findings(tmp_path, with_ids(contracts, {at: 80}), "draws_come_from_their_family") == [
        (
            "sequence 80",
            None,
            None,
            "train, library_code",
            f"validation, library_code at position {at} of step 1",
        )
    ]


def test_a_sequence_in_another_familys_slot_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A docstring was drawn where the policy's cycle has code."""
    at = place_of(contracts, "library_code")
    assert findings(tmp_path, with_ids(contracts, {at: 79}), "draws_come_from_their_family") == [
        (
            "sequence 79",
            None,
            None,
            "train, library_code",
            f"train, library_docstrings at position {at} of step 1",
        )
    ]


def test_a_sequence_that_no_plan_has_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A batch names a sequence that does not exist."""
    at = place_of(contracts, "library_code")
    assert findings(tmp_path, with_ids(contracts, {at: 5000}), "draws_come_from_their_family") == [
        (
            "sequence 5000",
            None,
            None,
            "train, library_code",
            f"in no family of the plan at position {at} of step 1",
        )
    ]


def test_a_family_drawn_too_often_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """One docstring sequence took the place of one of code: the mix is another."""
    at = place_of(contracts, "library_code")
    assert findings(tmp_path, with_ids(contracts, {at: 79}), "family_draws_match_the_plan") == [
        ("library_code", None, None, "13 draws", "12 draws"),
        ("library_docstrings", None, None, "19 draws", "20 draws"),
    ]


def test_draws_of_a_family_that_is_not_trained_on_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """A held-out sequence took the place of one of code."""
    at = place_of(contracts, "library_code")
    assert findings(tmp_path, with_ids(contracts, {at: 3}), "family_draws_match_the_plan") == [
        ("held_out_modules", None, None, "no such family in the plan", "1 draws"),
        ("library_code", None, None, "13 draws", "12 draws"),
    ]


def test_a_sequence_drawn_twice_in_a_pass_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A sequence stands at two positions of the first pass over its family."""
    docstrings = [place_of(contracts, "library_docstrings", nth) for nth in range(2)]
    drawn = batch(contracts, 1, 1, 0, 0).sequence_ids[docstrings[0]]
    script = with_ids(contracts, {docstrings[1]: drawn})
    assert findings(tmp_path, script, "sequences_once_per_pass") == [
        (
            f"sequence {drawn}",
            None,
            None,
            "once in pass 0 of library_docstrings",
            f"2 times, first at position {docstrings[0]} of step 1",
        )
    ]


def test_a_divisor_that_is_not_the_target_tokens_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The loss was divided by all tokens, the first of each sequence among them."""
    script = edited(trained_run(contracts), events.StepCompleted, nth=1, loss_divisor_tokens=256)
    assert findings(tmp_path, script, "loss_divisors_are_target_tokens") == [
        ("step 2", 21, RANK0, "divisor 248", "divisor 256 to 256")
    ]


def test_ranks_with_other_divisors_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """One rank divided by its own target tokens, not by the step's."""
    script = edited(trained_run(contracts, world=2), events.StepCompleted, nth=1, stream=RANK1, loss_divisor_tokens=124)
    assert findings(tmp_path, script, "loss_divisors_are_target_tokens") == [
        ("step 2", 21, RANK0, "divisor 248", "divisor 124 to 248")
    ]


def test_batches_without_a_loss_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """A step's batches were consumed, but the step never said its loss."""
    script = without(trained_run(contracts), events.StepCompleted, nth=1)
    assert findings(tmp_path, script, "loss_divisors_are_target_tokens") == [
        ("step 2", None, None, "divisor 248", "no loss")
    ]


@pytest.mark.parametrize(
    ("ranges", "actual"),
    [
        ([(0, 4), (5, 8)], "positions 0 to 7, 7 in 2 batches (2 distinct) of 3 to 4, 1 out of place"),
        ([(0, 4), (8, 12)], "positions 0 to 11, 8 in 2 batches (2 distinct) of 4 to 4, 0 out of place"),
        ([(0, 4), (2, 6)], "positions 0 to 5, 8 in 2 batches (2 distinct) of 4 to 4, 1 out of place"),
        ([(4, 8), (8, 12)], "positions 4 to 11, 8 in 2 batches (2 distinct) of 4 to 4, 0 out of place"),
        ([(0, 4), (4, 8), (4, 8)], "positions 0 to 7, 12 in 3 batches (2 distinct) of 4 to 4, 0 out of place"),
        ([(0, 2), (0, 2), (2, 4), (6, 8)], "positions 0 to 7, 8 in 4 batches (3 distinct) of 2 to 2, 0 out of place"),
        ([(0, 3), (1, 4), (6, 8)], "positions 0 to 7, 8 in 3 batches (3 distinct) of 2 to 3, 1 out of place"),
        ([(0, 4), (4, 6), (6, 8)], "positions 0 to 7, 8 in 3 batches (3 distinct) of 2 to 4, 0 out of place"),
    ],
    ids=["gap", "beyond", "overlap", "late", "twice", "twice and a gap", "overlap and a gap", "sizes"],
)
def test_positions_with_a_gap_or_an_overlap_are_found(
    tmp_path: Path, contracts: Contracts, ranges: list[tuple[int, int]], actual: str
) -> None:
    """Step 1 was not made of batches that are one size and take each of its positions once."""
    script = trained_run(contracts)
    at = place(script, events.BatchReplayed)
    made = [batch(contracts, 1, 1, 0, 0, first_position=first, end_position=end) for first, end in ranges]
    script = [*script[:at], *((RANK0, event) for event in made), *script[at + 2 :]]
    assert findings(tmp_path, script, "positions_tile") == [
        ("step 1", 16, RANK0, "positions 0 to 7, each once, in batches of one size", actual)
    ]


@pytest.mark.parametrize(
    ("loss", "actual"), [(5.25, "2 losses, 5.25 to 5.5, of 2 ranks"), (math.nan, "2 losses, 5.5 to nan, of 2 ranks")]
)
def test_ranks_that_disagree_on_the_loss_are_found(
    tmp_path: Path, contracts: Contracts, loss: float, actual: str
) -> None:
    """The all-reduce gave one rank another number."""
    script = edited(trained_run(contracts, world=2), events.StepCompleted, stream=RANK1, loss_nats=loss)
    assert findings(tmp_path, script, "ranks_agree_on_the_loss") == [
        ("step 1", 18, RANK0, "one loss of 2 ranks", actual)
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
        ("step 3", 30, RANK0, "2 ranks, 4 batches", "1 ranks in 1 completions, 4 batches")
    ]


def test_a_step_that_lacks_a_batch_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """One micro batch of step 3 was not recorded."""
    script = without(trained_run(contracts), events.BatchReplayed, nth=4)
    assert findings(tmp_path, script, "steps_are_dense") == [
        ("step 3", 29, RANK0, "1 ranks, 2 batches", "1 ranks in 1 completions, 1 batches")
    ]


def test_a_step_that_was_completed_twice_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A step was recorded again with another loss."""
    script = inserted(trained_run(contracts), completed(contracts, 3), after=events.StepCompleted, nth=2)
    assert findings(tmp_path, script, "steps_are_dense") == [
        ("step 3", 31, RANK0, "1 ranks, 2 batches", "1 ranks in 2 completions, 2 batches")
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
    script = [*trained_run(contracts)[:-2], (RANK0, close), (RANK0, seal), (SECOND, opened(attempt=2))]
    script += [(SECOND, batch(contracts, 4, 1, 0, part)) for part in range(2)]
    script += [(SECOND, completed(contracts, 4)), (SECOND, events.RunFinished(outcome="completed"))]
    assert findings(tmp_path, script, "steps_are_dense") == [
        ("step 4", 33, RANK0, "1 ranks, 2 batches", "1 ranks in 2 completions, 4 batches")
    ]


def test_superseded_steps_do_not_count(tmp_path: Path, contracts: Contracts) -> None:
    """Step 3 was trained twice, and what the second attempt made of it is what counts."""
    script = resumed_run(contracts)
    script = edited(script, events.StepCompleted, nth=2, stream=RANK0, loss_divisor_tokens=1)
    assert status(tmp_path, script, "loss_divisors_are_target_tokens") == "held"
