"""The original's own documents are read exactly, rebuilt from their anchors and held to be bound."""

import json

import msgspec
import pytest

from psion_ledger.contracts import (
    Contracts,
    DocumentRole,
    EvaluationSet,
    ModelDescriptor,
    PlanFamily,
    SamplingPlan,
    TokenizedCorpus,
    decode_document,
    describe,
    encode_document,
    model_descriptor_digest,
    plan_rules,
    tensor_layout_digest,
    tokenizer_binding_digest,
)
from psion_ledger.contracts.binding import config_findings
from psion_ledger.contracts.corpus_rules import rules as corpus_rules
from psion_ledger.contracts.descriptor_rules import rules as descriptor_rules
from psion_ledger.contracts.finding import ContractFinding
from psion_ledger.contracts.sampling_plan import BatchRule, BatchSize, Passes, PlanOrder, RankRule
from psion_ledger.contracts.sampling_policy import rules as policy_rules
from psion_ledger.orders import check_contracts
from tests.documents import UPSTREAM, changed, needs_upstream

pytestmark = needs_upstream

FILES: list[tuple[DocumentRole, str]] = [
    ("stage_config", "psion_pretrain_stage_config_v1.json"),
    ("model_descriptor", "psion_compact_decoder_pilot_descriptor_v1.json"),
    ("model_descriptor", "psion_compact_decoder_internal_descriptor_v1.json"),
    ("tokenized_corpus", "psion_tokenized_corpus_manifest_v1.json"),
    ("sampling_policy", "psion_sampling_policy_manifest_v1.json"),
]
DESCRIPTORS = [
    (
        "psion_compact_decoder_pilot_descriptor_v1.json",
        "04232d1ad07d9b79401e5649c4c42d695bf87e4450e6f4152c8edb08f9be93d0",
        "d3bd8ced0b92e59eec1cfc386efbfc143f233381e8fe8814ec27d42b9bd3ab63",
    ),
    (
        "psion_compact_decoder_internal_descriptor_v1.json",
        "c1eaf1c25afb760a686aa5df6a8a81d4c6be6557a18a4f8bf7b68372119f36ab",
        "c25946f99db52e6b1ab4175ad18c5a702de71f3ed5d1b5461be6adad25341bd8",
    ),
]


def read(name: str) -> bytes:
    return (UPSTREAM / name).read_bytes()


def plan_for(corpus: TokenizedCorpus, sequence_tokens: int) -> SamplingPlan:
    """A plan over the corpus's splits: sequences shared evenly by a split's families, one to each set."""
    families, sets, first = [], [], 0
    for split in sorted(corpus.splits, key=lambda split: split.split_name):
        sequences = split.sequence_count // len(split.source_family_ids)
        for family in sorted(split.source_family_ids):
            row = PlanFamily(
                split_name=split.split_name,
                split_kind=split.kind,
                source_family_id=family,
                first_sequence_id=first,
                end_sequence_id=first + sequences,
                sequences=sequences,
                tokens=sequences * sequence_tokens,
                shard_ids=split.shard_ids,
            )
            probe = EvaluationSet(
                evaluation_set="train_probe" if split.kind == "train" else split.split_name,
                split_name=split.split_name,
                source_family_id=family,
                first_sequence_id=first,
                end_sequence_id=first + 1,
                stride=1,
                sequences=1,
            )
            families.append(row)
            sets.append(probe)
            first += sequences
    return SamplingPlan(
        schema_version="psion_ledger.sampling_plan.v1",
        dataset_identity=corpus.identity,
        order=PlanOrder(
            kind="derived",
            name="psion.weighted_cycle",
            version="1",
            seed=corpus.replay_contract.deterministic_shuffle_seed,
            may_repeat="anything",
        ),
        unit="sequence",
        sequence_tokens=sequence_tokens,
        token_dtype="uint16",
        targets="all_but_first",
        passes=Passes(end="spans"),
        batch=BatchRule(schedule=[BatchSize(first_step=1, sequences=8)], micro_batch_sequences=4),
        ranks=RankRule(layout="rank_major", take="contiguous"),
        horizon_steps=2048,
        families=families,
        evaluation_sets=sets,
        loss_divisor="target_tokens",
        norm_is_global=True,
        rate_is_global=True,
    )


def corpus() -> TokenizedCorpus:
    return decode_document("tokenized_corpus", read("psion_tokenized_corpus_manifest_v1.json"))


def upstream_contracts() -> Contracts:
    return Contracts(
        stage_config=decode_document("stage_config", read("psion_pretrain_stage_config_v1.json")),
        model_descriptor=decode_document("model_descriptor", read(DESCRIPTORS[0][0])),
        tokenized_corpus=corpus(),
        sampling_policy=decode_document("sampling_policy", read("psion_sampling_policy_manifest_v1.json")),
        sampling_plan=plan_for(corpus(), 3840),
    )


@pytest.mark.parametrize(("role", "name"), FILES)
def test_a_document_is_spelled_as_the_original_spells_it(role: DocumentRole, name: str) -> None:
    """Reading and writing gives the original's bytes, but for the newline at the end."""
    document = decode_document(role, read(name))
    assert read(name).rstrip(b"\n") + b"\n" == encode_document(document).encode()


@pytest.mark.parametrize(("name", "digest", "layout_digest"), DESCRIPTORS)
def test_a_descriptor_is_rebuilt_from_its_anchor(name: str, digest: str, layout_digest: str) -> None:
    """Dimensions, tensors, digests and parameter count follow from what `describe` is given."""
    original: ModelDescriptor = decode_document("model_descriptor", read(name))
    rebuilt = describe(
        original.size_anchor,
        model_id=original.model.model_id,
        revision=original.model.revision,
        vocab_size=original.config.vocab_size,
        max_context=original.config.max_context,
        tokenizer_binding=original.tokenizer_binding,
    )
    assert json.loads(read(name)) == json.loads(encode_document(rebuilt))
    assert digest == model_descriptor_digest(rebuilt)
    assert layout_digest == tensor_layout_digest(rebuilt.checkpoint_contract.tensor_layout)
    assert descriptor_rules(original) == []


def test_the_tokenizer_binding_has_the_originals_digest() -> None:
    """The canonical binding."""
    binding = decode_document("model_descriptor", read(DESCRIPTORS[0][0])).tokenizer_binding
    expected = "92c451001e4cec3481a3480b29d80ecaa1696f9bffe553139d3a2f65da69e321"
    assert expected == tokenizer_binding_digest(binding)


def test_the_originals_documents_hold_their_own_rules_and_are_bound() -> None:
    """Corpus, policy and a plan over them, and every check of the config."""
    config = decode_document("stage_config", read("psion_pretrain_stage_config_v1.json"))
    descriptor = decode_document("model_descriptor", read(DESCRIPTORS[0][0]))
    policy = decode_document("sampling_policy", read("psion_sampling_policy_manifest_v1.json"))
    assert corpus_rules(corpus()) == []
    assert policy_rules(policy) == []
    assert plan_rules.rules(plan_for(corpus(), 3840)) == []
    assert config_findings(config, descriptor, corpus(), policy) == []


def test_the_originals_splits_differ_in_length_so_no_plan_fits() -> None:
    """Its train sequences average 3,840 tokens, its others not; a plan has one length for all."""
    expected = [
        ContractFinding("CountMismatch", "tokenized_corpus#/splits/0/token_count", "61440", "49152"),
        ContractFinding("CountMismatch", "tokenized_corpus#/splits/2/token_count", "61440", "65536"),
    ]
    assert expected == check_contracts(upstream_contracts())


def test_the_originals_documents_with_even_lengths_are_a_bound_set() -> None:
    """With every split's tokens made 3,840 a sequence, the five hold together."""
    changes: dict[str, object] = {}
    for index, split in enumerate(corpus().splits):
        changes[f"/splits/{index}/token_count"] = split.sequence_count * 3840
        changes[f"/shards/{index}/token_count"] = split.sequence_count * 3840
    even = changed(corpus(), changes)
    assert check_contracts(msgspec.structs.replace(upstream_contracts(), tokenized_corpus=even)) == []
