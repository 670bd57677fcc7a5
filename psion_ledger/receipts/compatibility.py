"""The original validator's verdict on a stage config and its receipt, by the names that it gives.

Its checks stand here in its order, so that the first failure is the verdict; none of them is our own opinion of the
documents (`strict` has that). Reading is the original's too: see `reading`, `original_types`, `original_json`.
"""

import functools
from typing import TypeVar

import msgspec

from psion_ledger.contracts import model_descriptor_digest, tokenizer_binding_digest
from psion_ledger.contracts.model_descriptor import ModelDescriptor
from psion_ledger.contracts.sampling_policy import SamplingPolicy
from psion_ledger.contracts.stage_config import SCHEMA_VERSION as CONFIG_VERSION
from psion_ledger.contracts.stage_config import PretrainStageConfig
from psion_ledger.contracts.tokenized_corpus import TokenizedCorpus
from psion_ledger.contracts.values import TOTAL_BPS, is_blank
from psion_ledger.errors import ContractRefused
from psion_ledger.receipts import digests
from psion_ledger.receipts.documents import SCHEMA_VERSION as RECEIPT_VERSION
from psion_ledger.receipts.documents import PretrainStageReceipt, SourceFamilyReport
from psion_ledger.receipts.reading import read_config, read_receipt, read_with_care

T = TypeVar("T", bound=msgspec.Struct)
OK = "ok"
_SIX = (
    "model_id", "model_descriptor_digest", "tokenizer_binding_digest", "dataset_identity", "sampling_policy_id",
    "sampling_policy_version",
)  # fmt: skip


class OriginalInputs:
    """The three documents that a config and a receipt are checked against, parsed and digested once.

    Raises ContractRefused when the original could not read one of them.
    """

    def __init__(self, *, model_descriptor: bytes, tokenized_corpus: bytes, sampling_policy: bytes) -> None:
        self.descriptor = _input(ModelDescriptor, "model_descriptor", model_descriptor)
        self.corpus = _input(TokenizedCorpus, "tokenized_corpus", tokenized_corpus)
        self.policy = _input(SamplingPolicy, "sampling_policy", sampling_policy)
        self.descriptor_digest = model_descriptor_digest(self.descriptor)
        self.binding_digest = tokenizer_binding_digest(self.descriptor.tokenizer_binding)
        self.splits = {split.split_name: split for split in self.corpus.splits}
        self.sources = {b.source_family_id: frozenset(b.source_ids) for b in self.corpus.source_family_bindings}

    def verdict(self, config_json: bytes, receipt_json: bytes) -> tuple[str, str]:
        """As `original_verdict`."""
        config, receipt = read_config(config_json), read_receipt(receipt_json)
        if config is None:
            return "parse", "parse" if receipt is None else "not_run"
        of_config = _check_config(config, self)
        if receipt is None:
            return of_config or OK, "parse"
        return of_config or OK, of_config or _check_receipt(receipt, config, self) or OK


def original_verdict(
    config_json: bytes,
    receipt_json: bytes,
    *,
    model_descriptor: bytes,
    tokenized_corpus: bytes,
    sampling_policy: bytes,
) -> tuple[str, str]:
    """The original's verdict names for a config and its receipt: `ok`, `parse`, `not_run` (the receipt, when its
    config did not parse), or the error variant of the first check that fails.

    Raises ContractRefused when one of the three other documents cannot be read. To check many documents against the
    same three, use `OriginalInputs`.
    """
    return _inputs(model_descriptor, tokenized_corpus, sampling_policy).verdict(config_json, receipt_json)


@functools.lru_cache(maxsize=8)
def _inputs(model_descriptor: bytes, tokenized_corpus: bytes, sampling_policy: bytes) -> OriginalInputs:
    return OriginalInputs(
        model_descriptor=model_descriptor, tokenized_corpus=tokenized_corpus, sampling_policy=sampling_policy
    )


def _input(kind: type[T], role: str, data: bytes) -> T:
    if (document := read_with_care(kind, data)) is None:
        raise ContractRefused(f"{role}#: the original cannot read this document; give its own text")
    return document


# ---- Checks, in the original's order: the name of the first failure, or None ----


def _same(actual: str, expected: str) -> str | None:
    if is_blank(actual):
        return "MissingField"
    return None if actual == expected else "FieldMismatch"


def _version(actual: str, expected: str) -> str | None:
    if actual == expected:
        return None
    return "MissingField" if is_blank(actual) else "SchemaVersionMismatch"


def _check_config(config: PretrainStageConfig, inputs: OriginalInputs) -> str | None:
    if failure := _version(config.schema_version, CONFIG_VERSION):
        return failure
    if is_blank(config.run_id) or is_blank(config.stage_id):
        return "MissingField"
    if config.stage_kind != "pretrain":
        return "StageKindMismatch"
    policy, objective = inputs.policy, config.objective_config
    failure = (
        _same(config.model_id, inputs.descriptor.model.model_id)
        or _same(config.model_descriptor_digest, inputs.descriptor_digest)
        or _same(config.tokenizer_binding_digest, inputs.binding_digest)
        or _same(config.dataset_identity, inputs.corpus.identity)
        or _same(config.dataset_identity, policy.dataset_identity)
        or _same(config.sampling_policy_id, policy.policy_id)
        or _same(config.sampling_policy_version, policy.policy_version)
    )
    if failure:
        return failure
    if objective.label_smoothing_bps > TOTAL_BPS:
        return "InvalidBpsValue"
    failure = _same(objective.tokenizer_binding_digest, inputs.binding_digest) or _same(
        objective.dataset_identity, inputs.corpus.identity
    )
    if failure:
        return failure
    return None if objective.max_context_tokens == inputs.descriptor.config.max_context else "ContextLengthMismatch"


def _check_receipt(receipt: PretrainStageReceipt, config: PretrainStageConfig, inputs: OriginalInputs) -> str | None:
    failure = (
        _version(receipt.schema_version, RECEIPT_VERSION)
        or _same(receipt.run_id, config.run_id)
        or _same(receipt.stage_id, config.stage_id)
    )
    if failure:
        return failure
    if receipt.stage_kind != "pretrain":
        return "StageKindMismatch"
    for name in _SIX:
        if failure := _same(getattr(receipt, name), getattr(config, name)):
            return failure
    if receipt.objective_config != config.objective_config:
        return "ObjectiveConfigMismatch"
    failure = (
        _check_rows(receipt.source_family_reports, inputs)
        or _check_splits(receipt.source_family_reports, inputs)
        or _check_replay(receipt, inputs)
        or _check_lineage(receipt, config)
        or _check_execution(receipt)
    )
    if failure:
        return failure
    if is_blank(receipt.summary):
        return "MissingField"
    return None if receipt.receipt_digest == digests.receipt_digest(receipt) else "ReceiptDigestMismatch"


def _check_rows(rows: list[SourceFamilyReport], inputs: OriginalInputs) -> str | None:
    seen: set[tuple[str, str]] = set()
    for row in rows:
        pair = (row.split_name, row.source_family_id)
        split = inputs.splits.get(row.split_name)
        if is_blank(row.split_name) or is_blank(row.source_family_id) or is_blank(row.detail):
            return "MissingField"
        if pair in seen:
            return "DuplicateSourceFamilyReportRow"
        if split is None:
            return "UnknownSplitName"
        if row.split_kind != split.kind:
            return "SplitKindMismatch"
        if row.source_family_id not in split.source_family_ids:
            return "UnknownSourceFamilyForSplit"
        if not row.source_ids:
            return "MissingField"
        if not inputs.sources.get(row.source_family_id, frozenset()).issuperset(row.source_ids):
            return "UnknownSourceIdForFamily"
        if max(row.token_share_bps_within_split, row.sequence_share_bps_within_split) > TOTAL_BPS:
            return "InvalidBpsValue"
        seen.add(pair)
    return None


def _check_splits(rows: list[SourceFamilyReport], inputs: OriginalInputs) -> str | None:
    for split in inputs.corpus.splits:
        own = [row for row in rows if row.split_name == split.split_name]
        if {row.source_family_id for row in own} != set(split.source_family_ids):
            return "SourceFamilyCoverageMismatch"
        if sum(row.token_share_bps_within_split for row in own) != TOTAL_BPS:
            return "InvalidSplitShareTotal"
        if sum(row.sequence_share_bps_within_split for row in own) != TOTAL_BPS:
            return "InvalidSplitShareTotal"
    return None


def _check_replay(receipt: PretrainStageReceipt, inputs: OriginalInputs) -> str | None:
    replay, promised = receipt.replay_receipt, inputs.corpus.replay_contract
    if is_blank(replay.receipt_id) or is_blank(replay.summary):
        return "MissingField"
    if failure := _same(replay.stable_dataset_identity, inputs.corpus.identity):
        return failure
    found = (replay.iteration_mode, replay.shard_ordering, replay.deterministic_shuffle_seed)
    if found != (promised.iteration_mode, promised.shard_ordering, promised.deterministic_shuffle_seed):
        return "ReplayContractMismatch"
    if replay.successful_replays == 0:
        return "MissingSuccessfulReplay"
    return None if replay.replay_digest == digests.replay_digest(replay) else "ReplayDigestMismatch"


def _check_lineage(receipt: PretrainStageReceipt, config: PretrainStageConfig) -> str | None:
    lineage = receipt.checkpoint_lineage
    if is_blank(lineage.receipt_id) or is_blank(lineage.promoted_checkpoint_label):
        return "MissingField"
    failure = _same(lineage.model_id, config.model_id) or _same(
        lineage.model_descriptor_digest, config.model_descriptor_digest
    )
    if failure:
        return failure
    family, base = lineage.promoted_checkpoint.checkpoint_family, lineage.base_checkpoint
    if is_blank(family):
        return "MissingField"
    if base is not None and base.checkpoint_family != family:
        return "CheckpointFamilyMismatch"
    digest = digests.checkpoint_lineage_digest(lineage)
    return None if lineage.checkpoint_lineage_digest == digest else "CheckpointLineageDigestMismatch"


def _check_execution(receipt: PretrainStageReceipt) -> str | None:
    delivered, accelerator = receipt.delivered_execution, receipt.accelerator_execution
    if delivered is not None:
        topology = delivered.execution_topology
        if is_blank(delivered.runtime_backend):
            return "MissingField"
        if not delivered.selected_devices:
            return "InvalidDeliveredExecution"
        if topology is not None and topology.effective_backend != delivered.runtime_backend:
            return "InvalidDeliveredExecution"
    if accelerator is not None:
        if is_blank(accelerator.detail):
            return "MissingField"
        if 0 in (accelerator.optimizer_steps_completed, accelerator.mean_step_latency_ms) or delivered is None:
            return "InvalidDeliveredExecution"
    return None
