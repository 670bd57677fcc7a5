"""One fully populated event of each kind, strategies made from the types, and values that compare float by bits."""

import struct
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from psion_ledger import events
from psion_ledger.digest import sha256

_DEVICE = events.Device(
    stable_device_id="cuda:0", backend="cuda", name="a card", total_memory_bytes=80 << 30, free_memory_bytes=None,
    topology_key="0000:01:00.0",
)  # fmt: skip
_FAMILIES = [
    events.FamilyTokens(source_family_id="library_code", tokens=64),
    events.FamilyTokens(source_family_id="library_docstrings", tokens=32),
]
_BATCH: dict[str, Any] = {
    "pass_id": "train", "step": 3, "micro_step": 1, "first_position": 20, "stride": 2, "sequences": 3,
    "sequence_ids": [17, 40, 2**40], "sequence_sha256s": [sha256(b"a row"), sha256(b"another")],
    "family_tokens": _FAMILIES, "tokens": 96, "target_tokens": 93, "token_sha256": sha256(b"tokens"),
}  # fmt: skip

EXAMPLES: dict[str, events.Event] = {
    "stream_opened": events.StreamOpened(
        role="train", attempt=2, rank=1, host="node-ä", pid=4321, code_version="0.1.0",
        attempt_sha256=sha256(b"attempt"),
        previous=[events.StreamEnd(stream="t0001.r00000", last_seq=99, chain_head=sha256(b"end"))],
    ),
    "run_started": events.RunStarted(
        settings=[events.Setting(name="learning_rate", value="0.001")], resume_command="python -m trainer --resume a",
    ),
    "contract_declared": events.ContractDeclared(
        contract_role="sampling_plan", schema_version="psion_ledger.sampling_plan.v1", sha256=sha256(b"plan"),
        document='{"a": "é"}',
    ),
    "stage_started": events.StageStarted(
        stage_id="run-stage-1-pretrain", stage_kind="pretrain", ordinal=1, checkpoint_family="train.psion.decoder",
        config_sha256=sha256(b"config"), base_checkpoint_id="a0001-s000000",
    ),
    "stage_completed": events.StageCompleted(
        stage_id="run-stage-1-pretrain", stage_kind="pretrain", ordinal=1,
        receipt_sha256s=[sha256(b"one"), sha256(b"two")], completed_at_ms=1_700_000_000_000,
        completion_digest=sha256(b"completion"),
    ),
    "stage_advanced": events.StageAdvanced(
        from_stage_id="run-stage-1-pretrain", stage_id="run-stage-2-general_sft", stage_kind="general_sft", ordinal=2,
        checkpoint_id="a0001-s000200", advanced_at_ms=1_700_000_000_001, promotion_digest=sha256(b"promotion"),
        transition_digest=sha256(b"transition"),
    ),
    "attempt_started": events.AttemptStarted(
        launch_id="job-7.0", checkpoint_id="a0001-s000100", cut_step=100, cursor_position=800, world_size=2,
        data_workers=4, git_commit="c0ffee", git_dirty=True,
        versions=[events.Version(name="python", version="3.11.7")], isa="AVX512", threads_per_process=1,
        devices=[_DEVICE], deterministic=True,
    ),
    "batch_replayed": events.BatchReplayed(**_BATCH),
    "batch_skipped": events.BatchSkipped(**_BATCH, reason="loss was not finite"),
    "step_completed": events.StepCompleted(
        pass_id="train", step=3, loss_sum_nats=520.25, target_tokens=93, loss_divisor=93.0,
        loss_nats=5.594086021505376, grad_norm=1e-3, learning_rate=3e-4, step_ms=101.5, updated=True,
        trace_sha256=sha256(b"trace"), trainer_step=2,
    ),
    "split_loss_measured": events.SplitLossMeasured(
        evaluation_id="e0001-s000100", step=100, checkpoint_id="a0001-s000100", evaluation_set="held-out",
        split_name="held-out", source_family_id="held_out_modules", sequences=4, first_sequence_id=5,
        end_sequence_id=12, stride=2, sequences_sha256=sha256(b"ids"), loss_sum_nanonats=620_500_000_000,
        is_finite=True, target_tokens=124,
        token_sha256=sha256(b"measured"),
    ),
    "checkpoint_written": events.CheckpointWritten(
        checkpoint_id="a0001-s000100", checkpoint_family="train.psion.decoder", step=100,
        parent_checkpoint_id="a0001-s000000",
        files=[
            events.CheckpointFile(
                path="checkpoints/a0001-s000100/model", bytes=6_400_000, sha256=sha256(b"file"), role="weights"
            )
        ],
        tensor_layout_digest=sha256(b"layout"), cursor_position=800,
        writer_node_id="node-a", started_at_ns=1_700_000_000_000_000_000, durable_at_ns=1_700_000_000_500_000_000,
    ),
    "checkpoint_loaded": events.CheckpointLoaded(
        checkpoint_id="a0001-s000100", object_sha256=sha256(b"weights"),
    ),
    "checkpoint_removed": events.CheckpointRemoved(checkpoint_id="a0001-s000050", reason="superseded"),
    "checkpoint_promoted": events.CheckpointPromoted(
        checkpoint_id="a0001-s000200", label="final", object_sha256=sha256(b"promoted"), criterion="lowest_loss",
        criterion_split="validation", evaluation_id="e0001-s000200",
    ),
    "verification_started": events.VerificationStarted(
        verification_id="replay-1", method="content", first_step=1, end_step=201, sample_bps=10_000,
        corpus_digest=sha256(b"corpus"),
    ),
    "verification_completed": events.VerificationCompleted(
        verification_id="replay-1", batches=400, mismatches=1, first_mismatch_position=24,
    ),
    "receipt_recorded": events.ReceiptRecorded(
        schema_version="psion.pretrain_stage_receipt.v1", sha256=sha256(b"receipt"), document="{}\n", basis_entries=4,
        basis_head=sha256(b"head"), derivation_version=1,
    ),
    "gap_recorded": events.GapRecorded(
        gap_stream="t0001.r00000", after_seq=77, events_lost=3, reason="the disk was full",
    ),
    "stream_ended": events.StreamEnded(outcome="stopped", last_step=120),
    "run_finished": events.RunFinished(outcome="ended_early", reason="the loss had settled"),
}  # fmt: skip


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Every value that a field's annotation allows."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = arguments[1]
        if get_origin(arguments[0]) is list:
            return values_of(arguments[0])
        if arguments[0] is bytes:
            return st.binary(min_size=bounds.min_length, max_size=bounds.max_length)
        if arguments[0] is str:
            return _text(bounds.min_length)
        return st.integers(bounds.ge, bounds.le)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is list:
        return st.lists(values_of(arguments[0]), max_size=3)
    if type(None) in arguments:
        return st.none() | st.one_of([values_of(a) for a in arguments if a is not type(None)])
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return events_of(annotation)
    return {str: _text(0), bool: st.booleans(), float: st.floats()}[annotation]


def _text(min_size: int) -> st.SearchStrategy[str]:
    # A lone surrogate has no UTF-8, so no event holds one.
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=min_size, max_size=20)


def events_of(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: values_of(hints[name]) for name in kind.__struct_fields__})


def bits(value: Any) -> Any:
    """A value as nested plain ones, in which floats are their eight bytes: NaN equals itself, -0.0 is not 0.0."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, msgspec.Struct):
        return {name: bits(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {name: bits(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [bits(inner) for inner in value]
    return value
