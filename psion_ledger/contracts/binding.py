"""The contracts against each other: everything that must agree before the first batch."""

from typing import get_args

import msgspec

from psion_ledger.contracts import (
    base_checkpoint,
    corpus_rules,
    descriptor_rules,
    plan_rules,
    sampling_policy,
    stage_config,
    tensor_layout,
    token_data_rules,
)
from psion_ledger.contracts.base_checkpoint import BaseCheckpoint
from psion_ledger.contracts.digests import model_descriptor_digest, tokenizer_binding_digest
from psion_ledger.contracts.finding import ContractFinding, Findings, covers, equal, same_text
from psion_ledger.contracts.model_descriptor import ModelDescriptor
from psion_ledger.contracts.plan_binding import plan_against_corpus, plan_against_model, vocabulary_of
from psion_ledger.contracts.sampling_plan import SamplingPlan
from psion_ledger.contracts.sampling_policy import SamplingPolicy
from psion_ledger.contracts.stage_config import PretrainStageConfig
from psion_ledger.contracts.tensor_layout import TensorLayout
from psion_ledger.contracts.token_data import ROLE as TOKEN_DATA
from psion_ledger.contracts.token_data import TokenData
from psion_ledger.contracts.tokenized_corpus import TokenizedCorpus
from psion_ledger.contracts.values import is_blank
from psion_ledger.events import ContractRole

AnyDocument = (
    SamplingPlan | PretrainStageConfig | ModelDescriptor | TensorLayout | TokenizedCorpus | SamplingPolicy
    | BaseCheckpoint | TokenData
)  # fmt: skip


class Contracts(msgspec.Struct, frozen=True, kw_only=True):
    """What a run promises, one document a field; the fields' names are the contract roles. What is null is not
    promised: every run has a plan."""

    sampling_plan: SamplingPlan
    stage_config: PretrainStageConfig | None = None
    model_descriptor: ModelDescriptor | TensorLayout | None = None
    tokenized_corpus: TokenizedCorpus | None = None
    sampling_policy: SamplingPolicy | None = None
    base_checkpoint: BaseCheckpoint | None = None
    token_data: TokenData | None = None

    @property
    def documents(self) -> dict[ContractRole, AnyDocument]:
        """Those that are promised, by role, in the order in which a run declares them."""
        roles: tuple[ContractRole, ...] = get_args(ContractRole)
        return {role: document for role in roles if (document := getattr(self, role, None)) is not None}


def config_findings(
    config: PretrainStageConfig, descriptor: ModelDescriptor, corpus: TokenizedCorpus, policy: SamplingPolicy
) -> list[ContractFinding]:
    """Every check of the original on the stage config, in its order; it stops at the first, this does not."""
    at, binding_digest = stage_config.ROLE + "#", tokenizer_binding_digest(descriptor.tokenizer_binding)
    objective = config.objective_config
    found = [*stage_config.header_rules(config)]
    found += same_text(f"{at}/model_id", descriptor.model.model_id, config.model_id)
    digest = model_descriptor_digest(descriptor)
    found += same_text(f"{at}/model_descriptor_digest", digest, config.model_descriptor_digest)
    found += same_text(f"{at}/tokenizer_binding_digest", binding_digest, config.tokenizer_binding_digest)
    found += same_text(f"{at}/dataset_identity", corpus.identity, config.dataset_identity)
    if policy.dataset_identity != corpus.identity and not is_blank(config.dataset_identity):
        found += equal(f"{at}/dataset_identity", policy.dataset_identity, config.dataset_identity)
    found += same_text(f"{at}/sampling_policy_id", policy.policy_id, config.sampling_policy_id)
    found += same_text(f"{at}/sampling_policy_version", policy.policy_version, config.sampling_policy_version)
    found += stage_config.smoothing_rules(config)
    at = f"{at}/objective_config"
    found += same_text(f"{at}/tokenizer_binding_digest", binding_digest, objective.tokenizer_binding_digest)
    found += same_text(f"{at}/dataset_identity", corpus.identity, objective.dataset_identity)
    context = descriptor.config.max_context
    found += equal(f"{at}/max_context_tokens", context, objective.max_context_tokens, "ContextLengthMismatch")
    return found


def _tokenizer_findings(descriptor: ModelDescriptor, corpus: TokenizedCorpus) -> Findings:
    """The model's ids must mean what the corpus's ids mean."""
    binding, at = descriptor.tokenizer_binding, "model_descriptor#/tokenizer_binding"
    yield from equal(f"{at}/tokenizer_id", corpus.tokenizer_id, binding.tokenizer_id)
    yield from equal(f"{at}/tokenizer_version", corpus.tokenizer_version, binding.tokenizer_version)
    yield from equal(f"{at}/tokenizer_family", corpus.tokenizer.family, binding.tokenizer_family)
    for name in ("tokenizer_digest", "vocab_size", "special_tokens_digest", "template_digest"):
        yield from equal(f"{at}/{name}", getattr(corpus.tokenizer, name), getattr(binding, name))


def _policy_findings(policy: SamplingPolicy, corpus: TokenizedCorpus) -> Findings:
    at = sampling_policy.ROLE + "#"
    version = policy.tokenized_corpus_schema_version
    yield from equal(f"{at}/tokenized_corpus_schema_version", corpus.schema_version, version)
    version = policy.raw_source_schema_version
    yield from equal(f"{at}/raw_source_schema_version", corpus.raw_source_schema_version, version)
    version = policy.packing_policy_version
    yield from equal(f"{at}/packing_policy_version", corpus.packing_policy.policy_version, version)
    families = corpus.families_seen_in("train")
    yield from covers(f"{at}/source_family_weights", families, policy.weights, "SourceFamilyCoverageMismatch")
    capped = (cap.source_id for cap in policy.source_contribution_caps)
    sources = corpus.sources_seen_in("train")
    yield from covers(f"{at}/source_contribution_caps", sources, capped, "CoverageMismatch")


def check_documents(contracts: Contracts) -> list[ContractFinding]:
    """Every rule of every document, then the bindings: config, policy, plan. An empty list: all hold.

    What an order asks of them is its own (`orders.check_contracts`).
    """
    model, corpus = contracts.model_descriptor, contracts.tokenized_corpus
    policy, plan, config = contracts.sampling_policy, contracts.sampling_plan, contracts.stage_config
    found = _model_rules(model)
    found += corpus_rules.rules(corpus) if corpus is not None else []
    found += sampling_policy.rules(policy) if policy is not None else []
    found += plan_rules.rules(plan)
    found += base_checkpoint.rules(contracts.base_checkpoint) if contracts.base_checkpoint is not None else []
    if config is not None:
        found += _stage_findings(config, contracts)
    if isinstance(model, ModelDescriptor) and corpus is not None:
        found += _tokenizer_findings(model, corpus)
    if policy is not None:
        found += _missing(sampling_policy.ROLE, contracts, "tokenized_corpus")
        found += _policy_findings(policy, corpus) if corpus is not None else []
    found += plan_against_model(plan, model) if model is not None else []
    found += plan_against_corpus(plan, corpus) if corpus is not None else []
    found += _data_findings(contracts.token_data, contracts) if contracts.token_data is not None else []
    return found


def _data_findings(data: TokenData, contracts: Contracts) -> Findings:
    yield from token_data_rules.rules(data)
    yield from token_data_rules.data_against_plan(data, contracts.sampling_plan)
    if contracts.model_descriptor is not None:
        yield from token_data_rules.data_against_vocabulary(data, vocabulary_of(contracts.model_descriptor))
    if contracts.tokenized_corpus is not None:
        expected = "absent where tokenized_corpus is declared"
        yield ContractFinding("ConflictingContract", f"{TOKEN_DATA}#", expected, "both")


def _model_rules(model: ModelDescriptor | TensorLayout | None) -> list[ContractFinding]:
    if isinstance(model, TensorLayout):
        return tensor_layout.rules(model)
    return [] if model is None else descriptor_rules.rules(model)


def _missing(role: str, contracts: Contracts, *needed: str) -> Findings:
    """What a declared document is bound to, and nobody declared."""
    for name in needed:
        if getattr(contracts, name) is None:
            yield ContractFinding("MissingContract", f"{role}#", f"{name} beside it", "not declared")


def _stage_findings(config: PretrainStageConfig, contracts: Contracts) -> list[ContractFinding]:
    """A stage binds a compact decoder, a corpus and a policy; other models have no stage of this kind."""
    needed = ("model_descriptor", "tokenized_corpus", "sampling_policy")
    if missing := list(_missing(stage_config.ROLE, contracts, *needed)):
        return missing
    model, corpus, policy = contracts.model_descriptor, contracts.tokenized_corpus, contracts.sampling_policy
    if not isinstance(model, ModelDescriptor) or corpus is None or policy is None:
        expected, actual = "a compact decoder's descriptor", tensor_layout.SCHEMA_VERSION
        return [ContractFinding("SchemaVersionMismatch", "model_descriptor#/schema_version", expected, actual)]
    return config_findings(config, model, corpus, policy)
