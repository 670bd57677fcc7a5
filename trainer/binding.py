"""What a run of this trainer promises: its contracts, bound to each other, and what they say of its settings again."""

import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from psion_ledger import Past, contracts, orders
from psion_ledger.errors import CannotDecide
from trainer import environment
from trainer.config import ANCHORS, Settings
from trainer.promises import sampling_plan
from trainer.sizes import ModelSize
from trainer.tokenizer import promised_shards


def stage_id(run_id: str) -> str:
    return f"{run_id}-stage-1-pretrain"


def bind(run_id: str, settings: Settings, manifest: object, policy: object, plan: object) -> contracts.Contracts:
    """The five contracts, checked against each other; raises ContractRefused.

    The three given are plain data; the model descriptor and the stage config follow from them.
    """
    corpus = contracts.decode_document("tokenized_corpus", json.dumps(manifest))
    mixture = contracts.decode_document("sampling_policy", json.dumps(policy))
    binding = contracts.TokenizerBinding(
        tokenizer_id=corpus.tokenizer_id,
        tokenizer_version=corpus.tokenizer_version,
        tokenizer_family="byte_pair_encoding",
        tokenizer_digest=corpus.tokenizer.tokenizer_digest,
        vocab_size=corpus.tokenizer.vocab_size,
        special_tokens_digest=corpus.tokenizer.special_tokens_digest,
    )
    descriptor = contracts.describe(
        msgspec.convert(settings.anchor, contracts.SizeAnchor),
        model_id=f"psion-compact-decoder-{settings.anchor}-v1",
        revision="v1",
        vocab_size=corpus.tokenizer.vocab_size,
        max_context=settings.context,
        tokenizer_binding=binding,
    )
    binding_digest = contracts.tokenizer_binding_digest(binding)
    config = contracts.PretrainStageConfig(
        schema_version=contracts.DOCUMENTS["stage_config"][1],
        run_id=run_id,
        stage_id=stage_id(run_id),
        stage_kind="pretrain",
        model_id=descriptor.model.model_id,
        model_descriptor_digest=contracts.model_descriptor_digest(descriptor),
        tokenizer_binding_digest=binding_digest,
        dataset_identity=corpus.identity,
        sampling_policy_id=mixture.policy_id,
        sampling_policy_version=mixture.policy_version,
        objective_config=contracts.ObjectiveConfig(
            objective_kind="next_token_prediction",
            loss_normalization="by_target_token",
            label_smoothing_bps=settings.label_smoothing_bps,
            tokenizer_binding_digest=binding_digest,
            dataset_identity=corpus.identity,
            max_context_tokens=settings.context,
        ),
    )
    bound = contracts.Contracts(
        stage_config=config,
        model_descriptor=descriptor,
        tokenized_corpus=corpus,
        sampling_policy=mixture,
        sampling_plan=contracts.decode_document("sampling_plan", json.dumps(plan)),
    )
    orders.require_bound(bound)
    return bound


def model_size(settings: Settings, vocab: int) -> ModelSize:
    """Of the model that an anchor gives for a vocabulary, before there is one."""
    binding = contracts.TokenizerBinding(
        tokenizer_id="", tokenizer_version="", tokenizer_family="byte_pair_encoding", tokenizer_digest="",
        vocab_size=vocab, special_tokens_digest="",
    )  # fmt: skip
    descriptor = contracts.describe(
        msgspec.convert(settings.anchor, contracts.SizeAnchor),
        model_id="", revision="", vocab_size=vocab, max_context=settings.context, tokenizer_binding=binding,
    )  # fmt: skip
    return _size_of(descriptor)


def _size_of(descriptor: contracts.ModelDescriptor) -> ModelSize:
    config = descriptor.config
    return ModelSize(
        parameters=descriptor.parameter_count_estimate,
        layer_count=config.layer_count,
        hidden_size=config.hidden_size,
        vocab=config.vocab_size,
    )


@dataclass(frozen=True, kw_only=True)
class Promised:
    """What a run's contracts and its last attempt say of its settings, and the size of its model."""

    settings: dict[str, Any]
    size: ModelSize


def promises_of(past: Past, world_size: int) -> Promised:
    """What a run's declared contracts promise. Raises CannotDecide unless they hold, and this trainer can keep them:
    whoever wrote the ledger, training is built from them."""
    run, bound = past.folder, past.contracts
    if bound is None:
        raise CannotDecide(f"run {run.name}: it promises nothing; {_to_see(run)}")
    plan, descriptor, config = bound.sampling_plan, bound.model_descriptor, bound.stage_config
    if not isinstance(descriptor, contracts.ModelDescriptor) or config is None or bound.tokenized_corpus is None:
        raise CannotDecide(f"run {run.name}: it promises no stage of a compact decoder; {_to_see(run)}")
    if any(len(family.shard_ids) != 1 for family in plan.families):
        raise CannotDecide(f"run {run.name}: this trainer writes one shard a family; {_to_see(run)}")
    settings = _settings_of(plan, world_size)
    if settings is None or plan != _made_here(settings, past.documents, past.start.world if past.start else world_size):
        raise CannotDecide(f"run {run.name}: its plan is none that this trainer makes; {_to_see(run)}")
    settings |= {
        "anchor": descriptor.size_anchor,
        "label_smoothing_bps": config.objective_config.label_smoothing_bps,
        "threads": (past.start.threads if past.start else None) or environment.default_threads(),
    }
    return Promised(settings=settings, size=_size_of(descriptor))


def _settings_of(plan: contracts.SamplingPlan, world_size: int) -> dict[str, Any] | None:
    """The settings that a plan says; null for one that says none of them."""
    schedule, micro, saves, evaluations = (
        plan.batch.schedule, plan.batch.micro_batch_sequences, plan.checkpoints, plan.evaluations
    )  # fmt: skip
    if not schedule or micro is None or saves is None or evaluations is None:
        return None
    settings = {
        "context": plan.sequence_tokens,
        "batch": schedule[0].sequences,
        "micro_steps": max(1, schedule[0].sequences // (micro * world_size)),
        "steps": plan.horizon_steps,
        "checkpoint_every_steps": saves.every_steps,
        "evaluate_every_steps": evaluations.every_steps,
        "evaluation_sequences": max((row.sequences for row in plan.evaluation_sets), default=1),
        "seed": plan.order.seed,
    }
    return None if None in settings.values() else settings


def _made_here(settings: dict[str, Any], documents: dict[str, str], world_size: int) -> contracts.SamplingPlan:
    """The plan that this trainer makes from these settings over the shards that the documents name."""
    plan, manifest = (json.loads(documents[role]) for role in ("sampling_plan", "tokenized_corpus"))
    made = sampling_plan(replace(ANCHORS["smoke"], **settings), manifest, promised_shards(plan, manifest), world_size)
    return contracts.decode_document("sampling_plan", json.dumps(made))


def _to_see(run: Path) -> str:
    command = shlex.join(["psion-ledger", "audit", run.name, "--ledger", str(run.parent)])
    return f"`{command}` shows what is wrong"
