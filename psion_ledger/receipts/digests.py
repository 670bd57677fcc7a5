"""The original's digests of receipts and of the stage program: lowercase hex SHA-256 over UTF-8 text.

Fields are joined by `|`, which nothing escapes inside a field, so different receipts can share a digest. That
is how the original has it; this ledger records receipts by the SHA-256 of their exact bytes instead.
"""

from psion_ledger.contracts.values import debug_name
from psion_ledger.digest import sha256
from psion_ledger.events import StageKind
from psion_ledger.receipts.documents import CheckpointLineage, PretrainStageReceipt, ReplayReceipt


def _joined(*fields: str | int) -> str:
    return sha256("|".join(map(str, fields)).encode()).hex()


def replay_digest(replay: ReplayReceipt) -> str:
    """Over every field but the stored digest itself."""
    return _joined(
        "psion_pretrain_replay_receipt",
        replay.receipt_id,
        replay.stable_dataset_identity,
        debug_name(replay.iteration_mode),
        debug_name(replay.shard_ordering),
        replay.deterministic_shuffle_seed,
        replay.successful_replays,
        "exact" if replay.exact_replay_observed else "non_exact",
        replay.summary,
    )


def checkpoint_lineage_digest(lineage: CheckpointLineage) -> str:
    """Over the ids of the promoted and base checkpoints, the label and the model."""
    promoted, base = lineage.promoted_checkpoint, lineage.base_checkpoint
    return _joined(
        "psion_pretrain_checkpoint_lineage",
        lineage.receipt_id,
        promoted.checkpoint_family,
        promoted.stream_id,
        promoted.object_digest,
        *(("base", base.stream_id, base.object_digest) if base else ()),
        lineage.promoted_checkpoint_label,
        lineage.model_id,
        lineage.model_descriptor_digest,
    )


def _execution_fields(receipt: PretrainStageReceipt) -> list[str | int]:
    fields: list[str | int] = []
    delivered, accelerator = receipt.delivered_execution, receipt.accelerator_execution
    if delivered:
        fields += ["backend", delivered.runtime_backend]
        for device in delivered.selected_devices:
            fields += ["device", device.stable_device_id]
        if delivered.execution_topology:
            fields += ["topology", delivered.execution_topology.effective_backend]
    if accelerator:
        backed = "true" if accelerator.accelerator_backed else "false"
        fields += [
            "accelerator",
            backed,
            accelerator.optimizer_steps_completed,
            accelerator.mean_step_latency_ms,
        ]
    return fields


def receipt_digest(receipt: PretrainStageReceipt) -> str:
    """Over identities, the stored replay and lineage digests, execution, summary and rows."""
    rows: list[str | int] = []
    for row in receipt.source_family_reports:
        rows += ["row", row.split_name, debug_name(row.split_kind), row.source_family_id]
        rows += [row.token_share_bps_within_split, row.sequence_share_bps_within_split]
        rows += [row.mean_next_token_loss_milli]
    return _joined(
        "psion_pretrain_stage_receipt",
        receipt.run_id,
        receipt.stage_id,
        receipt.model_id,
        receipt.model_descriptor_digest,
        receipt.tokenizer_binding_digest,
        receipt.dataset_identity,
        receipt.sampling_policy_id,
        receipt.sampling_policy_version,
        receipt.replay_receipt.replay_digest,
        receipt.checkpoint_lineage.checkpoint_lineage_digest,
        *_execution_fields(receipt),
        receipt.summary,
        *rows,
    )


def stage_completion_digest(
    *,
    run_id: str,
    stage_id: str,
    stage_kind: StageKind,
    trace_count: int,
    pretrain_run_count: int,
    completed_at_ms: int,
) -> str:
    """Counts are of traces and pretrain receipts recorded; `completed_at_ms` is Unix time in milliseconds."""
    head = ("psionic_train_stage_completion", run_id, stage_id, stage_kind)
    return _joined(*head, trace_count, pretrain_run_count, completed_at_ms)


def stage_promotion_digest(
    *,
    run_id: str,
    from_stage_id: str,
    from_kind: StageKind,
    to_kind: StageKind,
    checkpoint_family: str,
    stream_id: str,
    object_digest: str,
) -> str:
    """The handing on of one checkpoint from one stage to the next."""
    head = ("psionic_train_stage_promotion", run_id, from_stage_id, from_kind, to_kind)
    return _joined(*head, checkpoint_family, stream_id, object_digest)


def stage_transition_digest(
    *,
    run_id: str,
    previous_stage_id: str | None,
    next_stage_id: str,
    next_kind: StageKind,
    checkpoint: tuple[str, str] | None,
    transitioned_at_ms: int,
) -> str:
    """`checkpoint` is (stream id, object digest) of what was promoted; time is Unix time in milliseconds."""
    fields: list[str | int] = ["psionic_train_stage_transition", run_id]
    if previous_stage_id is not None:
        fields += ["previous", previous_stage_id]
    fields += ["next", next_stage_id, next_kind]
    if checkpoint is not None:
        fields += ["checkpoint", *checkpoint]
    return _joined(*fields, transitioned_at_ms)
