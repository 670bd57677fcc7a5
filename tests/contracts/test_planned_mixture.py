"""What the plan would draw under the policy: nobody starved, nobody above its cap."""

import msgspec

from psion_ledger.contracts import Contracts, check_contracts, describe
from psion_ledger.contracts.finding import ContractFinding
from tests.documents import changed, config_for, small_contracts

F = ContractFinding
HORIZON = "sampling_plan#/horizon_steps"
WEIGHTS = "sampling_policy#/source_family_weights"


def weighed(code_bps: int, code_cap_bps: int, docstrings_cap_bps: int, *, steps: int, batch: int) -> Contracts:
    """The small contracts with other weights and caps, one micro step, and shares of classes to match."""
    contracts = small_contracts(horizon_steps=steps, global_batch_sequences=batch, micro_steps=1)
    changes: dict[str, object] = {
        "/source_family_weights/0/sampling_weight_bps": code_bps,
        "/source_family_weights/0/maximum_family_token_share_bps": code_cap_bps,
        "/source_family_weights/1/sampling_weight_bps": 10_000 - code_bps,
        "/source_family_weights/1/maximum_family_token_share_bps": docstrings_cap_bps,
        "/content_class_token_share_report/0/observed_token_share_bps": docstrings_cap_bps,
        "/content_class_token_share_report/2/observed_token_share_bps": 10_000 - docstrings_cap_bps,
    }
    return msgspec.structs.replace(contracts, sampling_policy=changed(contracts.sampling_policy, changes))


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
        corpus = changed(contracts.tokenized_corpus, {"/replay_contract/iteration_mode": "single_pass"})
        assert expected == check_contracts(msgspec.structs.replace(contracts, tokenized_corpus=corpus))


def test_token_ids_must_fit_their_width() -> None:
    """A vocabulary of 65,536 fits 16 bits; one id more does not."""
    small = small_contracts()
    for vocabulary, expected in (
        (65_536, []),
        (
            65_537,
            [F("TokenWidthMismatch", "sampling_plan#/token_dtype", "uint32, for 65537 token ids", "uint16")],
        ),
    ):
        binding = changed(small.model_descriptor.tokenizer_binding, {"/vocab_size": vocabulary})
        descriptor = describe(
            "smoke",
            model_id="small-decoder",
            revision="1",
            vocab_size=vocabulary,
            max_context=32,
            tokenizer_binding=binding,
        )
        corpus = changed(small.tokenized_corpus, {"/tokenizer/vocab_size": vocabulary})
        contracts = msgspec.structs.replace(
            small,
            model_descriptor=descriptor,
            tokenized_corpus=corpus,
            stage_config=config_for(descriptor, corpus, small.sampling_policy),
        )
        assert expected == check_contracts(contracts)
