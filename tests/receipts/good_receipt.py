"""The receipt of `tests.ledgers.good_run`, written out from what its events say."""

import hashlib
import json
from typing import Any

from psion_ledger.contracts import Contracts
from tests.emitted import weights

MODEL, BINDING = "model_descriptor_digest", "tokenizer_binding_digest"


def hexed(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def joined(*fields: str | int) -> str:
    return hexed("|".join(map(str, fields)))


def report(split: str, family: str, sources: list[str], bps: int, detail: str) -> dict[str, Any]:
    return {
        "split_name": split, "split_kind": split, "source_family_id": family, "source_ids": sources,
        "token_share_bps_within_split": bps, "sequence_share_bps_within_split": bps,
        # 5.0005 nats a token: 5,000.5 thousandths, half up.
        "mean_next_token_loss_milli": 5001, "detail": detail,
    }  # fmt: skip


def measured(split: str) -> str:
    """Four sequences of 32 tokens; the first token of each has nothing to be predicted from."""
    return (
        f"Shares and loss from the 4 sequences of this family's declared {split} set, 124 target tokens, measured "
        "on the promoted weights."
    )


def consumed(sequences: int) -> str:
    return (
        f"Shares from the {sequences} sequences ({sequences * 32} tokens) of this family that training consumed; loss "
        "of the promoted weights on its train probe, 124 target tokens."
    )


def compact(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def replay() -> dict[str, Any]:
    summary = "2 complete dry replays of order and content; each equalled training batch by batch."
    return {
        "receipt_id": "run-small-pretrain-replay", "stable_dataset_identity": "small-corpus@1",
        "iteration_mode": "repeat", "shard_ordering": "deterministic_shuffle", "deterministic_shuffle_seed": 7,
        "successful_replays": 2, "exact_replay_observed": True,
        "replay_digest": joined(
            "psion_pretrain_replay_receipt", "run-small-pretrain-replay", "small-corpus@1", "Repeat",
            "DeterministicShuffle", 7, 2, "exact", summary,
        ),
        "summary": summary,
    }  # fmt: skip


def lineage(model_descriptor_digest: str) -> dict[str, Any]:
    path = "checkpoints/a0001-s000004/model.safetensors"
    file = {"path": path, "bytes": len(weights(4)), "sha256": hexed(weights(4)), "role": "weights"}
    cluster = {"attempt": 1, "world_size": 1, "hosts": ["node-a"]}
    topology = {"world_size": 1, "devices": [{"id": "cpu:0", "bus": ""}]}
    return {
        "receipt_id": "run-small-pretrain-checkpoint-lineage",
        "promoted_checkpoint": {
            "checkpoint_family": "train.psion.decoder", "stream_id": "run-small.a0001-s000004",
            "manifest_digest": hexed(compact([file])), "object_digest": hexed(weights(4)), "writer_node_id": "node-a",
            "membership_epoch": 1, "cluster_state_digest": hexed(compact(cluster)),
            "topology_digest": hexed(compact(topology)), "started_at_ms": 1000,
            "checkpoint_ref": "checkpoint://run-small/a0001-s000004", "step": 4, "durable_at_ms": 2000,
        },
        "promoted_checkpoint_label": "small-final", "model_id": "small-decoder", MODEL: model_descriptor_digest,
        "checkpoint_lineage_digest": joined(
            "psion_pretrain_checkpoint_lineage", "run-small-pretrain-checkpoint-lineage", "train.psion.decoder",
            "run-small.a0001-s000004", hexed(weights(4)), "small-final", "small-decoder", model_descriptor_digest,
        ),
    }  # fmt: skip


def reports() -> list[dict[str, Any]]:
    """Of the 32 training sequences 13 are code and 19 are docstrings: 4062.5 and 5937.5 basis points, and the half
    goes to the first by name."""
    return [
        report("held_out", "held_out_modules", ["zipfile_held_out"], 10_000, measured("held_out")),
        report("train", "library_code", ["asyncio", "json"], 4063, consumed(13)),
        report("train", "library_docstrings", ["json", "typing"], 5937, consumed(19)),
        report("validation", "library_code", ["asyncio", "json"], 5000, measured("validation")),
        report("validation", "library_docstrings", ["json", "typing"], 5000, measured("validation")),
    ]


def execution() -> dict[str, Any]:
    device = {"stable_device_id": "cpu:0"}
    whole = {"shard_id": 0, "device": device | {"placement_index": 0}, "partition": {"kind": "whole_model"}}
    inventory = {
        "performance_class": "reference", "memory_class": "host_only", "total_memory_bytes": 8, "free_memory_bytes": 4
    }  # fmt: skip
    return {
        "runtime_backend": "cpu",
        "execution_topology": {"effective_backend": "cpu", "kind": "single_device", "assignments": [whole]},
        "selected_devices": [device | inventory],
    }


SUMMARY = (
    "Pretrain stage run-small-stage-1-pretrain: 4 optimizer steps over 1024 tokens of small-corpus@1 under "
    "small-mix 1; promoted a0001-s000004."
)


def seal(model: str, binding: str) -> str:
    """The receipt digest, by the original's formula."""
    rows: list[str | int] = []
    for row in reports():
        kind = {"held_out": "HeldOut", "train": "Train", "validation": "Validation"}[row["split_kind"]]
        share = row["token_share_bps_within_split"]
        rows += ["row", row["split_name"], kind, row["source_family_id"], share, share, 5001]
    return joined(
        "psion_pretrain_stage_receipt", "run-small", "run-small-stage-1-pretrain", "small-decoder", model, binding,
        "small-corpus@1", "small-mix", "1", replay()["replay_digest"], lineage(model)["checkpoint_lineage_digest"],
        "backend", "cpu", "device", "cpu:0", "topology", "cpu", SUMMARY, *rows,
    )  # fmt: skip


def good_receipt(contracts: Contracts) -> dict[str, Any]:
    """As JSON gives it back."""
    config = contracts.stage_config
    assert config is not None
    model, binding = config.model_descriptor_digest, config.tokenizer_binding_digest
    return {
        "schema_version": "psion.pretrain_stage_receipt.v1", "run_id": "run-small",
        "stage_id": "run-small-stage-1-pretrain", "stage_kind": "pretrain", "model_id": "small-decoder", MODEL: model,
        BINDING: binding, "dataset_identity": "small-corpus@1", "sampling_policy_id": "small-mix",
        "sampling_policy_version": "1",
        "objective_config": {
            "objective_kind": "next_token_prediction", "loss_normalization": "by_target_token",
            "label_smoothing_bps": 0, BINDING: binding, "dataset_identity": "small-corpus@1", "max_context_tokens": 32,
        },
        "source_family_reports": reports(), "replay_receipt": replay(), "checkpoint_lineage": lineage(model),
        "delivered_execution": execution(), "summary": SUMMARY, "receipt_digest": seal(model, binding),
    }  # fmt: skip


def pointers(value: Any, at: str = "") -> dict[str, Any]:
    """Every leaf of a JSON value by its pointer; an empty container is a leaf."""
    if isinstance(value, dict) and value:
        return {p: leaf for key, inner in value.items() for p, leaf in pointers(inner, f"{at}/{key}").items()}
    if isinstance(value, list) and value:
        return {p: leaf for n, inner in enumerate(value) for p, leaf in pointers(inner, f"{at}/{n}").items()}
    return {at: value}


def starred(pointer: str) -> str:
    """A pointer with `*` for each place of a list."""
    return "/".join("*" if step.isdigit() else step for step in pointer.split("/"))
