"""The coverage laws, each on a ledger that breaks it: shares, caps, splits, evaluations, losses."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from psion_ledger import events
from psion_ledger.contracts import Contracts
from tests.corpora import index_rows, real_contracts
from tests.documents import policy_of
from tests.edits import edited, inserted, place, without
from tests.emitted import batch, measured
from tests.laws import OTHER, findings, status, with_change
from tests.ledgers import RANK0, resumed_run, trained_run


def test_more_code_than_the_policy_allows_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """13 of 32 sequences were code, and 3,000 basis points are 9 of them, and one more for rounding."""
    other = with_change(contracts, "sampling_policy", "/maximum_code_token_ratio_bps", 3000)
    assert findings(tmp_path, trained_run(other), "code_share_is_within_policy") == [
        ("small-mix", 5, RANK0, "at most 3000 bps of 1024 tokens", "416 tokens of code")
    ]


def test_tokens_of_a_family_without_a_class_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """A family that the policy does not class was trained on: it may have been code."""
    script = edited(
        trained_run(contracts),
        events.BatchReplayed,
        family_tokens=[events.FamilyTokens(source_family_id="scraped", tokens=128)],
    )
    found = findings(tmp_path, script, "code_share_is_within_policy")
    assert found == [
        (
            "small-mix",
            5,
            RANK0,
            "at most 5000 bps of 1024 tokens",
            "352 tokens of code, 128 tokens of no class",
        )
    ]


def test_a_family_above_its_cap_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A family got 13 of 32 sequences where its cap allows 9, and one more for rounding."""
    pointer = "/source_family_weights/0/maximum_family_token_share_bps"
    other = with_change(contracts, "sampling_policy", pointer, 3000)
    assert findings(tmp_path, trained_run(other), "family_shares_are_within_caps") == [
        ("library_code", None, None, "at most 3000 bps of 1024 tokens", "416 tokens")
    ]


def test_a_family_without_a_cap_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A family was trained on that the policy does not know."""
    claimed = [events.FamilyTokens(source_family_id="scraped", tokens=128)]
    script = edited(trained_run(contracts), events.BatchReplayed, family_tokens=claimed)
    assert findings(tmp_path, script, "family_shares_are_within_caps") == [
        ("scraped", None, None, "at most null bps of 1024 tokens", "128 tokens")
    ]


def test_a_source_above_its_cap_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """One source gave 13 of 32 sequences: without the one of rounding, 1 basis point more than its cap."""
    pointer = "/source_contribution_caps/1/maximum_source_token_share_bps"
    other = with_change(contracts, "sampling_policy", pointer, 3749)
    assert findings(tmp_path, trained_run(other), "source_shares_are_within_caps") == [
        ("json", None, None, "at most 3749 bps of 1024 tokens", "416 tokens")
    ]


def test_a_cap_allows_one_sequence_of_rounding(tmp_path: Path, contracts: Contracts) -> None:
    """13 of 32 sequences hold under a cap of 3,750 basis points, which are 12 of them."""
    pointer = "/source_contribution_caps/1/maximum_source_token_share_bps"
    other = with_change(contracts, "sampling_policy", pointer, 3750)
    assert status(tmp_path, trained_run(other), "source_shares_are_within_caps") == "held"


def test_a_consumed_source_without_a_cap_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A source was trained on that the policy does not cap."""
    policy = policy_of(contracts)
    caps = [cap for cap in policy.source_contribution_caps if cap.source_id != "json"]
    policy = msgspec.structs.replace(policy, source_contribution_caps=caps)
    other = msgspec.structs.replace(contracts, sampling_policy=policy)
    assert findings(tmp_path, trained_run(other), "consumed_sources_are_capped") == [
        ("json", None, None, "a cap in the policy", "none, 416 tokens consumed")
    ]


def test_tokens_claimed_for_another_family_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """A batch books its code as docstrings; its total is right."""
    claimed = [events.FamilyTokens(source_family_id="library_docstrings", tokens=128)]
    script = edited(trained_run(contracts), events.BatchReplayed, family_tokens=claimed)
    assert findings(tmp_path, script, "consumed_tokens_are_the_sequences") == [
        ("library_code", None, None, "416 tokens", "352 tokens"),
        ("library_docstrings", None, None, "608 tokens", "672 tokens"),
    ]


def test_tokens_claimed_for_an_unknown_family_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """A batch claims tokens of a family that is in no contract, on top of its own."""
    own = batch(contracts, 1, 1, 0, 0).family_tokens
    more = [*own, events.FamilyTokens(source_family_id="scraped", tokens=32)]
    script = edited(trained_run(contracts), events.BatchReplayed, family_tokens=more)
    assert findings(tmp_path, script, "consumed_tokens_are_the_sequences") == [
        ("scraped", None, None, "0 tokens", "32 tokens")
    ]


def test_a_document_in_two_splits_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A document of the train split stands in the validation split too."""
    rows = index_rows(contracts)
    train, validation = rows[16], rows[80]
    rows[80] = {**validation, "documents": train["documents"]}
    assert findings(tmp_path, trained_run(real_contracts(), rows=rows), "documents_stay_in_one_split") == [
        ("train/library_code/4 of asyncio", None, None, "one split", "train and validation")
    ]


def test_a_document_without_a_name_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """What has no name cannot be told from a held-out document."""
    rows = index_rows(contracts)
    rows[16] = {**rows[16], "documents": [{"source_id": "json", "document_id": None, "first_token": 0, "tokens": 32}]}
    assert findings(tmp_path, trained_run(real_contracts(), rows=rows), "documents_stay_in_one_split") == [
        ("null of json", None, None, "one split", "train and train")
    ]


def first_drawn(contracts: Contracts) -> int:
    """The sequence at position 0."""
    return batch(contracts, 1, 1, 0, 0).sequence_ids[0]


def test_held_out_tokens_under_another_id_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """A training sequence has, token for token, the content of held-out sequence 5."""
    rows, drawn = index_rows(contracts), first_drawn(contracts)
    rows[drawn] = {**rows[drawn], "token_sha256": rows[5]["token_sha256"]}
    script = trained_run(real_contracts(), rows=rows)
    assert findings(tmp_path, script, "evaluation_content_is_isolated") == [
        (
            "sequence 5 of held_out",
            None,
            None,
            "never trained on",
            f"its tokens stand in sequence {drawn}, trained on at step 1",
        )
    ]


def test_validation_tokens_in_a_training_sequence_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """Not only what is held out is kept from training: so is what validates."""
    rows, drawn = index_rows(contracts), first_drawn(contracts)
    rows[drawn] = {**rows[drawn], "token_sha256": rows[81]["token_sha256"]}
    found = findings(tmp_path, trained_run(real_contracts(), rows=rows), "evaluation_content_is_isolated")
    assert [row[0] for row in found] == ["sequence 81 of validation"]


def test_a_held_out_document_in_a_training_sequence_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A held-out document was packed, in other pieces, into a training sequence."""
    rows, drawn = index_rows(contracts), first_drawn(contracts)
    rows[drawn] = {**rows[drawn], "documents": rows[5]["documents"]}
    script = trained_run(real_contracts(), rows=rows)
    assert findings(tmp_path, script, "evaluation_content_is_isolated") == [
        (
            "document held_out/held_out_modules/1 of zipfile_held_out",
            None,
            None,
            "never trained on",
            f"in sequence {drawn}, trained on at step 1",
        )
    ]


SET = "e0001-s000002 validation library_code"
DECLARED = "once, validation, 4 sequences 80 to 86 by 2, 124 target tokens"
OF_SET = 8  # The fourth of the five measurements at step 2.


def test_a_declared_set_that_was_not_measured_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """One evaluation leaves a set out."""
    script = without(trained_run(contracts), events.SplitLossMeasured, nth=OF_SET)
    assert findings(tmp_path, script, "evaluations_measure_declared_sets") == [
        (SET, 25, RANK0, DECLARED, "not measured")
    ]


def test_a_set_that_was_measured_twice_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A set is measured again and the better loss could be chosen."""
    again = measured(contracts, 1, 2)[3]
    script = inserted(trained_run(contracts), again, after=events.SplitLossMeasured, nth=OF_SET)
    assert findings(tmp_path, script, "evaluations_measure_declared_sets") == [
        (SET, 26, RANK0, DECLARED, "2 times, validation, 4 sequences 80 to 86 by 2, 124 target tokens")
    ]


@pytest.mark.parametrize(
    ("changes", "actual"),
    [
        ({"end_sequence_id": 82}, "1 times, validation, 4 sequences 80 to 81 by 2, 124 target tokens"),
        ({"first_sequence_id": 81}, "1 times, validation, 4 sequences 81 to 86 by 2, 124 target tokens"),
        ({"stride": 1}, "1 times, validation, 4 sequences 80 to 86 by 1, 124 target tokens"),
        ({"sequences": 3}, "1 times, validation, 3 sequences 80 to 86 by 2, 124 target tokens"),
        ({"target_tokens": 93}, "1 times, validation, 4 sequences 80 to 86 by 2, 93 target tokens"),
        ({"evaluation_set": "test"}, "1 times, test, 4 sequences 80 to 86 by 2, 124 target tokens"),
    ],
)
def test_a_set_that_was_measured_otherwise_is_found(
    tmp_path: Path, contracts: Contracts, changes: dict[str, Any], actual: str
) -> None:
    """An evaluation leaves out sequences or tokens of a set, or calls its split something else."""
    script = edited(trained_run(contracts), events.SplitLossMeasured, nth=OF_SET, **changes)
    assert findings(tmp_path, script, "evaluations_measure_declared_sets") == [(SET, 25, RANK0, DECLARED, actual)]


def test_a_half_evaluation_of_an_earlier_attempt_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The second attempt has begun, so the first one's evaluation cannot be under way any more."""
    script = without(resumed_run(contracts), events.SplitLossMeasured, nth=OF_SET)
    until = place(script, events.CheckpointLoaded)
    assert findings(tmp_path, script[: until + 1], "evaluations_measure_declared_sets") == [
        (SET, 25, RANK0, DECLARED, "not measured")
    ]


def test_a_measurement_that_nobody_declared_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """An evaluation measures a split that the plan does not have."""
    extra = msgspec.structs.replace(measured(contracts, 1, 2)[3], split_name="shadow")
    script = inserted(trained_run(contracts), extra, after=events.SplitLossMeasured, nth=OF_SET)
    assert findings(tmp_path, script, "measurements_are_declared") == [
        (
            "e0001-s000002 shadow library_code",
            26,
            RANK0,
            "a declared set",
            "a split is not declared for this family",
        )
    ]


LAST = 13  # The measurement of validation library_code at step 4.


def test_a_promised_pair_that_is_not_reported_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The promoted weights were not measured on one family."""
    script = without(trained_run(contracts), events.SplitLossMeasured, nth=LAST)
    assert findings(tmp_path, script, "every_split_family_is_reported") == [
        ("validation library_code", None, None, "1 measurement, kind validation", "0 measurements")
    ]


def test_a_pair_that_is_reported_twice_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The promoted weights have two losses on one family."""
    again = measured(contracts, 1, 4)[3]
    script = inserted(trained_run(contracts), again, after=events.SplitLossMeasured, nth=LAST)
    assert findings(tmp_path, script, "every_split_family_is_reported") == [
        (
            "validation library_code",
            38,
            RANK0,
            "1 measurement, kind validation",
            "2 measurements, kind validation",
        )
    ]


def test_a_reported_pair_that_nobody_promised_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The promoted weights are measured on a family that the corpus does not have."""
    extra = msgspec.structs.replace(measured(contracts, 1, 4)[3], source_family_id="scraped")
    script = inserted(trained_run(contracts), extra, after=events.SplitLossMeasured, nth=LAST)
    assert findings(tmp_path, script, "every_split_family_is_reported") == [
        ("validation scraped", 38, RANK0, "no such pair in the corpus", "1 measurements, of no kind")
    ]


def test_shares_of_a_split_that_nobody_measured_are_found(tmp_path: Path, contracts: Contracts) -> None:
    """The run finishes without a measurement of the validation split."""
    script = trained_run(contracts)
    for _ in range(2):
        script = without(script, events.SplitLossMeasured, nth=LAST)
    assert findings(tmp_path, script, "shares_total_ten_thousand") == [
        ("validation", None, None, "10000 of tokens, 10000 of sequences", "none")
    ]


def test_a_family_without_a_share_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """One family of two was not measured: the other's share is all of the split, and looks whole."""
    script = without(trained_run(contracts), events.SplitLossMeasured, nth=LAST)
    assert findings(tmp_path, script, "shares_total_ten_thousand") == [
        (
            "validation",
            None,
            None,
            "10000 of tokens, 10000 of sequences",
            "10000 of tokens, 10000 of sequences, 1 families without",
        )
    ]


@pytest.mark.parametrize(
    ("changes", "actual"),
    [
        ({"loss_nats": math.nan}, "loss nan, 1364.0, gradient norm 1.25"),
        ({"loss_sum_nats": math.inf}, "loss 5.5, inf, gradient norm 1.25"),
        ({"grad_norm": -math.inf}, "loss 5.5, 1364.0, gradient norm -inf"),
    ],
)
def test_a_step_that_is_not_finite_is_found(
    tmp_path: Path, contracts: Contracts, changes: dict[str, Any], actual: str
) -> None:
    """Training diverged in step 1; the record says so, and the law does not let it pass."""
    # Sealed, as all of a finished run is: DuckDB reads floats of Parquet otherwise than Arrow's.
    script = edited(trained_run(contracts), events.StepCompleted, **changes)
    assert findings(tmp_path, script, "losses_are_finite") == [("step 1 of rank 0", 18, RANK0, "finite", actual)]


@pytest.mark.parametrize(
    ("changes", "actual"),
    [
        ({"is_finite": False, "loss_sum_nanonats": 0}, "loss null, 0.0, gradient norm null"),
        ({"target_tokens": 0}, "loss null, 620.062, gradient norm null"),
    ],
)
def test_a_measured_loss_that_is_not_finite_is_found(
    tmp_path: Path, contracts: Contracts, changes: dict[str, Any], actual: str
) -> None:
    """The weights give no number on one family."""
    script = edited(trained_run(contracts), events.SplitLossMeasured, nth=OF_SET, **changes)
    assert findings(tmp_path, script, "losses_are_finite") == [(SET, 25, RANK0, "finite", actual)]


def test_a_set_with_other_tokens_than_before_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The second evaluation of a declared set read other tokens than the first one."""
    script = edited(trained_run(contracts), events.SplitLossMeasured, nth=OF_SET, token_sha256=OTHER)
    before = measured(contracts, 1, 0)[3]
    assert isinstance(before, events.SplitLossMeasured)
    assert findings(tmp_path, script, "evaluation_tokens_stay_the_same") == [
        (SET, 25, RANK0, f"tokens {before.token_sha256.hex()}, as in e0001-s000000", f"tokens {OTHER.hex()}")
    ]
