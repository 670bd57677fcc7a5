"""The five contracts against each other: everything that must agree before the first batch."""

import msgspec

from psion_ledger.contracts import (
    corpus_rules,
    descriptor_rules,
    plan_rules,
    sampling_policy,
    stage_config,
)
from psion_ledger.contracts.digests import model_descriptor_digest, tokenizer_binding_digest
from psion_ledger.contracts.finding import ContractFinding, Findings, covers, equal, same_text
from psion_ledger.contracts.model_descriptor import ModelDescriptor
from psion_ledger.contracts.plan_binding import plan_against_corpus, plan_against_model
from psion_ledger.contracts.sampling_plan import SamplingPlan
from psion_ledger.contracts.sampling_policy import SamplingPolicy
from psion_ledger.contracts.stage_config import PretrainStageConfig
from psion_ledger.contracts.tokenized_corpus import TokenizedCorpus
from psion_ledger.contracts.values import is_blank


class Contracts(msgspec.Struct, frozen=True, kw_only=True):
    """What a run promises, one document a field; the fields' names are the contract roles."""

    stage_config: PretrainStageConfig
    model_descriptor: ModelDescriptor
    tokenized_corpus: TokenizedCorpus
    sampling_policy: SamplingPolicy
    sampling_plan: SamplingPlan


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
    descriptor, corpus = contracts.model_descriptor, contracts.tokenized_corpus
    policy, plan = contracts.sampling_policy, contracts.sampling_plan
    return [
        *descriptor_rules.rules(descriptor),
        *corpus_rules.rules(corpus),
        *sampling_policy.rules(policy),
        *plan_rules.rules(plan),
        *config_findings(contracts.stage_config, descriptor, corpus, policy),
        *_tokenizer_findings(descriptor, corpus),
        *_policy_findings(policy, corpus),
        *plan_against_model(plan, descriptor),
        *plan_against_corpus(plan, corpus),
    ]
