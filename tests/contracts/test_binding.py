"""The five contracts against each other: each test changes one document of a valid set."""

import msgspec
import pytest

from psion_ledger.contracts import describe
from psion_ledger.contracts.finding import ContractFinding
from psion_ledger.orders import check_contracts, require_bound
from tests.contracts.small import (
    BINDING,
    BINDING_DIGEST,
    BLANK,
    CONFIG,
    CORPUS,
    DESCRIPTOR,
    DESCRIPTOR_DIGEST,
    OBJECTIVE,
    PLAN,
    POLICY,
    SAMPLING,
    SMALL,
    F,
    with_changes,
)
from tests.documents import changed, config_for

# role, what is changed in it, and the findings
CASES: dict[str, tuple[str, dict[str, object], list[ContractFinding]]] = {
    "config_schema_version": (
        "stage_config",
        {"/schema_version": "v2"},
        [F("SchemaVersionMismatch", f"{CONFIG}/schema_version", "psion.pretrain_stage_config.v1", "v2")],
    ),
    "config_without_a_schema_version": (
        "stage_config",
        {"/schema_version": ""},
        [F("MissingField", f"{CONFIG}/schema_version", BLANK, "")],
    ),
    "config_without_a_run": (
        "stage_config",
        {"/run_id": "\u00a0"},
        [F("MissingField", f"{CONFIG}/run_id", BLANK, "\u00a0")],
    ),
    "config_without_a_stage": (
        "stage_config",
        {"/stage_id": ""},
        [F("MissingField", f"{CONFIG}/stage_id", BLANK, "")],
    ),
    "config_of_another_stage_kind": (
        "stage_config",
        {"/stage_kind": "rl"},
        [F("StageKindMismatch", f"{CONFIG}/stage_kind", "pretrain", "rl")],
    ),
    "config_of_another_model": (
        "stage_config",
        {"/model_id": "other"},
        [F("FieldMismatch", f"{CONFIG}/model_id", "small-decoder", "other")],
    ),
    "config_without_a_model": (
        "stage_config",
        {"/model_id": " "},
        [F("MissingField", f"{CONFIG}/model_id", BLANK, " ")],
    ),
    "config_of_another_descriptor": (
        "stage_config",
        {"/model_descriptor_digest": "other"},
        [F("FieldMismatch", f"{CONFIG}/model_descriptor_digest", DESCRIPTOR_DIGEST, "other")],
    ),
    "config_of_another_tokenizer": (
        "stage_config",
        {"/tokenizer_binding_digest": "other"},
        [F("FieldMismatch", f"{CONFIG}/tokenizer_binding_digest", BINDING_DIGEST, "other")],
    ),
    "config_of_another_corpus": (
        "stage_config",
        {"/dataset_identity": "other@1"},
        [
            F("FieldMismatch", f"{CONFIG}/dataset_identity", "small-corpus@1", "other@1"),
        ],
    ),
    "config_without_a_corpus": (
        "stage_config",
        {"/dataset_identity": ""},
        [F("MissingField", f"{CONFIG}/dataset_identity", BLANK, "")],
    ),
    "policy_of_another_corpus": (
        "sampling_policy",
        {"/dataset_identity": "other@1"},
        [F("FieldMismatch", f"{CONFIG}/dataset_identity", "other@1", "small-corpus@1")],
    ),
    "config_of_another_policy": (
        "stage_config",
        {"/sampling_policy_id": "other"},
        [F("FieldMismatch", f"{CONFIG}/sampling_policy_id", "small-mix", "other")],
    ),
    "config_of_another_policy_version": (
        "stage_config",
        {"/sampling_policy_version": "2"},
        [F("FieldMismatch", f"{CONFIG}/sampling_policy_version", "1", "2")],
    ),
    "label_smoothing_above_one": (
        "stage_config",
        {"/objective_config/label_smoothing_bps": 10_001},
        [F("InvalidBpsValue", f"{OBJECTIVE}/label_smoothing_bps", "0 to 10000", "10001")],
    ),
    "objective_of_another_tokenizer": (
        "stage_config",
        {"/objective_config/tokenizer_binding_digest": "other"},
        [F("FieldMismatch", f"{OBJECTIVE}/tokenizer_binding_digest", BINDING_DIGEST, "other")],
    ),
    "objective_of_another_corpus": (
        "stage_config",
        {"/objective_config/dataset_identity": "other@1"},
        [F("FieldMismatch", f"{OBJECTIVE}/dataset_identity", "small-corpus@1", "other@1")],
    ),
    "objective_of_another_context": (
        "stage_config",
        {"/objective_config/max_context_tokens": 64},
        [F("ContextLengthMismatch", f"{OBJECTIVE}/max_context_tokens", "32", "64")],
    ),
    "corpus_of_another_tokenizer_id": (
        "tokenized_corpus",
        {"/tokenizer_id": "other"},
        [F("FieldMismatch", f"{BINDING}/tokenizer_id", "other", "small-bpe")],
    ),
    "corpus_of_another_tokenizer_version": (
        "tokenized_corpus",
        {"/tokenizer_version": "2"},
        [F("FieldMismatch", f"{BINDING}/tokenizer_version", "2", "1")],
    ),
    "corpus_of_another_tokenizer_family": (
        "tokenized_corpus",
        {"/tokenizer/family": "custom"},
        [F("FieldMismatch", f"{BINDING}/tokenizer_family", "custom", "byte_pair_encoding")],
    ),
    "corpus_of_another_vocabulary": (
        "tokenized_corpus",
        {"/tokenizer/vocab_size": 513},
        [F("FieldMismatch", f"{BINDING}/vocab_size", "513", "512")],
    ),
    "corpus_with_a_template": (
        "tokenized_corpus",
        {"/tokenizer/template_digest": "t"},
        [F("FieldMismatch", f"{BINDING}/template_digest", "t", "None")],
    ),
    "policy_of_another_corpus_schema": (
        "sampling_policy",
        {"/tokenized_corpus_schema_version": "v2"},
        [
            F(
                "FieldMismatch",
                f"{POLICY}/tokenized_corpus_schema_version",
                "psion.tokenized_corpus_manifest.v1",
                "v2",
            )
        ],
    ),
    "policy_of_another_source_schema": (
        "sampling_policy",
        {"/raw_source_schema_version": "v2"},
        [F("FieldMismatch", f"{POLICY}/raw_source_schema_version", "psion.raw_source_manifest.v1", "v2")],
    ),
    "policy_of_another_packing": (
        "sampling_policy",
        {"/packing_policy_version": "2"},
        [F("FieldMismatch", f"{POLICY}/packing_policy_version", "1", "2")],
    ),
    "policy_without_a_train_family": (
        "sampling_policy",
        {"/source_family_weights/0/source_family_id": "held_out_modules"},
        [
            F("SourceFamilyCoverageMismatch", f"{POLICY}/source_family_weights", "library_code", "absent"),
            F(
                "SourceFamilyCoverageMismatch",
                f"{POLICY}/source_family_weights",
                "absent",
                "held_out_modules",
            ),
        ],
    ),
    "policy_that_caps_other_sources": (
        "sampling_policy",
        {"/source_contribution_caps/0/source_id": "zipfile_held_out"},
        [
            F("CoverageMismatch", f"{POLICY}/source_contribution_caps", "asyncio", "absent"),
            F("CoverageMismatch", f"{POLICY}/source_contribution_caps", "absent", "zipfile_held_out"),
        ],
    ),
    "plan_of_another_corpus": (
        "sampling_plan",
        {"/dataset_identity": "other@1"},
        [F("FieldMismatch", f"{PLAN}/dataset_identity", "small-corpus@1", "other@1")],
    ),
    "plan_of_another_seed": (
        "sampling_plan",
        {"/order/seed": 8},
        [F("ReplayContractMismatch", f"{PLAN}/order/seed", "7", "8")],
    ),
    "plan_in_sequence_of_a_shuffled_corpus": (
        "sampling_plan",
        {"/order/name": "sequential"},
        [
            F(
                "ReplayContractMismatch",
                "tokenized_corpus#/replay_contract/shard_ordering",
                "manifest_order",
                "deterministic_shuffle",
            )
        ],
    ),
    "corpus_of_another_order": (
        "tokenized_corpus",
        {"/replay_contract/shard_ordering": "manifest_order"},
        [
            F(
                "ReplayContractMismatch",
                "tokenized_corpus#/replay_contract/shard_ordering",
                "deterministic_shuffle",
                "manifest_order",
            )
        ],
    ),
    "plan_of_an_unknown_shard": (
        "sampling_plan",
        {"/families/1/shard_ids/-": "train-nothing-0000"},
        [F("UnknownShard", f"{PLAN}/families/1/shard_ids/1", "a shard of the corpus", "train-nothing-0000")],
    ),
    "plan_with_the_shard_of_another_split": (
        "sampling_plan",
        {"/families/1/shard_ids/-": "validation-library_code-0000"},
        [
            F("CoverageMismatch", f"{PLAN}/families/1/shard_ids", "absent", "validation-library_code-0000"),
        ],
    ),
    "plan_with_the_shard_of_another_family": (
        "sampling_plan",
        {"/families/1/shard_ids/-": "train-library_docstrings-0000"},
        [
            F("CoverageMismatch", f"{PLAN}/families/1/shard_ids", "absent", "train-library_docstrings-0000"),
        ],
    ),
    "plan_without_a_shard": (
        "sampling_plan",
        {"/families/1/shard_ids": []},
        [F("CoverageMismatch", f"{PLAN}/families/1/shard_ids", "train-library_code-0000", "absent")],
    ),
    "plan_of_another_split_kind": (
        "sampling_plan",
        {"/families/0/split_kind": "test"},
        [F("SplitKindMismatch", f"{PLAN}/families/0/split_kind", "held_out", "test")],
    ),
    "plan_of_other_totals": (
        "sampling_plan",
        {"/families/4/end_sequence_id": 101, "/families/4/sequences": 9, "/families/4/tokens": 9 * 32},
        [
            F("CountMismatch", "tokenized_corpus#/splits/2/sequence_count", "21", "20"),
            F("CountMismatch", "tokenized_corpus#/splits/2/token_count", "672", "640"),
        ],
    ),
}


def test_a_bound_set_is_accepted() -> None:
    """The small contracts, which every case below starts from, hold together."""
    assert check_contracts(SMALL) == []
    require_bound(SMALL)


@pytest.mark.parametrize("name", CASES)
def test_a_broken_binding_is_found(name: str) -> None:
    """One document changed, and exactly the findings that it deserves."""
    role, changes, expected = CASES[name]
    assert expected == check_contracts(with_changes(role, changes))


def test_token_ids_must_fit_their_width() -> None:
    """A vocabulary of 65,536 fits 16 bits; one id more does not."""
    for vocabulary, expected in (
        (65_536, []),
        (
            65_537,
            [F("TokenWidthMismatch", "sampling_plan#/token_dtype", "uint32, for 65537 token ids", "uint16")],
        ),
    ):
        binding = changed(DESCRIPTOR.tokenizer_binding, {"/vocab_size": vocabulary})
        descriptor = describe(
            "smoke",
            model_id="small-decoder",
            revision="1",
            vocab_size=vocabulary,
            max_context=32,
            tokenizer_binding=binding,
        )
        corpus = changed(CORPUS, {"/tokenizer/vocab_size": vocabulary})
        contracts = msgspec.structs.replace(
            SMALL,
            model_descriptor=descriptor,
            tokenized_corpus=corpus,
            stage_config=config_for(descriptor, corpus, SAMPLING),
        )
        assert expected == check_contracts(contracts)
