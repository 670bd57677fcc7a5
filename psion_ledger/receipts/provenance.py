"""Where each field of a pretrain stage receipt comes from: nothing in it was typed in.

Keys are JSON pointers (RFC 6901) to the leaves of PretrainStageReceipt, `*` for any place of a list. A source is

    event KIND.FIELD      a recorded fact
    contract ROLE/FIELD   what was promised (`sequence_index` is the Parquet, the others are JSON documents)
    template NAME         a text of `receipts/templates.py`, with derived values put in
    digest NAME           a function of `receipts/digests.py` over other fields of the receipt
    sha256 KIND.FIELD ... the digest of the canonical JSON of recorded facts
    constant VALUE        the same in every receipt
    absent WHY            never there
"""

_CHECKPOINT = "/checkpoint_lineage/promoted_checkpoint"
_CLUSTER = "absent no event records a cluster's scheduler"
_DEVICE = "/delivered_execution/selected_devices/*"
_ASSIGNMENT = "/delivered_execution/execution_topology/assignments/*"
_REPORT = "/source_family_reports/*"
_OBJECTIVE = (
    "objective_kind", "loss_normalization", "label_smoothing_bps", "tokenizer_binding_digest", "dataset_identity",
    "max_context_tokens",
)  # fmt: skip
_CONFIG = (
    "run_id", "stage_id", "stage_kind", "model_id", "model_descriptor_digest", "tokenizer_binding_digest",
    "dataset_identity", "sampling_policy_id", "sampling_policy_version",
)  # fmt: skip
_EXACT = (
    "event verification_started.method", "event verification_started.sample_bps",
    "event verification_completed.batches", "event batch_replayed.token_sha256", "event batch_replayed.sequence_ids",
)  # fmt: skip

PROVENANCE: dict[str, tuple[str, ...]] = {
    "/schema_version": ("constant psion.pretrain_stage_receipt.v1",),
    **{f"/{field}": (f"contract stage_config/{field}",) for field in _CONFIG},
    **{
        f"/objective_config/{field}": (f"contract stage_config/objective_config/{field}",) for field in _OBJECTIVE
    },
    f"{_REPORT}/split_name": ("event split_loss_measured.split_name",),
    f"{_REPORT}/split_kind": ("contract sampling_plan/families/*/split_kind",),
    f"{_REPORT}/source_family_id": ("event split_loss_measured.source_family_id",),
    f"{_REPORT}/source_ids/*": (
        "contract tokenized_corpus/source_family_bindings/*/source_ids/*",
        # Of train: the sources of what was consumed.
        "event batch_replayed.sequence_ids",
        "contract sequence_index/documents",
    ),
    f"{_REPORT}/token_share_bps_within_split": (
        "event batch_replayed.family_tokens",
        "event split_loss_measured.target_tokens",
    ),
    f"{_REPORT}/sequence_share_bps_within_split": (
        "event batch_replayed.sequence_ids",
        "contract sequence_index/source_family_id",
        "event split_loss_measured.sequences",
    ),
    f"{_REPORT}/mean_next_token_loss_milli": (
        "event split_loss_measured.loss_sum_nanonats",
        "event split_loss_measured.target_tokens",
    ),
    f"{_REPORT}/detail": ("template ROW_TRAIN", "template ROW_MEASURED"),
    "/replay_receipt/receipt_id": ("template RECEIPT_ID_REPLAY",),
    "/replay_receipt/stable_dataset_identity": (
        "contract tokenized_corpus/replay_contract/stable_dataset_identity",
    ),
    "/replay_receipt/iteration_mode": ("contract tokenized_corpus/replay_contract/iteration_mode",),
    "/replay_receipt/shard_ordering": ("contract tokenized_corpus/replay_contract/shard_ordering",),
    "/replay_receipt/deterministic_shuffle_seed": (
        "contract tokenized_corpus/replay_contract/deterministic_shuffle_seed",
    ),
    "/replay_receipt/successful_replays": _EXACT,
    "/replay_receipt/exact_replay_observed": _EXACT,
    "/replay_receipt/replay_digest": ("digest replay_digest",),
    "/replay_receipt/summary": ("template REPLAY_SUMMARY", "template REPLAY_EXACT", "template REPLAY_DIFFERS"),
    "/checkpoint_lineage/receipt_id": ("template RECEIPT_ID_LINEAGE",),
    f"{_CHECKPOINT}/checkpoint_family": ("event checkpoint_written.checkpoint_family",),
    f"{_CHECKPOINT}/stream_id": ("template STREAM_ID",),
    f"{_CHECKPOINT}/manifest_digest": ("sha256 checkpoint_written.files",),
    f"{_CHECKPOINT}/object_digest": ("event checkpoint_written.files",),
    f"{_CHECKPOINT}/writer_node_id": ("event checkpoint_written.writer_node_id",),
    f"{_CHECKPOINT}/membership_epoch": ("event stream_opened.attempt",),
    f"{_CHECKPOINT}/cluster_state_digest": (
        "sha256 stream_opened.attempt attempt_started.world_size stream_opened.host",
    ),
    f"{_CHECKPOINT}/topology_digest": (
        "sha256 attempt_started.world_size attempt_started.devices",
    ),
    f"{_CHECKPOINT}/started_at_ms": ("event checkpoint_written.started_at_ns",),
    f"{_CHECKPOINT}/checkpoint_ref": ("template CHECKPOINT_REF",),
    f"{_CHECKPOINT}/step": ("event checkpoint_written.step",),
    f"{_CHECKPOINT}/durable_at_ms": ("event checkpoint_written.durable_at_ns",),
    **{
        f"/checkpoint_lineage/base_checkpoint/{field}": (f"contract base_checkpoint/run/reference/{field}",)
        for field in (
            "checkpoint_family", "stream_id", "manifest_digest", "object_digest", "writer_node_id",
            "membership_epoch", "cluster_state_digest", "topology_digest", "started_at_ms", "checkpoint_ref", "step",
            "durable_at_ms",
        )
    },
    "/checkpoint_lineage/promoted_checkpoint_label": ("event checkpoint_promoted.label",),
    "/checkpoint_lineage/model_id": ("contract stage_config/model_id",),
    "/checkpoint_lineage/model_descriptor_digest": ("contract stage_config/model_descriptor_digest",),
    "/checkpoint_lineage/checkpoint_lineage_digest": ("digest checkpoint_lineage_digest",),
    "/delivered_execution/runtime_backend": ("event attempt_started.devices",),
    "/delivered_execution/execution_topology/effective_backend": ("event attempt_started.devices",),
    "/delivered_execution/execution_topology/kind": ("constant single_device",),
    f"{_ASSIGNMENT}/shard_id": ("constant 0",),
    f"{_ASSIGNMENT}/device/stable_device_id": ("event attempt_started.devices",),
    f"{_ASSIGNMENT}/device/topology_key": ("event attempt_started.devices",),
    f"{_ASSIGNMENT}/device/placement_index": ("constant 0",),
    f"{_ASSIGNMENT}/partition/kind": ("constant whole_model",),
    **{
        f"{_DEVICE}/{field}": ("event attempt_started.devices",)
        for field in (
            "stable_device_id", "topology_key", "performance_class", "memory_class", "total_memory_bytes",
            "free_memory_bytes",
        )
    },
    **{
        f"/delivered_execution/cluster_execution/{field}": (_CLUSTER,)
        for field in (
            "cluster_id", "cluster_state_digest", "topology_digest", "scheduler_node_id", "transport", "disposition",
        )
    },
    "/accelerator_execution/accelerator_backed": ("event attempt_started.devices",),
    "/accelerator_execution/optimizer_steps_completed": ("event step_completed.step", "event attempt_started.devices"),
    "/accelerator_execution/mean_step_latency_ms": ("event step_completed.step_ms", "event attempt_started.devices"),
    "/accelerator_execution/detail": ("template ACCELERATOR_DETAIL",),
    "/summary": ("template SUMMARY",),
    "/receipt_digest": ("digest receipt_digest",),
}  # fmt: skip
