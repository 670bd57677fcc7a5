"""The vocabulary: one frozen Struct per kind of fact, version 1. Pure facts, no behaviour.

On the wire an event is a msgpack array: its kind, then its fields in the order written here. A new field
has a default and comes last; a field never changes type or meaning; units end the name. Sequence ids are
dense integers, digests 32 raw bytes, maps are lists of structs sorted by key. Which stream, role, attempt and
rank an event belongs to is said once, by its stream's first event. Non-finite losses and norms are facts and are
recorded as they are.

Step k means k optimizer steps completed, k >= 1; step 0 is the state before the first. Positions are
global, start at 0 and never restart; ranges are half open, [first, end).
"""

from typing import Annotated, Literal, get_args

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
    "document_index",
    "order_files",
    "base_checkpoint",
    "token_data",
]
StreamRole = Literal["train", "verify", "complete"]
FileRole = Literal["weights", "optimizer", "rng", "cursor", "other"]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, array_like=True, gc=False):
    """What events and the values inside them share. It has no field: a kind's fields, and their order on the wire, are
    those that it writes."""


class StreamEnd(_Part, frozen=True, kw_only=True):
    """How far a stream of the attempt before had come: its last seq and the link of that event."""

    stream: Name
    last_seq: Count
    chain_head: Digest


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


class CheckpointFile(_Part, frozen=True, kw_only=True):
    """A file of a checkpoint, and what it holds; `path` is relative to the run's artifacts folder."""

    path: Name
    bytes: Count
    sha256: Digest
    role: FileRole


class StreamOpened(_Part, frozen=True, kw_only=True, tag="stream_opened"):
    """seq 0 of each stream. `attempt_sha256` is that of its `attempts/<n>.json`.

    `previous` pins where other streams ended, sorted by stream: rank 0 pins every stream of the attempt before, another
    rank its own predecessor, a completion stream all that it rests on.
    """

    role: StreamRole
    attempt: Ordinal
    rank: Count
    host: str
    pid: Count
    code_version: str
    attempt_sha256: Digest
    previous: Annotated[list[StreamEnd], _Limited]


class RunStarted(_Part, frozen=True, kw_only=True, tag="run_started"):
    """Settings that no contract holds, and the command that goes on with the run: shown, never executed."""

    settings: Annotated[list[Setting], _Limited]
    resume_command: str | None


class ContractDeclared(_Part, frozen=True, kw_only=True, tag="contract_declared"):
    """A promise: `document` is its exact JSON, and `sha256` that of its bytes.

    Of an index or of order files it is a list of parts, files in the run's folder.
    """

    contract_role: ContractRole
    schema_version: Name
    sha256: Digest
    document: str


class StageStarted(_Part, frozen=True, kw_only=True, tag="stage_started"):
    """`config_sha256` is the digest of the stage config's exact JSON; `base_checkpoint_id` is null for the first."""

    stage_id: Name
    stage_kind: StageKind
    ordinal: Ordinal
    checkpoint_family: Name
    config_sha256: Digest
    base_checkpoint_id: str | None


class StageCompleted(_Part, frozen=True, kw_only=True, tag="stage_completed"):
    """`receipt_sha256s` name the receipts that completion rests on; `completion_digest` is the original's."""

    stage_id: Name
    stage_kind: StageKind
    ordinal: Ordinal
    receipt_sha256s: Annotated[list[Digest], _Limited]
    completed_at_ms: Count
    completion_digest: Digest


class StageAdvanced(_Part, frozen=True, kw_only=True, tag="stage_advanced"):
    """The next stage begins from a checkpoint that a recorded receipt promoted."""

    from_stage_id: Name
    stage_id: Name
    stage_kind: StageKind
    ordinal: Ordinal
    checkpoint_id: Name
    advanced_at_ms: Count
    promotion_digest: Digest
    transition_digest: Digest


class AttemptStarted(_Part, frozen=True, kw_only=True, tag="attempt_started"):
    """One start of training and its circumstances; its number is its stream's.

    `cursor_position` is the first position to be consumed; the cut is the step resumed from. `world_size` counts
    data-parallel ranks. `isa` is the widest vector extension in use, such as `AVX512`. `deterministic`: the trainer
    claims that it repeats bit for bit.
    """

    launch_id: str | None
    checkpoint_id: str | None
    cut_step: Count
    cursor_position: Count
    world_size: Ordinal
    data_workers: Count
    git_commit: str | None
    git_dirty: bool | None
    versions: Annotated[list[Version], _Limited]
    isa: str | None
    threads_per_process: Ordinal | None
    devices: Annotated[list[Device], _Limited]
    deterministic: bool


class BatchReplayed(_Part, frozen=True, kw_only=True, tag="batch_replayed"):
    """One rank's micro batch as consumed: sequences at `first_position`, and every `stride`th position from there.

    A sequence is known by its id, or by a sha256 of its tokens where data has no ids. `token_sha256` is over the token
    ids of the unpadded rows, one after another, as little-endian uint32. `target_tokens` are those with a loss.
    """

    pass_id: Name
    step: Count
    micro_step: Count
    first_position: Count | None
    stride: Ordinal
    sequences: Count
    sequence_ids: Annotated[list[Count], _Limited]
    sequence_sha256s: Annotated[list[Digest], _Limited]
    family_tokens: Annotated[list[FamilyTokens], _Limited]
    tokens: Count
    target_tokens: Count
    token_sha256: Digest


class BatchSkipped(_Part, frozen=True, kw_only=True, tag="batch_skipped"):
    """A batch that was drawn but not trained on, with the same identity, before `step`, and why."""

    pass_id: Name
    step: Count
    micro_step: Count
    first_position: Count | None
    stride: Ordinal
    sequences: Count
    sequence_ids: Annotated[list[Count], _Limited]
    sequence_sha256s: Annotated[list[Digest], _Limited]
    family_tokens: Annotated[list[FamilyTokens], _Limited]
    tokens: Count
    target_tokens: Count
    token_sha256: Digest
    reason: Name


class StepCompleted(_Part, frozen=True, kw_only=True, tag="step_completed"):
    """`loss_sum_nats` is this rank's sum over `target_tokens`, `loss_divisor` the global one that the trainer used,
    `loss_nats` the global mean if the trainer reports one. `updated` is false where the optimizer refused the step.

    `trace_sha256` covers the bits of the loss, of the gradient norm, and the state of the random generators.
    `trainer_step` is the trainer's own number of the step.
    """

    pass_id: Name
    step: Ordinal
    loss_sum_nats: float | None
    target_tokens: Count
    loss_divisor: float | None
    loss_nats: float | None
    grad_norm: float | None
    learning_rate: float | None
    step_ms: float
    updated: bool
    trace_sha256: Digest | None
    trainer_step: Count | None


class SplitLossMeasured(_Part, frozen=True, kw_only=True, tag="split_loss_measured"):
    """One family of one split, measured once in one evaluation. Never label-smoothed.

    Measured were the sequences `first_sequence_id`, and every `stride`th from there below `end_sequence_id`; of a set
    that is not declared, `sequences_sha256` is over their ids as little-endian uint64. `checkpoint_id` names what was
    loaded to be measured. `loss_sum_nanonats` is an exact integer, rounded per sequence and then summed: 0 where
    `is_finite` is false. `token_sha256` is over the tokens as little-endian uint32.
    """

    evaluation_id: Name
    step: Count
    checkpoint_id: str | None
    evaluation_set: Name
    split_name: Name
    source_family_id: Name
    sequences: Count
    first_sequence_id: Count | None
    end_sequence_id: Count | None
    stride: Ordinal
    sequences_sha256: Digest | None
    loss_sum_nanonats: Integer
    is_finite: bool
    target_tokens: Count
    token_sha256: Digest


class CheckpointWritten(_Part, frozen=True, kw_only=True, tag="checkpoint_written"):
    """Emitted only after the bytes are durable. The root checkpoint, at step 0, has no parent.

    Its object digest is the sha256 of its one weights file, else of the list of them (`sha256  path` lines by path).
    """

    checkpoint_id: Name
    checkpoint_family: Name
    step: Count
    parent_checkpoint_id: str | None
    files: Annotated[list[CheckpointFile], _Limited]
    tensor_layout_digest: Digest
    cursor_position: Count
    writer_node_id: Name
    started_at_ns: Count
    durable_at_ns: Count


class CheckpointLoaded(_Part, frozen=True, kw_only=True, tag="checkpoint_loaded"):
    """`object_sha256` is the digest of the weights as read."""

    checkpoint_id: Name
    object_sha256: Digest


class CheckpointRemoved(_Part, frozen=True, kw_only=True, tag="checkpoint_removed"):
    checkpoint_id: Name
    reason: Name


class CheckpointPromoted(_Part, frozen=True, kw_only=True, tag="checkpoint_promoted"):
    """The run's result, why it is, and the evaluation that this rests on. `object_sha256` is the digest of the weights
    as read at promotion; `criterion_split` the split whose loss decided."""

    checkpoint_id: Name
    label: Name
    object_sha256: Digest
    criterion: Literal["last", "lowest_loss", "stated"]
    criterion_split: str | None
    evaluation_id: str | None


class VerificationStarted(_Part, frozen=True, kw_only=True, tag="verification_started"):
    """A dry pass over the run's steps [first_step, end_step). `sample_bps` of them; 10,000 is every one."""

    verification_id: Name
    method: Literal["order", "content", "compute"]
    first_step: Ordinal
    end_step: Ordinal
    sample_bps: Annotated[int, Meta(ge=1, le=10_000)]
    corpus_digest: Digest | None


class VerificationCompleted(_Part, frozen=True, kw_only=True, tag="verification_completed"):
    """What the verifier itself counted; the laws compare batch by batch and do not rely on it."""

    verification_id: Name
    batches: Count
    mismatches: Count
    first_mismatch_position: Count | None


class ReceiptRecorded(_Part, frozen=True, kw_only=True, tag="receipt_recorded"):
    """The exact receipt, and the manifest entries [0, basis_entries) that it was derived from."""

    schema_version: Name
    sha256: Digest
    document: str
    basis_entries: Count
    basis_head: Digest
    derivation_version: Ordinal


class GapRecorded(_Part, frozen=True, kw_only=True, tag="gap_recorded"):
    """What could not be written, and why: events after `after_seq` of `gap_stream`; recorded in a new stream."""

    gap_stream: Name
    after_seq: Count
    events_lost: Count | None
    reason: Name


class StreamEnded(_Part, frozen=True, kw_only=True, tag="stream_ended"):
    """The last event of a train stream that was not killed: how training ended there, and after which step."""

    outcome: Literal["completed", "stopped", "failed"]
    last_step: Count


class RunFinished(_Part, frozen=True, kw_only=True, tag="run_finished"):
    """The end of the run, in a completion stream alone; `reason` says why it ended early."""

    outcome: Literal["completed", "ended_early"]
    reason: str | None


Event = (
    StreamOpened | RunStarted | ContractDeclared | StageStarted | StageCompleted | StageAdvanced | AttemptStarted
    | BatchReplayed | BatchSkipped | StepCompleted | SplitLossMeasured | CheckpointWritten | CheckpointLoaded
    | CheckpointRemoved | CheckpointPromoted | VerificationStarted | VerificationCompleted | ReceiptRecorded
    | GapRecorded | StreamEnded | RunFinished
)  # fmt: skip

KINDS: dict[str, type[Struct]] = {str(kind.__struct_config__.tag): kind for kind in get_args(Event)}

# How many fields each kind has in each version: the tail of newer fields is left off when an old event is
# re-encoded to its old bytes. A row is only ever added.
FIELD_COUNTS: dict[int, dict[str, int]] = {
    1: {
        "stream_opened": 8, "run_started": 2, "contract_declared": 4, "stage_started": 6, "stage_completed": 6,
        "stage_advanced": 8, "attempt_started": 13, "batch_replayed": 12, "batch_skipped": 13, "step_completed": 12,
        "split_loss_measured": 15, "checkpoint_written": 10, "checkpoint_loaded": 2, "checkpoint_removed": 2,
        "checkpoint_promoted": 6, "verification_started": 6, "verification_completed": 4, "receipt_recorded": 6,
        "gap_recorded": 4, "stream_ended": 2, "run_finished": 2,
    },
}  # fmt: skip
