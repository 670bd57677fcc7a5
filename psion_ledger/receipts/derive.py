"""The pretrain stage receipt, computed from the record alone: one SQL row, fixed texts, and the digests over them."""

from typing import Any

import msgspec

from psion_ledger import catalog
from psion_ledger.contracts import CheckpointReference
from psion_ledger.contracts.stage_config import ObjectiveConfig
from psion_ledger.digest import canonical_json, sha256
from psion_ledger.errors import CannotDecide
from psion_ledger.ledger import Run
from psion_ledger.ordered import is_followed
from psion_ledger.receipts import digests, templates
from psion_ledger.receipts.documents import (
    SCHEMA_VERSION,
    AcceleratorExecution,
    CheckpointLineage,
    DeliveredExecution,
    DeviceInventory,
    DevicePlacement,
    ExecutionTopology,
    Partition,
    PretrainStageReceipt,
    ReplayReceipt,
    ShardAssignment,
    SourceFamilyReport,
)

Row = dict[str, Any]


def derive_receipt(run: Run) -> PretrainStageReceipt:
    """The receipt of the run's pretrain stage as its record stands. Raises CannotDecide naming what is missing, or what
    the receipt has no place for."""
    try:
        return _derived(run)
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        # Facts may have any value, and contracts any text; the receipt's fields may not.
        why = f"{type(error).__name__}: {error}"
        raise CannotDecide(f"run {run.run_id}: its facts do not fit into a receipt: {why}") from error


def _derived(run: Run) -> PretrainStageReceipt:
    (query,) = (q for q in catalog.load("receipts") if q.name == "pretrain_stage_receipt")
    found = run.rows(query)
    if not found:
        raise CannotDecide(f"run {run.run_id}: no stage config is declared, so there is no receipt to derive")
    row: Row = found[0]
    _require(run, row)
    row["exact_replay_observed"] = row["exact_replay_observed"] and is_followed(run)
    replay = _replay(row)
    lineage = _lineage(run, row)
    receipt = PretrainStageReceipt(
        schema_version=SCHEMA_VERSION,
        run_id=row["run_id"],
        stage_id=row["stage_id"],
        stage_kind=row["stage_kind"],
        model_id=row["model_id"],
        model_descriptor_digest=row["model_descriptor_digest"],
        tokenizer_binding_digest=row["tokenizer_binding_digest"],
        dataset_identity=row["dataset_identity"],
        sampling_policy_id=row["sampling_policy_id"],
        sampling_policy_version=row["sampling_policy_version"],
        objective_config=msgspec.json.decode(row["objective_config"], type=ObjectiveConfig),
        source_family_reports=[_report(part) for part in row["source_family_reports"]],
        replay_receipt=replay,
        checkpoint_lineage=lineage,
        delivered_execution=_delivered(row),
        accelerator_execution=_accelerator(row),
        summary=templates.SUMMARY.format(
            stage_id=row["stage_id"], steps=row["steps"], tokens=row["tokens"],
            dataset_identity=row["dataset_identity"], policy_id=row["sampling_policy_id"],
            policy_version=row["sampling_policy_version"], checkpoint_id=row["checkpoint_id"],
        ),
        receipt_digest="",
    )  # fmt: skip
    return msgspec.structs.replace(receipt, receipt_digest=digests.receipt_digest(receipt))


def _require(run: Run, row: Row) -> None:
    missing = {
        "a promoted checkpoint": row["checkpoint_id"],
        "the losses of the promoted weights": row["source_family_reports"],
        "a declared corpus": row["iteration_mode"],
        "the device inventory": row["devices"],
    }
    lacking = [what for what, value in missing.items() if not value]
    if lacking:
        raise CannotDecide(
            f"run {run.run_id}: no receipt yet, the record lacks {', '.join(lacking)}; go on with the run"
        )
    for part in row["source_family_reports"]:
        shares = (part["token_share_bps"], part["sequence_share_bps"])
        if part["loss_sum_nanonats"] is None or part["target_tokens"] == 0 or None in shares:
            raise CannotDecide(
                f"run {run.run_id}: no receipt: the loss or share of {part['split_name']} "
                f"{part['source_family_id']} is not a finite number"
            )


def _report(part: Row) -> SourceFamilyReport:
    template = templates.ROW_TRAIN if part["split_kind"] == "train" else templates.ROW_MEASURED
    return SourceFamilyReport(
        split_name=part["split_name"],
        split_kind=part["split_kind"],
        source_family_id=part["source_family_id"],
        source_ids=part["source_ids"],
        token_share_bps_within_split=part["token_share_bps"],
        sequence_share_bps_within_split=part["sequence_share_bps"],
        mean_next_token_loss_milli=milli_half_up(part["loss_sum_nanonats"], part["target_tokens"]),
        detail=template.format_map(part),
    )


def milli_half_up(nanonats: int, tokens: int) -> int:
    """Thousandths of a nat a token, half up, in integers alone."""
    divisor = tokens * 1_000_000
    return (2 * nanonats + divisor) // (2 * divisor)


def _replay(row: Row) -> ReplayReceipt:
    verdict = templates.REPLAY_EXACT if row["exact_replay_observed"] else templates.REPLAY_DIFFERS
    replay = ReplayReceipt(
        receipt_id=templates.RECEIPT_ID_REPLAY.format_map(row),
        stable_dataset_identity=row["stable_dataset_identity"],
        iteration_mode=row["iteration_mode"],
        shard_ordering=row["shard_ordering"],
        deterministic_shuffle_seed=row["deterministic_shuffle_seed"],
        successful_replays=row["successful_replays"],
        exact_replay_observed=row["exact_replay_observed"],
        replay_digest="",
        summary=templates.REPLAY_SUMMARY.format(successful_replays=row["successful_replays"], verdict=verdict),
    )
    return msgspec.structs.replace(replay, replay_digest=digests.replay_digest(replay))


def _lineage(run: Run, row: Row) -> CheckpointLineage:
    declared = run.contracts.base_checkpoint
    base = None if declared is None or declared.run is None else declared.run.reference
    if row["base_checkpoint_id"] is not None and (
        declared is None or declared.checkpoint_id != row["base_checkpoint_id"]
    ):
        raise CannotDecide(
            f"run {run.run_id}: stage {row['stage_id']} began from {row['base_checkpoint_id']}, "
            "which no contract declares as its base"
        )
    lineage = CheckpointLineage(
        receipt_id=templates.RECEIPT_ID_LINEAGE.format_map(row),
        promoted_checkpoint=_checkpoint(row),
        base_checkpoint=base,
        promoted_checkpoint_label=row["label"],
        model_id=row["model_id"],
        model_descriptor_digest=row["model_descriptor_digest"],
        checkpoint_lineage_digest="",
    )
    digest = digests.checkpoint_lineage_digest(lineage)
    return msgspec.structs.replace(lineage, checkpoint_lineage_digest=digest)


def _checkpoint(row: Row) -> CheckpointReference:
    files = [{**file, "sha256": file["sha256"].hex()} for file in row["files"]]
    cluster = {"attempt": row["membership_epoch"], "world_size": row["world_size"], "hosts": row["hosts"]}
    devices = [{"id": d["stable_device_id"], "bus": d["topology_key"] or ""} for d in row["devices"]]
    topology = {"world_size": row["world_size"], "devices": devices}
    return CheckpointReference(
        checkpoint_family=row["checkpoint_family"],
        stream_id=templates.STREAM_ID.format_map(row),
        manifest_digest=sha256(canonical_json(files)).hex(),
        object_digest=row["object_sha256"].hex(),
        writer_node_id=row["writer_node_id"],
        membership_epoch=row["membership_epoch"],
        cluster_state_digest=sha256(canonical_json(cluster)).hex(),
        topology_digest=sha256(canonical_json(topology)).hex(),
        started_at_ms=row["started_at_ns"] // 1_000_000,
        checkpoint_ref=templates.CHECKPOINT_REF.format_map(row),
        step=row["step"],
        durable_at_ms=row["durable_at_ns"] // 1_000_000,
    )


def _delivered(row: Row) -> DeliveredExecution:
    """The devices of the inventory. A topology is given for one device alone: how ranks of several shared the
    model is not among the facts that the ledger records."""
    devices = row["devices"]
    backend = devices[0]["backend"]
    topology = None
    if len(devices) == 1:
        placement = DevicePlacement(
            stable_device_id=devices[0]["stable_device_id"],
            topology_key=devices[0]["topology_key"],
            placement_index=0,
        )
        whole = ShardAssignment(shard_id=0, device=placement, partition=Partition(kind="whole_model"))
        topology = ExecutionTopology(effective_backend=backend, kind="single_device", assignments=[whole])
    return DeliveredExecution(
        runtime_backend=backend,
        execution_topology=topology,
        selected_devices=[
            DeviceInventory(
                stable_device_id=device["stable_device_id"],
                topology_key=device["topology_key"],
                performance_class="discrete_accelerator" if device["backend"] == "cuda" else "reference",
                memory_class="dedicated_device" if device["backend"] == "cuda" else "host_only",
                total_memory_bytes=device["total_memory_bytes"],
                free_memory_bytes=device["free_memory_bytes"],
            )
            for device in devices
        ],
    )


def _accelerator(row: Row) -> AcceleratorExecution | None:
    device = row["devices"][0]
    if device["backend"] == "cpu":
        return None
    return AcceleratorExecution(
        accelerator_backed=True,
        optimizer_steps_completed=row["steps"],
        # The original refuses 0; a step under half a millisecond is reported as one.
        mean_step_latency_ms=max(1, round(row["step_ms_mean"])),
        detail=templates.ACCELERATOR_DETAIL.format(steps=row["steps"], device=device["stable_device_id"]),
    )
