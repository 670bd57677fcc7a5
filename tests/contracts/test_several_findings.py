"""What breaks more than one rule: every finding, in its order."""

import pytest

from psion_ledger.contracts.stage_config import rules as config_rules
from psion_ledger.errors import ContractRefused
from psion_ledger.orders import check_contracts, require_bound
from tests.contracts.small import (
    BINDING,
    BLANK,
    CONFIG,
    CORPUS,
    DESCRIPTOR,
    OBJECTIVE,
    PLAN,
    SAMPLING,
    SMALL,
    STAGE,
    F,
    with_changes,
)
from tests.documents import changed, config_for, small_contracts


def test_findings_of_the_config_come_in_the_originals_order() -> None:
    """Every string of the config blank: one finding a check, in the documented order of checks."""
    names = (
        "schema_version",
        "run_id",
        "stage_id",
        "model_id",
        "model_descriptor_digest",
        "tokenizer_binding_digest",
        "dataset_identity",
        "sampling_policy_id",
        "sampling_policy_version",
        "objective_config/tokenizer_binding_digest",
        "objective_config/dataset_identity",
    )
    expected = [F("MissingField", f"{CONFIG}/{name}", BLANK, "") for name in names]
    assert expected == check_contracts(with_changes("stage_config", {f"/{name}": "" for name in names}))


def test_corpus_and_policy_that_disagree_are_each_held_against_the_config() -> None:
    """Against the corpus first, then against the policy."""
    policy = changed(SAMPLING, {"/dataset_identity": "third@1"})
    config = changed(STAGE, {"/dataset_identity": "other@1"})
    expected = [
        F("FieldMismatch", f"{CONFIG}/dataset_identity", "small-corpus@1", "other@1"),
        F("FieldMismatch", f"{CONFIG}/dataset_identity", "third@1", "other@1"),
    ]
    assert expected == check_contracts(small_contracts(sampling_policy=policy, stage_config=config))


def test_the_config_alone_is_held_to_its_own_rules() -> None:
    """Header and label smoothing need no other document."""
    assert config_rules(STAGE) == []
    broken = changed(STAGE, {"/run_id": "", "/objective_config/label_smoothing_bps": 10_001})
    expected = [
        F("MissingField", f"{CONFIG}/run_id", BLANK, ""),
        F("InvalidBpsValue", f"{OBJECTIVE}/label_smoothing_bps", "0 to 10000", "10001"),
    ]
    assert expected == config_rules(broken)


def test_tokenizer_digests_bind_model_and_corpus() -> None:
    """A model bound to another tokenizer is found, even when the config was resealed over it."""
    descriptor = changed(
        DESCRIPTOR,
        {"/tokenizer_binding/tokenizer_digest": "d", "/tokenizer_binding/special_tokens_digest": "s"},
    )
    config = config_for(descriptor, CORPUS, SAMPLING)
    tokenizer = CORPUS.tokenizer
    expected = [
        F("FieldMismatch", f"{BINDING}/tokenizer_digest", tokenizer.tokenizer_digest, "d"),
        F("FieldMismatch", f"{BINDING}/special_tokens_digest", str(tokenizer.special_tokens_digest), "s"),
    ]
    assert expected == check_contracts(small_contracts(model_descriptor=descriptor, stage_config=config))


def test_a_plan_that_names_an_unknown_split_is_found() -> None:
    """Its families are then missing from the split that the corpus has."""
    plan = changed(
        SMALL.sampling_plan,
        {
            "/families/0/split_name": "hidden",
            "/families/0/shard_ids": [],
            "/evaluation_sets/0/split_name": "hidden",
            "/evaluation_sets/0/evaluation_set": "hidden",
        },
    )
    expected = [
        F("UnknownSplitName", f"{PLAN}/families/0/split_name", "a split of the corpus", "hidden"),
        F("SourceFamilyCoverageMismatch", f"{PLAN}/families", "held_out/held_out_modules", "absent"),
    ]
    assert expected == check_contracts(small_contracts(sampling_plan=plan))


def test_a_plan_of_longer_sequences_than_the_context_is_found() -> None:
    """Sequences of 33 tokens in a context of 32; the corpus's totals no longer fit them either."""
    plan = SMALL.sampling_plan
    tokens = {f"/families/{i}/tokens": family.sequences * 33 for i, family in enumerate(plan.families)}
    contracts = with_changes("sampling_plan", {"/sequence_tokens": 33, **tokens})
    expected = [
        F("ContextLengthMismatch", f"{PLAN}/sequence_tokens", "at most 32, the model's context", "33"),
        F("CountMismatch", "tokenized_corpus#/splits/0/token_count", "528", "512"),
        F("CountMismatch", "tokenized_corpus#/splits/1/token_count", "2112", "2048"),
        F("CountMismatch", "tokenized_corpus#/splits/2/token_count", "660", "640"),
    ]
    assert expected == check_contracts(contracts)


def test_a_refusal_names_every_finding_on_its_own_line() -> None:
    """Two findings, two lines after the heading, with pointer, code and both values."""
    contracts = with_changes("stage_config", {"/run_id": "", "/model_id": "a\nb"})
    with pytest.raises(ContractRefused) as refusal:
        require_bound(contracts)
    expected = [
        "the contracts do not hold (2 findings):",
        "stage_config#/run_id: MissingField: expected 'text that is not white space', found ''",
        "stage_config#/model_id: FieldMismatch: expected 'small-decoder', found 'a\\nb'",
    ]
    assert expected == str(refusal.value).splitlines()
