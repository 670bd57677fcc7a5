"""The vocabulary: one frozen Struct per kind of fact, version 1. Pure facts, no behaviour.

On the wire an event is a msgpack array: its kind, then its fields in the order written here. A new field
has a default and comes last; a field never changes type or meaning; units end the name. Sequence ids are
dense integers, digests 32 raw bytes, maps are lists of structs sorted by key. Which stream, role, attempt and
rank an event belongs to is said once, by its stream's first event. Non-finite losses and norms are facts and are
recorded as they are.

Step k means k optimizer steps completed, k >= 1; step 0 is the state before the first. Positions are
global, start at 0 and never restart; ranges are half open, [first, end).
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

EVENTS_VERSION = 1

Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Ordinal = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Name = Annotated[str, Meta(min_length=1, max_length=512)]
# A short value in a list takes a few bytes in a frame and twenty times as many once it is decoded.
LIST_VALUES_MAX = 1 << 20
_Limited = Meta(max_length=LIST_VALUES_MAX)

SplitKind = Literal["train", "validation", "test", "held_out", "preference", "replay", "custom"]
StageKind = Literal["pretrain", "general_sft", "agentic_sft", "rl"]
ContractRole = Literal[
    "stage_config",
    "model_descriptor",
    "tokenized_corpus",
    "sampling_policy",
    "sampling_plan",
    "sequence_index",
]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, array_like=True, gc=False):
    """Settings shared by the values inside events; events themselves inherit from nothing."""


class StreamEnd(_Part, frozen=True, kw_only=True):
    """How far a stream of the attempt before had come: its last seq and the link of that event."""

    stream: Name
    last_seq: Count
    chain_head: Digest


class Seed(_Part, frozen=True, kw_only=True):
    name: Name
    value: Count


class Version(_Part, frozen=True, kw_only=True):
    name: Name
    version: str


class Setting(_Part, frozen=True, kw_only=True):
    """A setting of the trainer that no contract holds, such as `learning_rate`; a resume takes it from here."""

    name: Name
    value: str


class Device(_Part, frozen=True, kw_only=True):
    """One device of the inventory. Memory in bytes; `topology_key` is the bus address, where there is one."""

    stable_device_id: Name
    backend: Literal["cpu", "cuda"]
    name: str
    total_memory_bytes: Count | None
    free_memory_bytes: Count | None
    topology_key: str | None


class FamilyTokens(_Part, frozen=True, kw_only=True):
    source_family_id: Name
    tokens: Count


class FileDigest(_Part, frozen=True, kw_only=True):
    """A file of a checkpoint; `path` is relative to the run's artifacts folder."""

    path: Name
    bytes: Count
    sha256: Digest


class StreamOpened(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="stream_opened",
):
    """seq 0 of each stream. `previous` pins every stream of the attempt before, sorted by stream."""

    role: Literal["train", "verify"]
    attempt: Ordinal
    rank: Count
    host: str
    pid: Count
    code_version: str
    previous: Annotated[list[StreamEnd], _Limited]


class RunStarted(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="run_started",
):
    """The run's fixed circumstances. `isa` is the widest vector extension in use, such as `AVX512`."""

    world_size: Ordinal
    seeds: Annotated[list[Seed], _Limited]
    horizon_steps: Ordinal
    git_commit: str | None
    git_dirty: bool | None
    versions: Annotated[list[Version], _Limited]
    isa: str
    threads_per_process: Ordinal
    devices: Annotated[list[Device], _Limited]
    settings: Annotated[list[Setting], _Limited]


class ContractDeclared(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="contract_declared",
):
    """A promise. `document` is the exact JSON; the sequence index has `path` instead, inside the run's folder."""

    contract_role: ContractRole
    schema_version: Name
    sha256: Digest
    document: str | None
    path: str | None


class StageStarted(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="stage_started",
):
    """`config_sha256` is the digest of the stage config's exact JSON; `base_checkpoint_id` is null for the first."""

    stage_id: Name
    stage_kind: StageKind
    ordinal: Ordinal
    checkpoint_family: Name
    config_sha256: Digest
    base_checkpoint_id: str | None


class StageCompleted(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="stage_completed",
):
    """`receipt_sha256s` name the receipts that completion rests on; `completion_digest` is the original's."""

    stage_id: Name
    stage_kind: StageKind
    ordinal: Ordinal
    receipt_sha256s: Annotated[list[Digest], _Limited]
    completed_at_ms: Count
    completion_digest: Digest


class StageAdvanced(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="stage_advanced",
):
    """The next stage begins from a checkpoint that a recorded receipt promoted."""

    from_stage_id: Name
    stage_id: Name
    stage_kind: StageKind
    ordinal: Ordinal
    checkpoint_id: Name
    advanced_at_ms: Count
    promotion_digest: Digest
    transition_digest: Digest


class AttemptStarted(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="attempt_started",
):
    """One start of training; its number is its stream's.

    `cursor_position` is the first position to be consumed; the cut is the step resumed from.
    """

    checkpoint_id: str | None
    cut_step: Count
    cursor_position: Count
    world_size: Ordinal
    micro_steps: Ordinal
    data_workers: Count


class BatchReplayed(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="batch_replayed",
):
    """One rank's micro batch as consumed. `token_sha256` is over the token ids as little-endian uint32, row by row."""

    pass_id: Name
    step: Count
    micro_step: Count
    first_position: Count
    end_position: Count
    sequence_ids: Annotated[list[Count], _Limited]
    family_tokens: Annotated[list[FamilyTokens], _Limited]
    tokens: Count
    token_sha256: Digest


class BatchSkipped(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="batch_skipped",
):
    """A batch that was drawn but not trained on, with the same identity, and why."""

    pass_id: Name
    step: Count
    micro_step: Count
    first_position: Count
    end_position: Count
    sequence_ids: Annotated[list[Count], _Limited]
    family_tokens: Annotated[list[FamilyTokens], _Limited]
    tokens: Count
    token_sha256: Digest
    reason: Name


class StepCompleted(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="step_completed",
):
    """`loss_sum_nats` is this rank's sum, `loss_nats` the global mean: global sum / `loss_divisor_tokens`.

    `trace_sha256` covers the bits of the loss, of the gradient norm, and the state of the random generators.
    """

    pass_id: Name
    step: Ordinal
    loss_sum_nats: float
    loss_divisor_tokens: Count
    loss_nats: float
    grad_norm: float
    learning_rate: float
    step_ms: float
    trace_sha256: Digest


class SplitLossMeasured(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="split_loss_measured",
):
    """One family of one split, measured once in one evaluation. Never label-smoothed.

    `loss_sum_nats` is over `target_tokens`; `loss_sum_nanonats` is the same as an exact integer, rounded per
    sequence and then summed (null when a loss is not finite). `token_sha256` is over the token ids measured.
    """

    evaluation_id: Name
    step: Count
    split_name: Name
    split_kind: SplitKind
    source_family_id: Name
    source_ids: Annotated[list[Name], _Limited]
    loss_sum_nats: float
    loss_sum_nanonats: Integer | None
    target_tokens: Count
    first_sequence_id: Count
    end_sequence_id: Count
    token_sha256: Digest


class CheckpointWritten(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="checkpoint_written",
):
    """Emitted only after the bytes are durable. The root checkpoint, at step 0, has no parent."""

    checkpoint_id: Name
    checkpoint_family: Name
    step: Count
    parent_checkpoint_id: str | None
    files: Annotated[list[FileDigest], _Limited]
    weights_sha256: Digest
    optimizer_sha256: Digest
    rng_sha256: Digest
    tensor_layout_digest: Digest
    model_descriptor_digest: Digest
    cursor_position: Count
    writer_node_id: Name
    started_at_ns: Count
    durable_at_ns: Count


class CheckpointLoaded(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="checkpoint_loaded",
):
    """`weights_sha256` is the digest of the weights file as read."""

    checkpoint_id: Name
    weights_sha256: Digest
    cursor_position: Count


class CheckpointRemoved(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="checkpoint_removed",
):
    checkpoint_id: Name
    reason: Name


class CheckpointPromoted(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="checkpoint_promoted",
):
    """`weights_sha256` is the digest of the weights file as read at promotion."""

    checkpoint_id: Name
    label: Name
    weights_sha256: Digest


class VerificationStarted(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="verification_started",
):
    """A dry pass over the run's steps [first_step, end_step). `sample_bps` of them; 10,000 is every one."""

    verification_id: Name
    method: Literal["order", "content", "compute"]
    first_step: Ordinal
    end_step: Ordinal
    sample_bps: Annotated[int, Meta(ge=1, le=10_000)]
    corpus_digest: Digest


class VerificationCompleted(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="verification_completed",
):
    """What the verifier itself counted; the laws compare batch by batch and do not rely on it."""

    verification_id: Name
    batches: Count
    mismatches: Count
    first_mismatch_position: Count | None


class ReceiptRecorded(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="receipt_recorded",
):
    """The exact receipt, and the manifest entries [0, basis_entries) that it was derived from."""

    schema_version: Name
    sha256: Digest
    document: str
    basis_entries: Count
    basis_head: Digest
    derivation_version: Ordinal


class GapRecorded(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="gap_recorded",
):
    """What could not be written, and why: events after `after_seq` of `gap_stream`; recorded in a new stream."""

    gap_stream: Name
    after_seq: Count
    events_lost: Count | None
    reason: Name


class RunFinished(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    array_like=True,
    gc=False,
    tag="run_finished",
):
    """The last event of each train stream of the last attempt."""

    outcome: Literal["completed", "stopped", "failed"]


Event = (
    StreamOpened | RunStarted | ContractDeclared | StageStarted | StageCompleted | StageAdvanced | AttemptStarted
    | BatchReplayed | BatchSkipped | StepCompleted | SplitLossMeasured | CheckpointWritten | CheckpointLoaded
    | CheckpointRemoved | CheckpointPromoted | VerificationStarted | VerificationCompleted | ReceiptRecorded
    | GapRecorded | RunFinished
)  # fmt: skip

KINDS: dict[str, type[Struct]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        StreamOpened, RunStarted, ContractDeclared, StageStarted, StageCompleted, StageAdvanced, AttemptStarted,
        BatchReplayed, BatchSkipped, StepCompleted, SplitLossMeasured, CheckpointWritten, CheckpointLoaded,
        CheckpointRemoved, CheckpointPromoted, VerificationStarted, VerificationCompleted, ReceiptRecorded,
        GapRecorded, RunFinished,
    )
}  # fmt: skip

# How many fields each kind has in each version: the tail of newer fields is left off when an old event is
# re-encoded to its old bytes. A row is only ever added.
FIELD_COUNTS: dict[int, dict[str, int]] = {
    1: {
        "stream_opened": 7, "run_started": 10, "contract_declared": 5, "stage_started": 6, "stage_completed": 6,
        "stage_advanced": 8, "attempt_started": 6, "batch_replayed": 9, "batch_skipped": 10, "step_completed": 9,
        "split_loss_measured": 12, "checkpoint_written": 14, "checkpoint_loaded": 3, "checkpoint_removed": 2,
        "checkpoint_promoted": 3, "verification_started": 6, "verification_completed": 4, "receipt_recorded": 6,
        "gap_recorded": 4, "run_finished": 1,
    },
}  # fmt: skip
