"""What a tokenised corpus must hold by itself: each test breaks one rule of the small corpus."""

import pytest

from psion_ledger.contracts.corpus_rules import rules
from psion_ledger.contracts.finding import ContractFinding
from tests.documents import changed, small_corpus

F = ContractFinding
AT = "tokenized_corpus#"
DIGEST = small_corpus().tokenizer.tokenizer_digest
NEW_SOURCE = {"source_id": "re", "source_family_id": "library_code", "source_normalized_digest": "d"}
HELD_OUT_SOURCE = {
    "source_id": "zipfile_held_out",
    "source_family_id": "library_code",
    "source_normalized_digest": "d",
}

CASES: dict[str, tuple[dict[str, object], list[ContractFinding]]] = {
    "schema_version": (
        {"/schema_version": "v2"},
        [F("SchemaVersionMismatch", f"{AT}/schema_version", "psion.tokenized_corpus_manifest.v1", "v2")],
    ),
    "blank_schema_version": (
        {"/schema_version": ""},
        [F("MissingField", f"{AT}/schema_version", "text that is not white space", "")],
    ),
    "blank_text_anywhere": (
        {"/shards/1/storage_ref": "\u3000\x85"},
        [F("MissingField", f"{AT}/shards/1/storage_ref", "text that is not white space", "\u3000\x85")],
    ),
    "identity": (
        {"/replay_contract/stable_dataset_identity": "other@1"},
        [F("FieldMismatch", f"{AT}/replay_contract/stable_dataset_identity", "small-corpus@1", "other@1")],
    ),
    "seed_is_64_bits": (
        {"/replay_contract/deterministic_shuffle_seed": 2**64},
        [
            F(
                "InvalidCount",
                f"{AT}/replay_contract/deterministic_shuffle_seed",
                "at most 18446744073709551615",
                "18446744073709551616",
            )
        ],
    ),
    "shard_tokenizer": (
        {"/shards/0/tokenizer_digest": "other"},
        [F("FieldMismatch", f"{AT}/shards/0/tokenizer_digest", DIGEST, "other")],
    ),
    "shard_source_schema": (
        {"/shards/0/source_manifest_schema_version": "v2"},
        [
            F(
                "FieldMismatch",
                f"{AT}/shards/0/source_manifest_schema_version",
                "psion.raw_source_manifest.v1",
                "v2",
            )
        ],
    ),
    "shard_preprocessing": (
        {"/shards/4/preprocessing_version": "plain-2"},
        [F("FieldMismatch", f"{AT}/shards/4/preprocessing_version", "plain-1", "plain-2")],
    ),
    "shard_packing": (
        {"/shards/2/packing_policy_version": "2"},
        [F("FieldMismatch", f"{AT}/shards/2/packing_policy_version", "1", "2")],
    ),
    "shard_twice": (
        {"/shards/-": "copy of shard 0", "/splits/0/sequence_count": 16},
        [F("DuplicateEntry", f"{AT}/shards/5", "each name once", "held_out-held_out_modules-0000")],
    ),
    "family_bound_twice": (
        {"/source_family_bindings/-": {"source_family_id": "library_code", "source_ids": ["json"]}},
        [F("DuplicateEntry", f"{AT}/source_family_bindings/3", "each name once", "library_code")],
    ),
    "source_bound_twice": (
        {"/source_family_bindings/1/source_ids/-": "json"},
        [F("DuplicateEntry", f"{AT}/source_family_bindings/1/source_ids/2", "each name once", "json")],
    ),
    "source_that_no_binding_knows": (
        {"/shards/1/source_lineage/-": NEW_SOURCE},
        [
            F(
                "UnknownSourceIdForFamily",
                f"{AT}/shards/1/source_lineage/2/source_id",
                "a source that source_family_bindings gives to library_code",
                "re",
            )
        ],
    ),
    "source_that_no_shard_holds": (
        {"/source_family_bindings/1/source_ids/-": "re"},
        [
            F(
                "CoverageMismatch",
                f"{AT}/source_family_bindings/1/source_ids/2",
                "a source that some shard holds",
                "re",
            )
        ],
    ),
    "shard_listed_twice": (
        {
            "/splits/1/shard_ids/-": "train-library_code-0000",
            "/splits/1/sequence_count": 104,
            "/splits/1/token_count": 104 * 32,
        },
        [
            F(
                "DuplicateEntry",
                f"{AT}/splits/1/shard_ids/2",
                "a shard in one split, once",
                "train-library_code-0000",
            )
        ],
    ),
    "unknown_shard": (
        {"/splits/1/shard_ids/-": "train-nothing-0000"},
        [F("UnknownShard", f"{AT}/splits/1/shard_ids/2", "the id of a shard", "train-nothing-0000")],
    ),
    "shard_of_another_split": (
        {"/shards/1/split_name": "validation"},
        [F("FieldMismatch", f"{AT}/shards/1/split_name", "train", "validation")],
    ),
    "shard_of_another_kind": (
        {"/shards/1/split_kind": "test"},
        [F("SplitKindMismatch", f"{AT}/shards/1/split_kind", "train", "test")],
    ),
    "split_sequences": (
        {"/splits/1/sequence_count": 65},
        [F("CountMismatch", f"{AT}/splits/1/sequence_count", "64", "65")],
    ),
    "split_tokens": (
        {"/splits/2/token_count": 641},
        [F("CountMismatch", f"{AT}/splits/2/token_count", "640", "641")],
    ),
    "split_lacks_a_family": (
        {"/splits/1/source_family_ids": ["library_code"]},
        [
            F(
                "SourceFamilyCoverageMismatch",
                f"{AT}/splits/1/source_family_ids",
                "library_docstrings",
                "absent",
            )
        ],
    ),
    "split_names_a_family_too_many": (
        {"/splits/1/source_family_ids/-": "ghost"},
        [F("SourceFamilyCoverageMismatch", f"{AT}/splits/1/source_family_ids", "absent", "ghost")],
    ),
    "split_names_a_family_twice": (
        {"/splits/1/source_family_ids/-": "library_code"},
        [F("DuplicateEntry", f"{AT}/splits/1/source_family_ids/2", "each name once", "library_code")],
    ),
    "held_out_source_in_train": (
        {
            "/shards/1/source_lineage/-": HELD_OUT_SOURCE,
            "/source_family_bindings/1/source_ids/-": "zipfile_held_out",
        },
        [
            F(
                "HeldOutNotIsolated",
                f"{AT}/shards/1/source_lineage/2/source_id",
                "a source of no held-out shard",
                "zipfile_held_out",
            )
        ],
    ),
    "held_out_family_in_validation": (
        {
            "/shards/3/source_lineage/-": {**NEW_SOURCE, "source_family_id": "held_out_modules"},
            "/source_family_bindings/0/source_ids/-": "re",
            "/splits/2/source_family_ids/-": "held_out_modules",
        },
        [
            F(
                "HeldOutNotIsolated",
                f"{AT}/shards/3/source_lineage/2/source_family_id",
                "a family of no held-out shard",
                "held_out_modules",
            )
        ],
    ),
}


def test_a_whole_corpus_is_accepted() -> None:
    """The small corpus, which every case below starts from, breaks nothing; nor does the largest seed."""
    assert rules(small_corpus()) == []
    assert rules(small_corpus(sampler_seed=2**64 - 1)) == []


@pytest.mark.parametrize("name", CASES)
def test_a_broken_rule_is_found(name: str) -> None:
    """One change, and exactly the findings that it deserves."""
    changes, expected = CASES[name]
    corpus = small_corpus()
    if "/shards/-" in changes:
        changes = {**changes, "/shards/-": changed(corpus, {}).shards[0]}
    assert expected == rules(changed(corpus, changes))


def test_a_shard_that_no_split_lists_is_found() -> None:
    """A shard outside every split belongs to none, so its tokens are in no total."""
    corpus = small_corpus()
    stray = changed(corpus.shards[1], {"/shard_id": "train-stray-0000"})
    expected = [F("UnlistedShard", f"{AT}/shards/5", "listed by a split", "train-stray-0000")]
    assert expected == rules(changed(corpus, {"/shards/-": stray}))


def test_a_repeated_split_is_found() -> None:
    """A split that stands twice, the second time without shards."""
    corpus = small_corpus()
    empty = {
        "split_name": "train",
        "kind": "train",
        "shard_ids": [],
        "source_family_ids": [],
        "sequence_count": 0,
        "token_count": 0,
    }
    expected = [F("DuplicateEntry", f"{AT}/splits/3", "each name once", "train")]
    assert expected == rules(changed(corpus, {"/splits/-": empty}))
