"""`psion.pretrain_stage_config.v1`: what one pretrain stage of one run is bound to."""

from typing import Literal

from psion_ledger.contracts.finding import ContractFinding, Findings, basis_points, equal, present, same_text
from psion_ledger.contracts.values import U32, U64, Part
from psion_ledger.events import StageKind

SCHEMA_VERSION = "psion.pretrain_stage_config.v1"
ROLE = "stage_config"


class ObjectiveConfig(Part, frozen=True, kw_only=True):
    """What is minimised.

    objective_kind: the task; next-token prediction is the only one.
    loss_normalization: the step's loss is a sum over target tokens divided by their number.
    label_smoothing_bps: label smoothing in basis points, 0 to 10,000; never applied to measured losses.
    tokenizer_binding_digest: hex digest of the descriptor's tokenizer binding.
    dataset_identity: `dataset_id@dataset_version` of the corpus.
    max_context_tokens: the model's context length, in tokens.
    """

    objective_kind: Literal["next_token_prediction"]
    loss_normalization: Literal["by_target_token"]
    label_smoothing_bps: U32
    tokenizer_binding_digest: str
    dataset_identity: str
    max_context_tokens: U64


class PretrainStageConfig(Part, frozen=True, kw_only=True):
    """The stage's identity and the documents that it is bound to.

    schema_version: `psion.pretrain_stage_config.v1`.
    run_id: the run.
    stage_id: the stage, `{run_id}-stage-{n}-{kind}`, n from 1.
    stage_kind: must be `pretrain`.
    model_id: the descriptor's model id.
    model_descriptor_digest: hex digest of the whole descriptor.
    tokenizer_binding_digest: hex digest of the descriptor's tokenizer binding.
    dataset_identity: `dataset_id@dataset_version` of the corpus.
    sampling_policy_id: the policy's id.
    sampling_policy_version: the policy's version.
    objective_config: what is minimised, bound to the same tokenizer, corpus and context length.
    """

    schema_version: str
    run_id: str
    stage_id: str
    stage_kind: StageKind
    model_id: str
    model_descriptor_digest: str
    tokenizer_binding_digest: str
    dataset_identity: str
    sampling_policy_id: str
    sampling_policy_version: str
    objective_config: ObjectiveConfig


def header_rules(config: PretrainStageConfig) -> Findings:
    """The first of the original's checks; its bindings to other documents follow, then `smoothing_rules`."""
    at, declared = f"{ROLE}#/schema_version", config.schema_version
    yield from same_text(at, SCHEMA_VERSION, declared, "SchemaVersionMismatch")
    yield from present(f"{ROLE}#/run_id", config.run_id)
    yield from present(f"{ROLE}#/stage_id", config.stage_id)
    yield from equal(f"{ROLE}#/stage_kind", "pretrain", config.stage_kind, "StageKindMismatch")


def smoothing_rules(config: PretrainStageConfig) -> Findings:
    pointer = f"{ROLE}#/objective_config/label_smoothing_bps"
    yield from basis_points(pointer, config.objective_config.label_smoothing_bps)


def rules(config: PretrainStageConfig) -> list[ContractFinding]:
    """What the config must hold by itself."""
    return [*header_rules(config), *smoothing_rules(config)]
