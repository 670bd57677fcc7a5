"""Contract documents for tests: a small valid set made here, changed copies of it, and the original's own."""

from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from psion_ledger.contracts import (
    Contracts,
    Document,
    EvaluationSet,
    ModelDescriptor,
    ObjectiveConfig,
    PlanFamily,
    PretrainStageConfig,
    SamplingPlan,
    SamplingPolicy,
    TokenizedCorpus,
    TokenizerBinding,
    describe,
    model_descriptor_digest,
    tokenizer_binding_digest,
)
from psion_ledger.contracts.sampling_plan import (
    BatchRule,
    BatchSize,
    Cadence,
    Passes,
    PlanOrder,
    RankRule,
)
from psion_ledger.contracts.sampling_policy import (
    ContentClassShare,
    RegressionThreshold,
    SourceContributionCap,
    SourceFamilyWeight,
)
from psion_ledger.contracts.tokenized_corpus import (
    CorpusShard,
    CorpusSplit,
    CorpusTokenizer,
    PackingPolicy,
    ReplayContract,
    ShardSource,
    SourceFamilyBinding,
)
from psion_ledger.digest import sha256
from psion_ledger.events import SplitKind

UPSTREAM = Path(__file__).resolve().parents[1] / ".." / "shared" / "upstream"
needs_upstream = pytest.mark.skipif(not UPSTREAM.is_dir(), reason="the original's documents are not beside the clone")

SEQUENCE_TOKENS = 32
EVALUATED_SEQUENCES = 4
# (split, family) -> sequences; the splits' names are their kinds.
SIZES: dict[tuple[SplitKind, str], int] = {
    ("held_out", "held_out_modules"): 16,
    ("train", "library_code"): 40,
    ("train", "library_docstrings"): 24,
    ("validation", "library_code"): 12,
    ("validation", "library_docstrings"): 8,
}
SOURCES = {
    "held_out_modules": ["zipfile_held_out"],
    "library_code": ["asyncio", "json"],
    "library_docstrings": ["json", "typing"],
}

D = TypeVar("D", bound=msgspec.Struct)


def changed(document: D, changes: dict[str, object]) -> D:
    """A copy with the value at each JSON pointer replaced; `-` as the last step appends to an array."""
    raw = msgspec.to_builtins(document)
    for pointer, value in changes.items():
        *parents, last = pointer.removeprefix("/").split("/")
        target = raw
        for step in parents:
            target = target[int(step)] if isinstance(target, list) else target[step]
        if last == "-":
            target.append(value)
        else:
            target[int(last) if isinstance(target, list) else last] = value
    return msgspec.convert(raw, type(document))


def small_descriptor() -> ModelDescriptor:
    binding = TokenizerBinding(
        tokenizer_id="small-bpe",
        tokenizer_version="1",
        tokenizer_family="byte_pair_encoding",
        tokenizer_digest=sha256(b"small tokenizer").hex(),
        vocab_size=512,
        special_tokens_digest=sha256(b"small special tokens").hex(),
    )
    return describe(
        "smoke",
        model_id="small-decoder",
        revision="1",
        vocab_size=512,
        max_context=SEQUENCE_TOKENS,
        tokenizer_binding=binding,
    )


def _shard(split: SplitKind, family: str, sequences: int, tokenizer_digest: str) -> CorpusShard:
    shard_id = f"{split}-{family}-0000"
    return CorpusShard(
        shard_id=shard_id,
        split_name=split,
        split_kind=split,
        storage_ref=f"corpus/{shard_id}.bin",
        shard_digest=sha256(shard_id.encode()).hex(),
        sequence_count=sequences,
        token_count=sequences * SEQUENCE_TOKENS,
        min_sequence_tokens=SEQUENCE_TOKENS,
        max_sequence_tokens=SEQUENCE_TOKENS,
        tokenizer_digest=tokenizer_digest,
        source_manifest_schema_version="psion.raw_source_manifest.v1",
        preprocessing_version="plain-1",
        packing_policy_version="1",
        source_lineage=[
            ShardSource(
                source_id=source_id,
                source_family_id=family,
                source_normalized_digest=sha256(f"{split}/{family}/{source_id}".encode()).hex(),
            )
            for source_id in SOURCES[family]
        ],
    )


def small_corpus(*, sampler_seed: int = 7) -> TokenizedCorpus:
    binding = small_descriptor().tokenizer_binding
    shards = [_shard(split, family, n, binding.tokenizer_digest) for (split, family), n in SIZES.items()]
    splits: list[CorpusSplit] = []
    for name in dict.fromkeys(split for split, _ in SIZES):
        own = [shard for shard in shards if shard.split_name == name]
        splits.append(
            CorpusSplit(
                split_name=name,
                kind=name,
                shard_ids=[shard.shard_id for shard in own],
                source_family_ids=[family for split, family in SIZES if split == name],
                sequence_count=sum(shard.sequence_count for shard in own),
                token_count=sum(shard.token_count for shard in own),
            )
        )
    return TokenizedCorpus(
        schema_version="psion.tokenized_corpus_manifest.v1",
        dataset_id="small-corpus",
        dataset_version="1",
        tokenizer_bundle_schema_version="psion.tokenizer_artifact_bundle.v1",
        tokenizer_id=binding.tokenizer_id,
        tokenizer_version=binding.tokenizer_version,
        tokenizer=CorpusTokenizer(
            family="byte_pair_encoding",
            tokenizer_digest=binding.tokenizer_digest,
            vocab_size=binding.vocab_size,
            special_tokens_digest=binding.special_tokens_digest,
        ),
        raw_source_schema_version="psion.raw_source_manifest.v1",
        preprocessing_version="plain-1",
        packing_policy=PackingPolicy(
            policy_id="small-pack",
            policy_version="1",
            packing_mode="pack_into_context_window",
            max_sequence_tokens=SEQUENCE_TOKENS,
            overlong_sequence_posture="refuse",
        ),
        replay_contract=ReplayContract(
            iteration_mode="repeat",
            shard_ordering="deterministic_shuffle",
            deterministic_shuffle_seed=sampler_seed,
            stable_dataset_identity="small-corpus@1",
        ),
        source_family_bindings=[
            SourceFamilyBinding(source_family_id=family, source_ids=sources) for family, sources in SOURCES.items()
        ],
        splits=splits,
        shards=shards,
    )


def small_policy() -> SamplingPolicy:
    return SamplingPolicy(
        schema_version="psion.sampling_policy.v1",
        tokenized_corpus_schema_version="psion.tokenized_corpus_manifest.v1",
        raw_source_schema_version="psion.raw_source_manifest.v1",
        dataset_identity="small-corpus@1",
        policy_id="small-mix",
        policy_version="1",
        packing_policy_version="1",
        maximum_code_token_ratio_bps=5000,
        source_family_weights=[
            SourceFamilyWeight(
                source_family_id="library_code",
                content_class="code",
                sampling_weight_bps=4000,
                maximum_family_token_share_bps=5000,
                rationale="Code is the smaller part.",
            ),
            SourceFamilyWeight(
                source_family_id="library_docstrings",
                content_class="prose",
                sampling_weight_bps=6000,
                maximum_family_token_share_bps=7000,
                rationale="Prose leads.",
            ),
        ],
        source_contribution_caps=[
            SourceContributionCap(source_id=source, maximum_source_token_share_bps=8000, rationale="None may fill it.")
            for source in ("asyncio", "json", "typing")
        ],
        repetitive_region_controls=[],
        content_class_token_share_report=[
            ContentClassShare(content_class="prose", observed_token_share_bps=6000),
            ContentClassShare(content_class="spec_text", observed_token_share_bps=0),
            ContentClassShare(content_class="code", observed_token_share_bps=4000),
        ],
        regression_thresholds=[
            RegressionThreshold(regression_kind=kind, maximum_regression_bps=100, rationale="It may not fall far.")
            for kind in (
                "explanation_quality",
                "spec_interpretation",
                "tradeoff_reasoning",
                "invariant_articulation",
                "coding_fluency",
            )
        ],
    )


def small_plan(
    *,
    horizon_steps: int = 4,
    global_batch_sequences: int = 8,
    micro_batch_sequences: int = 4,
    sampler_seed: int = 7,
) -> SamplingPlan:
    families, sets, first = [], [], 0
    for (split, family), sequences in SIZES.items():
        families.append(
            PlanFamily(
                split_name=split,
                split_kind=split,
                source_family_id=family,
                first_sequence_id=first,
                end_sequence_id=first + sequences,
                sequences=sequences,
                tokens=sequences * SEQUENCE_TOKENS,
                shard_ids=[f"{split}-{family}-0000"],
            )
        )
        sets.append(
            EvaluationSet(
                evaluation_set="train_probe" if split == "train" else split,
                split_name=split,
                source_family_id=family,
                first_sequence_id=first,
                end_sequence_id=first + (EVALUATED_SEQUENCES - 1) * 2 + 1,
                stride=2,
                sequences=EVALUATED_SEQUENCES,
            )
        )
        first += sequences
    return SamplingPlan(
        schema_version="psion_ledger.sampling_plan.v1",
        dataset_identity="small-corpus@1",
        families=families,
        order=PlanOrder(
            kind="derived", name="psion.weighted_cycle", version="1", seed=sampler_seed, may_repeat="anything"
        ),
        unit="sequence",
        sequence_tokens=SEQUENCE_TOKENS,
        token_dtype="uint16",
        targets="all_but_first",
        passes=Passes(end="spans"),
        batch=BatchRule(
            schedule=[BatchSize(first_step=1, sequences=global_batch_sequences)],
            micro_batch_sequences=micro_batch_sequences,
        ),
        ranks=RankRule(layout="rank_major", take="contiguous"),
        horizon_steps=horizon_steps,
        evaluation_sets=sets,
        evaluations=Cadence(every_steps=2, at_start=True, at_end=True),
        checkpoints=Cadence(every_steps=2, at_start=True, at_end=True),
        loss_divisor="target_tokens",
        norm_is_global=True,
        rate_is_global=True,
    )


def config_for(
    descriptor: ModelDescriptor, corpus: TokenizedCorpus, policy: SamplingPolicy, *, run_id: str = "run-small"
) -> PretrainStageConfig:
    """The stage config bound to these three documents."""
    binding_digest = tokenizer_binding_digest(descriptor.tokenizer_binding)
    return PretrainStageConfig(
        schema_version="psion.pretrain_stage_config.v1",
        run_id=run_id,
        stage_id=f"{run_id}-stage-1-pretrain",
        stage_kind="pretrain",
        model_id=descriptor.model.model_id,
        model_descriptor_digest=model_descriptor_digest(descriptor),
        tokenizer_binding_digest=binding_digest,
        dataset_identity=corpus.identity,
        sampling_policy_id=policy.policy_id,
        sampling_policy_version=policy.policy_version,
        objective_config=ObjectiveConfig(
            objective_kind="next_token_prediction",
            loss_normalization="by_target_token",
            label_smoothing_bps=0,
            tokenizer_binding_digest=binding_digest,
            dataset_identity=corpus.identity,
            max_context_tokens=descriptor.config.max_context,
        ),
    )


def config_of(contracts: Contracts) -> PretrainStageConfig:
    """The stage config of contracts that have one."""
    assert contracts.stage_config is not None
    return contracts.stage_config


def descriptor_of(contracts: Contracts) -> ModelDescriptor:
    """The model descriptor of contracts that have one."""
    assert isinstance(contracts.model_descriptor, ModelDescriptor)
    return contracts.model_descriptor


def corpus_of(contracts: Contracts) -> TokenizedCorpus:
    """The tokenized corpus of contracts that have one."""
    assert contracts.tokenized_corpus is not None
    return contracts.tokenized_corpus


def policy_of(contracts: Contracts) -> SamplingPolicy:
    """The sampling policy of contracts that have one."""
    assert contracts.sampling_policy is not None
    return contracts.sampling_policy


def small_contracts(
    *,
    run_id: str = "run-small",
    horizon_steps: int = 4,
    global_batch_sequences: int = 8,
    micro_batch_sequences: int = 4,
    sampler_seed: int = 7,
    **overrides: Document,
) -> Contracts:
    """A valid set: two train families, their validation, one held-out family; 100 sequences of 32 tokens.

    `overrides` replace whole documents by role afterwards; the others are not adapted to them.
    """
    descriptor, policy = small_descriptor(), small_policy()
    corpus = small_corpus(sampler_seed=sampler_seed)
    contracts = Contracts(
        stage_config=config_for(descriptor, corpus, policy, run_id=run_id),
        model_descriptor=descriptor,
        tokenized_corpus=corpus,
        sampling_policy=policy,
        sampling_plan=small_plan(
            horizon_steps=horizon_steps,
            global_batch_sequences=global_batch_sequences,
            micro_batch_sequences=micro_batch_sequences,
            sampler_seed=sampler_seed,
        ),
    )
    return msgspec.structs.replace(contracts, **overrides)
