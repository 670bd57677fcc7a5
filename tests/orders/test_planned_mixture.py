"""What the plan would draw under the policy: nobody starved, nobody above its cap."""

import msgspec
import pytest

from psion_ledger.contracts import Contracts
from psion_ledger.contracts.finding import ContractFinding
from psion_ledger.orders import check_contracts
from tests.documents import changed, small_contracts, small_corpus, small_policy

F = ContractFinding
HORIZON = "sampling_plan#/horizon_steps"
WEIGHTS = "sampling_policy#/source_family_weights"


def weighed(code_bps: int, code_cap_bps: int, docstrings_cap_bps: int, *, steps: int, batch: int) -> Contracts:
    """The small contracts with other weights and caps, and shares of classes to match."""
    contracts = small_contracts(horizon_steps=steps, global_batch_sequences=batch)
    changes: dict[str, object] = {
        "/source_family_weights/0/sampling_weight_bps": code_bps,
        "/source_family_weights/0/maximum_family_token_share_bps": code_cap_bps,
        "/source_family_weights/1/sampling_weight_bps": 10_000 - code_bps,
        "/source_family_weights/1/maximum_family_token_share_bps": docstrings_cap_bps,
        "/content_class_token_share_report/0/observed_token_share_bps": docstrings_cap_bps,
        "/content_class_token_share_report/2/observed_token_share_bps": 10_000 - docstrings_cap_bps,
    }
    return msgspec.structs.replace(contracts, sampling_policy=changed(small_policy(), changes))


def test_a_horizon_that_starves_a_family_names_the_smallest_that_works() -> None:
    """A weight of 100 in 10,000 is first drawn at position 49: by 50 steps of one, or 13 of four."""
    for batch, steps in ((1, 50), (4, 13)):
        expected = [
            F(
                "FamilyNeverDrawn",
                HORIZON,
                f"at least {steps} steps, so that each family is drawn",
                f"{steps - 1}, which never draws library_code",
            )
        ]
        assert expected == check_contracts(weighed(100, 5000, 10_000, steps=steps - 1, batch=batch))
        assert check_contracts(weighed(100, 5000, 10_000, steps=steps, batch=batch)) == []


def test_a_family_above_its_cap_is_found_beyond_one_sequence_of_rounding() -> None:
    """Three quarters of the draws under a cap of half: one sequence too many is allowed, two are not."""
    assert check_contracts(weighed(7500, 5000, 9000, steps=1, batch=4)) == []
    expected = [
        F(
            "ShareAboveCap",
            f"{WEIGHTS}/0/maximum_family_token_share_bps",
            "room for 6 of 8 planned sequences",
            "5000",
        )
    ]
    assert expected == check_contracts(weighed(7500, 5000, 9000, steps=2, batch=4))


def test_nothing_is_counted_under_weights_that_mean_nothing() -> None:
    """A weight of zero has no slot; the policy's own rule is the finding."""
    expected = [F("InvalidBpsValue", f"{WEIGHTS}/0/sampling_weight_bps", "1 to 10000", "0")]
    assert expected == check_contracts(weighed(0, 5000, 10_000, steps=4, batch=8))


def test_a_single_pass_draws_no_sequence_twice() -> None:
    """24 docstring sequences hold for 40 positions at six in ten, not for 48."""
    for steps, expected in (
        (5, []),
        (
            6,
            [
                F(
                    "ReplayContractMismatch",
                    HORIZON,
                    "at most 24 draws of library_docstrings in a single pass",
                    "6, which makes 29",
                )
            ],
        ),
    ):
        contracts = small_contracts(horizon_steps=steps)
        corpus = changed(small_corpus(), {"/replay_contract/iteration_mode": "single_pass"})
        assert expected == check_contracts(msgspec.structs.replace(contracts, tokenized_corpus=corpus))


def test_a_horizon_is_counted_in_positions_and_not_in_batches_of_one_size() -> None:
    """Position 49 is the first of the rarer family: batches that grow, and what is skipped before a step, reach it."""
    contracts = weighed(100, 5000, 10_000, steps=6, batch=4)
    growing: dict[str, object] = {"/batch/schedule": [{"first_step": n, "sequences": 2 * n + 1} for n in range(1, 7)]}
    skipping: dict[str, object] = {"/planned_skips": [{"before_step": 2, "sequences": 26}]}
    for changes, steps in ((growing, 7), (skipping, 6)):
        plan = changed(contracts.sampling_plan, changes)
        found = [
            check_contracts(
                msgspec.structs.replace(contracts, sampling_plan=msgspec.structs.replace(plan, horizon_steps=horizon))
            )
            for horizon in (steps - 1, steps)
        ]
        expected = F(
            "FamilyNeverDrawn",
            HORIZON,
            f"at least {steps} steps, so that each family is drawn",
            f"{steps - 1}, which never draws library_code",
        )
        assert [[expected], []] == found


def test_a_plan_without_sizes_of_batches_promises_no_mixture() -> None:
    """Nothing is counted of what is not promised."""
    contracts = weighed(100, 5000, 10_000, steps=1, batch=1)
    plan = changed(contracts.sampling_plan, {"/batch": {}})
    assert check_contracts(msgspec.structs.replace(contracts, sampling_plan=plan)) == []


def test_the_cycle_draws_rows_of_one_length() -> None:
    """Its shares are shares of sequences, which are shares of tokens only then."""
    contracts = small_contracts()
    plan = changed(contracts.sampling_plan, {"/sequence_tokens": None})
    expected = F(
        "OrderMismatch", "sampling_plan#/sequence_tokens", "sequences of one length", "unit sequence, None tokens"
    )
    assert [expected] == check_contracts(msgspec.structs.replace(contracts, sampling_plan=plan))


@pytest.mark.parametrize("missing", ["sampling_policy", "tokenized_corpus"])
def test_the_cycle_follows_a_policy_and_a_corpus(missing: str) -> None:
    """Without one of them the plan's own documents hold, and its order does not."""
    contracts = msgspec.structs.replace(small_contracts(), stage_config=None, sampling_policy=None)
    if missing == "sampling_policy":
        expected = F(
            "MissingContract",
            "sampling_plan#/order",
            "a sampling policy and a corpus, which it follows",
            "not declared",
        )
    else:
        contracts = msgspec.structs.replace(contracts, tokenized_corpus=None, sampling_policy=small_policy())
        expected = F("MissingContract", "sampling_policy#", "tokenized_corpus beside it", "not declared")
    assert [expected] == check_contracts(contracts)
