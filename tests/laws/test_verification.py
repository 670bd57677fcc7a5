"""The replay laws over verification passes and this audit's own replay, each on a ledger that breaks it."""

from pathlib import Path
from typing import Any

import pytest

from psion_ledger import events
from psion_ledger.contracts import Contracts
from psion_ledger.replay import declared_corpus_digest
from tests.corpora import token_digest
from tests.documents import corpus_of
from tests.edits import edited, inserted, place, without
from tests.emitted import batch, checkpoint_id
from tests.laws import OTHER, SECOND, STAGE, completion, findings, status, write_artifacts
from tests.ledgers import (
    COMPLETION,
    RANK0,
    RUN_ID,
    Script,
    beginning,
    close,
    opened,
    resumed_run,
    seal,
    trained_run,
    training,
    verification,
)

PASS = "v.first"


def verified(contracts: Contracts) -> Script:
    """A finished run and one whole verification pass."""
    return trained_run(contracts) + verification(contracts, "first")


def training_tokens(contracts: Contracts, step: int, part: int) -> str:
    return batch(contracts, step, 1, 0, part).token_sha256.hex()


def test_a_verification_that_reads_other_tokens_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A shard gave other token ids when it was read again."""
    script = edited(verified(contracts), events.BatchReplayed, nth=3, stream=PASS, token_sha256=OTHER)
    expected = f"step 2 with tokens {training_tokens(contracts, 2, 1)}"
    assert findings(tmp_path, script, "verification_agrees_with_training") == [
        ("first position 12", 5, PASS, expected, f"tokens {OTHER.hex()}")
    ]


def test_a_verification_in_another_order_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The same sequences came in another order; somebody kept the digest."""
    ids = batch(contracts, 2, 1, 0, 1).sequence_ids[::-1]
    script = edited(verified(contracts), events.BatchReplayed, nth=3, stream=PASS, sequence_ids=ids)
    digest = training_tokens(contracts, 2, 1)
    assert findings(tmp_path, script, "verification_agrees_with_training") == [
        (
            "first position 12",
            5,
            PASS,
            f"step 2 with tokens {digest}",
            f"tokens {digest}, in another order or count",
        )
    ]


def test_a_batch_that_the_verification_lacks_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A pass says that it is complete, and left a batch out."""
    script = without(verified(contracts), events.BatchReplayed, nth=3, stream=PASS)
    expected = f"step 2 with tokens {training_tokens(contracts, 2, 1)}"
    assert findings(tmp_path, script, "verification_agrees_with_training") == [
        ("first position 12", 20, RANK0, expected, "no batch in the verification")
    ]


def test_a_batch_that_training_lacks_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The verification found a batch that training never consumed."""
    extra = batch(contracts, 2, 1, 0, 1, pass_id="first", first_position=40)
    script = inserted(verified(contracts), extra, after=events.BatchReplayed, nth=3, stream=PASS)
    assert findings(tmp_path, script, "verification_agrees_with_training") == [
        ("first position 40", 6, PASS, "no batch in training", f"tokens {training_tokens(contracts, 2, 1)}")
    ]


def test_a_pass_under_way_may_lack_batches(tmp_path: Path, contracts: Contracts) -> None:
    """A verification that was killed in the middle says nothing against the batches it did not reach."""
    script = verified(contracts)
    script = script[: place(script, events.BatchReplayed, nth=3, stream=PASS)]
    assert status(tmp_path, script, "verification_agrees_with_training") == "held"


def counted(contracts: Contracts, batches: int, mismatches: int) -> str:
    digest = declared_corpus_digest(corpus_of(contracts)).hex()
    return f"{batches} batches, {mismatches} mismatches, corpus {digest}"


@pytest.mark.parametrize(("batches", "mismatches"), [(7, 0), (8, 1)])
def test_a_verification_that_miscounts_itself_is_found(
    tmp_path: Path, contracts: Contracts, batches: int, mismatches: int
) -> None:
    """A pass of 8 equal batches claims another number of batches or mismatches."""
    script = edited(verified(contracts), events.VerificationCompleted, batches=batches, mismatches=mismatches)
    assert findings(tmp_path, script, "verifications_count_themselves") == [
        ("first", 10, PASS, counted(contracts, 8, 0), counted(contracts, batches, mismatches))
    ]


def test_a_verification_of_another_corpus_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A pass read other shards than the declared ones, and counted right."""
    script = edited(verified(contracts), events.VerificationStarted, corpus_digest=OTHER)
    assert findings(tmp_path, script, "verifications_count_themselves") == [
        ("first", 10, PASS, counted(contracts, 8, 0), f"8 batches, 0 mismatches, corpus {OTHER.hex()}")
    ]


def sampled(contracts: Contracts) -> Script:
    """A finished run, and a pass over a sample: four of its batches."""
    script = edited(verified(contracts), events.VerificationStarted, sample_bps=5000)
    script = edited(script, events.VerificationCompleted, batches=4)
    for nth in (6, 4, 3, 0):
        script = without(script, events.BatchReplayed, nth=nth, stream=PASS)
    return script


@pytest.mark.parametrize("law", ["verification_agrees_with_training", "verifications_count_themselves"])
def test_a_pass_over_a_sample_holds_for_what_it_read(tmp_path: Path, contracts: Contracts, law: str) -> None:
    """A verification of 5,000 basis points of the batches is not asked for the others."""
    assert status(tmp_path, sampled(contracts), law) == "held"


def test_a_sampled_batch_that_differs_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """What a sample read is held against training like any other batch."""
    script = edited(sampled(contracts), events.BatchReplayed, nth=1, stream=PASS, token_sha256=OTHER)
    expected = f"step 2 with tokens {training_tokens(contracts, 2, 0)}"
    assert findings(tmp_path, script, "verification_agrees_with_training") == [
        ("first position 8", 3, PASS, expected, f"tokens {OTHER.hex()}")
    ]


def verified_before_resume(contracts: Contracts) -> Script:
    """Killed in step 4, verified as far as it came (step 3), resumed from step 2: step 3 is trained anew."""
    script = resumed_run(contracts)
    at = place(script, events.StreamOpened, stream=SECOND)
    return script[:at] + verification(contracts, "early", end_step=4) + [(RANK0, seal)] + script[at:]


@pytest.mark.slow
@pytest.mark.parametrize("law", ["verification_agrees_with_training", "verifications_count_themselves"])
@pytest.mark.parametrize("until", ["attempt_started", "the end"])
def test_a_pass_over_superseded_steps_is_no_violation(
    tmp_path: Path, contracts: Contracts, law: str, until: str
) -> None:
    """A verification from before a resume read a step that the resumed attempt takes anew."""
    script = verified_before_resume(contracts)
    if until == "attempt_started":
        script = script[: place(script, events.AttemptStarted, nth=1) + 1]
    assert status(tmp_path, script, law) == "held"


def completing(contracts: Contracts, *, passes: Script, late: Script) -> Script:
    """A run that completes its stage between two groups of verification passes, without a receipt."""
    script = trained_run(contracts)
    at = place(script, events.StreamOpened, stream=COMPLETION)
    script = [*script[:at], *passes, (RANK0, seal), script[at], (COMPLETION, completion()), *script[at + 1 :]]
    return [*script, (COMPLETION, close), (COMPLETION, seal), *late, (COMPLETION, seal)]


EXACT = "at least 1 exact pass before, none that differs"


def test_a_completion_after_an_exact_pass_holds(tmp_path: Path, contracts: Contracts) -> None:
    """One whole pass equalled training, was sealed, and then the stage was completed."""
    script = completing(contracts, passes=verification(contracts, "first"), late=[])
    assert status(tmp_path, script, "replay_was_exact") == "held"


def test_a_completion_without_a_replay_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The stage was completed, and nothing was ever replayed."""
    script = completing(contracts, passes=[], late=[])
    assert findings(tmp_path, script, "replay_was_exact") == [(STAGE, 1, COMPLETION, EXACT, "0 exact, 0 that differ")]


def test_a_completion_after_an_aborted_replay_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The only pass was killed before its end."""
    aborted = without(verification(contracts, "first"), events.VerificationCompleted)
    assert findings(tmp_path, completing(contracts, passes=aborted, late=[]), "replay_was_exact") == [
        (STAGE, 1, COMPLETION, EXACT, "0 exact, 0 that differ")
    ]


def test_a_replay_after_the_completion_comes_too_late(tmp_path: Path, contracts: Contracts) -> None:
    """The stage was completed first, and replayed when somebody asked."""
    script = completing(contracts, passes=[], late=verification(contracts, "first"))
    assert findings(tmp_path, script, "replay_was_exact") == [(STAGE, 1, COMPLETION, EXACT, "0 exact, 0 that differ")]


def test_a_later_replay_that_differs_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """An exact pass came before, and another one since shows other tokens."""
    late = edited(verification(contracts, "second"), events.BatchReplayed, token_sha256=OTHER)
    script = completing(contracts, passes=verification(contracts, "first"), late=late)
    assert findings(tmp_path, script, "replay_was_exact") == [(STAGE, 1, COMPLETION, EXACT, "1 exact, 1 that differ")]


@pytest.mark.parametrize("changes", [{"method": "order"}, {"sample_bps": 9999}, {"first_step": 2}])
def test_a_pass_over_less_than_everything_is_not_exact(
    tmp_path: Path, contracts: Contracts, changes: dict[str, Any]
) -> None:
    """A pass over the order alone, over a sample, or not from the first step proves no exact replay."""
    less = edited(verification(contracts, "first"), events.VerificationStarted, **changes)
    if "first_step" in changes:
        less = without(without(less, events.BatchReplayed), events.BatchReplayed)
    assert findings(tmp_path, completing(contracts, passes=less, late=[]), "replay_was_exact") == [
        (STAGE, 1, COMPLETION, EXACT, "0 exact, 0 that differ")
    ]


def test_a_pass_over_steps_that_were_trained_anew_is_not_exact(tmp_path: Path, contracts: Contracts) -> None:
    """Everything was verified before the last checkpoint was written; then the run was killed and resumed."""
    first = beginning(contracts) + training(contracts, 1, range(1, 5), checkpoint_id(1, 0))
    script = without(first, events.CheckpointWritten, nth=2) + verification(contracts, "first")
    second = resumed_run(contracts)
    script += second[place(second, events.StreamOpened, stream=SECOND) - 2 : place(second, events.CheckpointPromoted)]
    script += [(SECOND, close), (SECOND, seal), (COMPLETION, opened(attempt=2, role="complete"))]
    script += [(COMPLETION, completion()), (COMPLETION, close), (COMPLETION, seal)]
    assert findings(tmp_path, script, "replay_was_exact") == [(STAGE, 1, COMPLETION, EXACT, "0 exact, 0 that differ")]


def here(tmp_path: Path, contracts: Contracts) -> None:
    write_artifacts(tmp_path / "artifacts", contracts)


def test_a_batch_of_other_tokens_than_the_shards_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """Training claims token ids that its sequences do not have in the shards."""
    here(tmp_path, contracts)
    script = edited(trained_run(contracts), events.BatchReplayed, nth=3, token_sha256=OTHER)
    expected = f"step 2 with tokens {training_tokens(contracts, 2, 1)}"
    assert findings(tmp_path, script, "replay_here_agrees") == [
        ("position 12", 20, RANK0, expected, f"step 2 with tokens {OTHER.hex()}")
    ]


def test_a_batch_in_another_order_than_the_contracts_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """Training drew the promised sequences of a batch in another order."""
    here(tmp_path, contracts)
    ids = batch(contracts, 2, 1, 0, 1).sequence_ids[::-1]
    script = edited(
        trained_run(contracts), events.BatchReplayed, nth=3, sequence_ids=ids, token_sha256=token_digest(ids)
    )
    expected = f"step 2 with tokens {training_tokens(contracts, 2, 1)}"
    assert findings(tmp_path, script, "replay_here_agrees") == [
        ("position 12", 20, RANK0, expected, f"step 2 with tokens {token_digest(ids).hex()}")
    ]


def test_a_batch_that_the_contracts_give_and_training_lacks_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """Training left a batch out."""
    here(tmp_path, contracts)
    script = without(trained_run(contracts), events.BatchReplayed, nth=3)
    expected = f"step 2 with tokens {training_tokens(contracts, 2, 1)}"
    assert findings(tmp_path, script, "replay_here_agrees") == [("position 12", None, None, expected, "no batch")]


@pytest.mark.parametrize("finished", [False, True])
def test_a_batch_that_the_contracts_do_not_give_is_found(tmp_path: Path, contracts: Contracts, finished: bool) -> None:
    """Training consumed one batch more than the order has; whether the run is finished makes no difference."""
    here(tmp_path, contracts)
    extra = batch(contracts, 2, 1, 0, 1, first_position=40)
    script = inserted(trained_run(contracts), extra, after=events.BatchReplayed, nth=3)
    script = script if finished else script[:-2]
    actual = f"step 2 with tokens {training_tokens(contracts, 2, 1)}"
    assert findings(tmp_path, script, "replay_here_agrees") == [("position 40", 21, RANK0, "no such batch", actual)]


def test_a_batch_beyond_the_horizon_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A finished run consumed a batch of a step that it never completed."""
    here(tmp_path, contracts)
    extra = batch(contracts, 5, 1, 0, 0)
    script = inserted(trained_run(contracts), extra, after=events.StepCompleted, nth=3)
    actual = f"step 5 with tokens {extra.token_sha256.hex()}"
    assert findings(tmp_path, script, "replay_here_agrees") == [("position 32", 34, RANK0, "no such batch", actual)]


def test_a_step_in_flight_is_not_replayed_yet(tmp_path: Path, contracts: Contracts) -> None:
    """Killed within step 3: its first batch is there, and the step was never completed."""
    here(tmp_path, contracts)
    script = trained_run(contracts)
    until = place(script, events.BatchReplayed, nth=4)
    assert status(tmp_path, script[: until + 1], "replay_here_agrees") == "held"


def test_the_replayed_corpus_is_the_declared_one(tmp_path: Path, contracts: Contracts) -> None:
    """With other shards at hand nothing is decided: they are not what the contracts name."""
    here(tmp_path, contracts)
    first = contracts.sampling_plan.families[0].shard_ids[0]
    (tmp_path / "artifacts" / RUN_ID / "corpus" / f"{first}.bin").write_bytes(b"another corpus")
    assert status(tmp_path, trained_run(contracts), "replay_here_agrees") == "skipped"
