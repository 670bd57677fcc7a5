"""`psion.pretrain_stage_receipt.v1`: what one pretrain stage consumed, measured, replayed and promoted."""

from typing import Literal

from psion_ledger.contracts.base_checkpoint import CheckpointReference
from psion_ledger.contracts.stage_config import ObjectiveConfig
from psion_ledger.contracts.values import U16, U32, U64, IterationMode, Part, ShardOrdering
from psion_ledger.events import SplitKind, StageKind

SCHEMA_VERSION = "psion.pretrain_stage_receipt.v1"

TopologyKind = Literal["single_device", "replicated", "pipeline_sharded", "layer_sharded", "tensor_sharded"]
PerformanceClass = Literal["reference", "integrated_accelerator", "discrete_accelerator", "partitioned_accelerator"]
MemoryClass = Literal["host_only", "shared_host_device", "dedicated_device"]


class SourceFamilyReport(Part, frozen=True, kw_only=True):
    """One family of one split.

    split_name, split_kind: the split. source_family_id: the family.
    source_ids: its sources, at least one.
    token_share_bps_within_split: its part of the split's tokens, in basis points.
    sequence_share_bps_within_split: its part of the split's sequences, in basis points.
    mean_next_token_loss_milli: loss in thousandths of a nat a target token, on the promoted weights.
    detail: one sentence.
    """

    split_name: str
    split_kind: SplitKind
    source_family_id: str
    source_ids: list[str]
    token_share_bps_within_split: U32
    sequence_share_bps_within_split: U32
    mean_next_token_loss_milli: U32
    detail: str


class ReplayReceipt(Part, frozen=True, kw_only=True):
    """What replaying the order showed.

    receipt_id: its name.
    stable_dataset_identity, iteration_mode, shard_ordering, deterministic_shuffle_seed: as in the corpus's
    replay contract.
    successful_replays: complete passes equal to what was trained on.
    exact_replay_observed: at least one pass, and none that differs.
    replay_digest: hex digest of the other fields.
    summary: one sentence.
    """

    receipt_id: str
    stable_dataset_identity: str
    iteration_mode: IterationMode
    shard_ordering: ShardOrdering
    deterministic_shuffle_seed: U64
    successful_replays: U16
    exact_replay_observed: bool
    replay_digest: str
    summary: str


class CheckpointLineage(Part, frozen=True, kw_only=True):
    """What was promoted and what it grew from.

    receipt_id: its name.
    promoted_checkpoint: what the stage hands on.
    base_checkpoint: what the stage began from, where it did not begin from nothing.
    promoted_checkpoint_label: the promoted one's name.
    model_id, model_descriptor_digest: the model in it.
    checkpoint_lineage_digest: hex digest of what identifies both.
    """

    receipt_id: str
    promoted_checkpoint: CheckpointReference
    base_checkpoint: CheckpointReference | None = None
    promoted_checkpoint_label: str
    model_id: str
    model_descriptor_digest: str
    checkpoint_lineage_digest: str


class DevicePlacement(Part, frozen=True, kw_only=True):
    """stable_device_id: a device. topology_key: its bus address, if any. placement_index: from 0."""

    stable_device_id: str
    topology_key: str | None = None
    placement_index: U64


class Partition(Part, frozen=True, kw_only=True):
    """kind: which part of the model a device holds; the original's other kinds have fields unknown here."""

    kind: Literal["whole_model"]


class ShardAssignment(Part, frozen=True, kw_only=True):
    """shard_id: from 0. device: where it runs. partition: what of the model."""

    shard_id: U64
    device: DevicePlacement
    partition: Partition


class ExecutionTopology(Part, frozen=True, kw_only=True):
    """effective_backend: the runtime's. kind: how the model is spread. assignments: one for each part."""

    effective_backend: str
    kind: TopologyKind
    assignments: list[ShardAssignment]


class DeviceInventory(Part, frozen=True, kw_only=True):
    """A device that ran the stage.

    stable_device_id: its name. topology_key: its bus address, where it has one.
    performance_class, memory_class: what sort it is.
    total_memory_bytes, free_memory_bytes: its memory, in bytes, where known.
    """

    stable_device_id: str
    topology_key: str | None = None
    performance_class: PerformanceClass
    memory_class: MemoryClass
    total_memory_bytes: U64 | None = None
    free_memory_bytes: U64 | None = None


class ClusterExecution(Part, frozen=True, kw_only=True):
    """A stage that a cluster ran; of the original's labels only `local_only` is known.

    cluster_id, scheduler_node_id: who ran it.
    cluster_state_digest, topology_digest: of its state and devices.
    transport, disposition: how the work travelled and where it ended.
    """

    cluster_id: str
    cluster_state_digest: str
    topology_digest: str
    scheduler_node_id: str
    transport: Literal["local_only"]
    disposition: Literal["local_only"]


class DeliveredExecution(Part, frozen=True, kw_only=True):
    """What the stage ran on.

    runtime_backend: such as `cpu` or `cuda`.
    execution_topology: how the model was spread, where that was planned.
    selected_devices: the devices, at least one.
    cluster_execution: the cluster, where there was one.
    """

    runtime_backend: str
    execution_topology: ExecutionTopology | None = None
    selected_devices: list[DeviceInventory]
    cluster_execution: ClusterExecution | None = None


class AcceleratorExecution(Part, frozen=True, kw_only=True):
    """What an accelerator did.

    accelerator_backed: whether one did. optimizer_steps_completed: steps, at least 1.
    mean_step_latency_ms: milliseconds a step, at least 1. detail: one sentence.
    """

    accelerator_backed: bool
    optimizer_steps_completed: U32
    mean_step_latency_ms: U64
    detail: str


class PretrainStageReceipt(Part, frozen=True, kw_only=True):
    """The stage's receipt.

    schema_version: `psion.pretrain_stage_receipt.v1`.
    run_id, stage_id, stage_kind, model_id, model_descriptor_digest, tokenizer_binding_digest,
    dataset_identity, sampling_policy_id, sampling_policy_version, objective_config: as in the stage config.
    source_family_reports: one for each family of each split.
    replay_receipt: what replaying showed. checkpoint_lineage: what was promoted.
    delivered_execution, accelerator_execution: what it ran on, where that is reported.
    summary: one sentence.
    receipt_digest: hex digest of what the original's digest covers.
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
    source_family_reports: list[SourceFamilyReport]
    replay_receipt: ReplayReceipt
    checkpoint_lineage: CheckpointLineage
    delivered_execution: DeliveredExecution | None = None
    accelerator_execution: AcceleratorExecution | None = None
    summary: str
    receipt_digest: str
