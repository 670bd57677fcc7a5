"""The only door to psion_ledger: contracts are bound, facts recorded, the past of a run read back.

Nothing here decides what training does. A fact is recorded where it happens, in the training process.
"""

import hashlib
import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from torch import Tensor

from psion_ledger import __version__, completion, contracts, digest, events, log, orders
from psion_ledger.errors import CannotDecide, LedgerError
from psion_ledger.ledger import Run
from psion_ledger.program import complete_stage
from psion_ledger.reading import read
from psion_ledger.receipts.verify import record_receipt
from trainer import environment
from trainer.checkpoint import Recorded, Written
from trainer.config import ANCHORS, Settings
from trainer.evaluate import Measured
from trainer.promises import sampling_plan
from trainer.sizes import ModelSize
from trainer.talk import phase
from trainer.tokenizer import promised_shards

__all__ = [
    "LedgerError",
    "Past",
    "Recorder",
    "audit",
    "bind",
    "claim_attempt",
    "complete",
    "create",
    "model_size",
    "promises_of",
    "reopen",
]

CHECKPOINT_FAMILY = "train.psion.decoder"
DOCUMENT_ROLES: tuple[contracts.DocumentRole, ...] = (
    "stage_config", "model_descriptor", "tokenized_corpus", "sampling_policy", "sampling_plan"
)  # fmt: skip
SEQUENCE_INDEX_SCHEMA = "psion_ledger.sequence_index.v1"
TRAIN_PASS = "train"
DRY_REPLAYS = 2
EXIT_CODE_MAX = 4


# ---- Contracts ----


def stage_id(run_id: str) -> str:
    return f"{run_id}-stage-1-pretrain"


def bind(run_id: str, settings: Settings, manifest: object, policy: object, plan: object) -> dict[str, str]:
    """The five contracts' exact texts by role, checked against each other; raises ContractRefused.

    The three given are plain data; the model descriptor and the stage config follow from them.
    """
    corpus = contracts.decode_document("tokenized_corpus", digest.canonical_json(manifest))
    mixture = contracts.decode_document("sampling_policy", digest.canonical_json(policy))
    binding = contracts.TokenizerBinding(
        tokenizer_id=corpus.tokenizer_id,
        tokenizer_version=corpus.tokenizer_version,
        tokenizer_family="byte_pair_encoding",
        tokenizer_digest=corpus.tokenizer.tokenizer_digest,
        vocab_size=corpus.tokenizer.vocab_size,
        special_tokens_digest=corpus.tokenizer.special_tokens_digest,
    )
    descriptor = contracts.describe(
        msgspec.convert(settings.anchor, contracts.SizeAnchor),
        model_id=f"psion-compact-decoder-{settings.anchor}-v1",
        revision="v1",
        vocab_size=corpus.tokenizer.vocab_size,
        max_context=settings.context,
        tokenizer_binding=binding,
    )
    binding_digest = contracts.tokenizer_binding_digest(binding)
    config = contracts.PretrainStageConfig(
        schema_version=contracts.DOCUMENTS["stage_config"][1],
        run_id=run_id,
        stage_id=stage_id(run_id),
        stage_kind="pretrain",
        model_id=descriptor.model.model_id,
        model_descriptor_digest=contracts.model_descriptor_digest(descriptor),
        tokenizer_binding_digest=binding_digest,
        dataset_identity=corpus.identity,
        sampling_policy_id=mixture.policy_id,
        sampling_policy_version=mixture.policy_version,
        objective_config=contracts.ObjectiveConfig(
            objective_kind="next_token_prediction",
            loss_normalization="by_target_token",
            label_smoothing_bps=settings.label_smoothing_bps,
            tokenizer_binding_digest=binding_digest,
            dataset_identity=corpus.identity,
            max_context_tokens=settings.context,
        ),
    )
    bound = contracts.Contracts(
        stage_config=config,
        model_descriptor=descriptor,
        tokenized_corpus=corpus,
        sampling_policy=mixture,
        sampling_plan=contracts.decode_document("sampling_plan", digest.canonical_json(plan)),
    )
    orders.require_bound(bound)
    return {role: contracts.encode_document(getattr(bound, role)) for role in DOCUMENT_ROLES}


def model_size(settings: Settings, vocab: int) -> ModelSize:
    """Of the model that an anchor gives for a vocabulary, before there is one."""
    binding = contracts.TokenizerBinding(
        tokenizer_id="", tokenizer_version="", tokenizer_family="byte_pair_encoding", tokenizer_digest="",
        vocab_size=vocab, special_tokens_digest="",
    )  # fmt: skip
    descriptor = contracts.describe(
        msgspec.convert(settings.anchor, contracts.SizeAnchor),
        model_id="", revision="", vocab_size=vocab, max_context=settings.context, tokenizer_binding=binding,
    )  # fmt: skip
    return _size_of(descriptor)


def _size_of(descriptor: contracts.ModelDescriptor) -> ModelSize:
    config = descriptor.config
    return ModelSize(
        parameters=descriptor.parameter_count_estimate,
        layer_count=config.layer_count,
        hidden_size=config.hidden_size,
        vocab=config.vocab_size,
    )


@dataclass(frozen=True, kw_only=True)
class Promised:
    """What a run's contracts and its last attempt say of its settings, and the size of its model."""

    settings: dict[str, Any]
    size: ModelSize


def promises_of(run: Path, past: "Past", world_size: int) -> Promised:
    """What a run's declared contracts promise. Raises CannotDecide unless they hold, and this trainer can keep them:
    whoever wrote the ledger, training is built from them."""
    documents = past.documents
    try:
        bound = contracts.Contracts(
            stage_config=contracts.decode_document("stage_config", documents["stage_config"]),
            model_descriptor=contracts.decode_document("model_descriptor", documents["model_descriptor"]),
            tokenized_corpus=contracts.decode_document("tokenized_corpus", documents["tokenized_corpus"]),
            sampling_policy=contracts.decode_document("sampling_policy", documents["sampling_policy"]),
            sampling_plan=contracts.decode_document("sampling_plan", documents["sampling_plan"]),
        )
        orders.require_bound(bound)
    except LedgerError as error:
        raise CannotDecide(f"run {run.name}: its contracts do not hold; {_to_see(run)}") from error
    plan, descriptor, config = bound.sampling_plan, bound.model_descriptor, bound.stage_config
    if not isinstance(descriptor, contracts.ModelDescriptor) or config is None:
        raise CannotDecide(f"run {run.name}: it promises no stage of a compact decoder; {_to_see(run)}")
    if any(len(family.shard_ids) != 1 for family in plan.families):
        raise CannotDecide(f"run {run.name}: this trainer writes one shard a family; {_to_see(run)}")
    settings = _settings_of(plan, world_size)
    if settings is None or plan != _made_here(settings, documents, past.world_size or world_size):
        raise CannotDecide(f"run {run.name}: its plan is none that this trainer makes; {_to_see(run)}")
    settings |= {
        "anchor": descriptor.size_anchor,
        "label_smoothing_bps": config.objective_config.label_smoothing_bps,
        "threads": past.threads or environment.default_threads(),
    }
    return Promised(settings=settings, size=_size_of(descriptor))


def _settings_of(plan: contracts.SamplingPlan, world_size: int) -> dict[str, Any] | None:
    """The settings that a plan says; null for one that says none of them."""
    schedule, micro, saves, evaluations = (
        plan.batch.schedule, plan.batch.micro_batch_sequences, plan.checkpoints, plan.evaluations
    )  # fmt: skip
    if not schedule or micro is None or saves is None or evaluations is None:
        return None
    settings = {
        "context": plan.sequence_tokens,
        "batch": schedule[0].sequences,
        "micro_steps": max(1, schedule[0].sequences // (micro * world_size)),
        "steps": plan.horizon_steps,
        "checkpoint_every_steps": saves.every_steps,
        "evaluate_every_steps": evaluations.every_steps,
        "evaluation_sequences": max((row.sequences for row in plan.evaluation_sets), default=1),
        "seed": plan.order.seed,
    }
    return None if None in settings.values() else settings


def _made_here(settings: dict[str, Any], documents: dict[str, str], world_size: int) -> contracts.SamplingPlan:
    """The plan that this trainer makes from these settings over the shards that the documents name."""
    plan, manifest = (json.loads(documents[role]) for role in ("sampling_plan", "tokenized_corpus"))
    made = sampling_plan(replace(ANCHORS["smoke"], **settings), manifest, promised_shards(plan, manifest), world_size)
    return contracts.decode_document("sampling_plan", digest.canonical_json(made))


def _to_see(run: Path) -> str:
    command = shlex.join(["psion-ledger", "audit", run.name, "--ledger", str(run.parent)])
    return f"`{command}` shows what is wrong"


# ---- The past of a run ----


@dataclass(frozen=True, kw_only=True)
class Past:
    """What the ledger knows of a run before a new attempt; of a new run, nothing.

    `documents` are the declared contracts' exact texts by role; `attempts` is how many there were, `world_size` and
    `threads` are of the last one. `previous` pins where the last attempt's streams end.
    """

    settings: list[tuple[str, str]] | None = None
    attempts: int = 0
    world_size: int | None = None
    threads: int | None = None
    documents: dict[str, str] = field(default_factory=dict)
    index_declared: bool = False
    stage_started: bool = False
    checkpoint: Recorded | None = None
    promoted: bool = False
    exact_replays: int = 0
    stage_completed: bool = False
    finished: bool = False
    previous: list[events.StreamEnd] = field(default_factory=list)

    @property
    def contracts_declared(self) -> bool:
        return self.index_declared and set(self.documents) == set(DOCUMENT_ROLES)


def create(ledger: Path, run_id: str) -> Path:
    """A new run's folder; raises UsageError when the ledger holds the run already."""
    return log.create_run(ledger, run_id)


def claim_attempt(run: Path) -> int:
    """The number of this start of training, taken durably."""
    return log.claim_attempt(run)


def reopen(ledger: Path, run_id: str) -> tuple[Path, Past]:
    """Seal what an attempt left behind, and read how far the run had come.

    Raises NoSuchRun, and CannotDecide when a process still writes the run or the record cannot be read.
    """
    folder = log.find_run(ledger, run_id)
    log.refuse_if_live(folder)
    log.seal_in_child(folder)
    with Run(read(folder)) as run:
        run.require_whole()
        run.relate(["verification_passes", "progress"])

        def first(query: str) -> Any:
            return run.con.execute(query).fetchone()

        def count(relation: str, where: str = "true") -> int:
            return int(first(f"select count(*) from {relation} where {where}")[0])

        started = first("select settings from run_started")
        attempt = first(
            "select attempt, world_size, threads_per_process from attempt_started where role = 'train' and rank = 0 "
            "order by attempt desc limit 1"
        )
        last_attempt = first("select coalesce(max(attempt), 0) from stream_opened where role = 'train'")[0]
        past = Past(
            settings=started and [(row["name"], row["value"]) for row in started[0]],
            attempts=last_attempt,
            world_size=attempt and attempt[1],
            threads=attempt and attempt[2],
            documents={role: text for role, text in run.contracts_text.items() if role in DOCUMENT_ROLES},
            index_declared=count("contract_declared", "contract_role = 'sequence_index'") > 0,
            stage_started=count("stage_started") > 0,
            checkpoint=_last_checkpoint(run),
            promoted=count("checkpoint_promoted") > 0,
            exact_replays=count("verification_passes", "exact"),
            stage_completed=count("stage_completed") > 0,
            finished=count("progress", "finished") > 0,
            # The last attempt that opened a stream: one that died before it did has nothing to pin.
            previous=log.previous_ends(folder, last_attempt + 1),
        )
    return folder, past


def _last_checkpoint(run: Run) -> Recorded | None:
    row = run.con.execute(
        "select checkpoint_id, step, cursor_position, files from checkpoint_written "
        "order by attempt desc, step desc limit 1"
    ).fetchone()
    if row is None:
        return None
    files = [(file["path"], file["bytes"], file["sha256"]) for file in row[3]]
    return Recorded(checkpoint_id=row[0], step=row[1], position=row[2], files=files)


# ---- Facts ----


class Recorder:
    """One rank's stream in one attempt. Close it, or use it in a `with` statement."""

    def __init__(
        self, run: Path, attempt: int, rank: int, previous: list[events.StreamEnd], on_failure: log.OnFailure
    ) -> None:
        opened = events.StreamOpened(
            role="train",
            attempt=attempt,
            rank=rank,
            host=socket.gethostname(),
            pid=os.getpid(),
            code_version=__version__,
            attempt_sha256=log.attempt_sha256(run, attempt),
            previous=log.pinned_by(rank, previous),
        )
        self.run, self.attempt = run, attempt
        self.last_step = 0  # That this rank completed in this attempt, or went on from.
        self.writer = log.open_writer(run, opened, on_failure=on_failure)

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()

    def run_started(self, settings: Settings, resume_command: str) -> None:
        self.writer.emit(
            events.RunStarted(
                settings=[events.Setting(name=name, value=value) for name, value in settings.pairs()],
                resume_command=resume_command,
            )
        )

    def declare(self, past: Past, documents: dict[str, str], sequence_index: list[tuple[bytes, int]] | None) -> None:
        """Declare the contracts that are not declared yet, then start the stage; durable on return."""
        for role in DOCUMENT_ROLES:
            if role not in past.documents:
                text = documents[role]
                schema = contracts.DOCUMENTS[role][1]
                sha256 = digest.sha256(text.encode())
                self.writer.emit(
                    events.ContractDeclared(contract_role=role, schema_version=schema, sha256=sha256, document=text)
                )
        if not past.index_declared:
            assert sequence_index is not None, "the index is made anew when it is not declared"
            text = log.add_files(self.run, "sequence_index", sequence_index)
            self.writer.emit(
                events.ContractDeclared(
                    contract_role="sequence_index",
                    schema_version=SEQUENCE_INDEX_SCHEMA,
                    sha256=digest.sha256(text.encode()),
                    document=text,
                )
            )
        if not past.stage_started:
            self.writer.emit(
                events.StageStarted(
                    stage_id=stage_id(self.run.name),
                    stage_kind="pretrain",
                    ordinal=1,
                    checkpoint_family=CHECKPOINT_FAMILY,
                    config_sha256=digest.sha256(documents["stage_config"].encode()),
                    base_checkpoint_id=None,
                )
            )

    def attempt_started(self, world_size: int, circumstances: dict[str, Any], checkpoint: Recorded | None) -> None:
        self.last_step = 0 if checkpoint is None else checkpoint.step
        self.writer.emit(
            events.AttemptStarted(
                checkpoint_id=None if checkpoint is None else checkpoint.checkpoint_id,
                cut_step=0 if checkpoint is None else checkpoint.step,
                cursor_position=0 if checkpoint is None else checkpoint.position,
                world_size=world_size,
                data_workers=0,
                **circumstances
                | {
                    "versions": [
                        events.Version(name=name, version=number) for name, number in circumstances["versions"]
                    ],
                    "devices": [events.Device(**device) for device in circumstances["devices"]],
                },
            )
        )

    def checkpoint_loaded(self, checkpoint: Recorded, object_sha256: bytes) -> None:
        self.writer.emit(events.CheckpointLoaded(checkpoint_id=checkpoint.checkpoint_id, object_sha256=object_sha256))

    def batch_replayed(
        self, step: int, micro_step: int, positions: range, drawn: Sequence[tuple[str, int]], ids: Tensor
    ) -> None:
        """A micro batch on its way into the model: `ids` is the very tensor, int64 [sequences, tokens]."""
        families = [family for family, _ in drawn]
        self.writer.emit(
            events.BatchReplayed(
                pass_id=TRAIN_PASS,
                step=step,
                micro_step=micro_step,
                first_position=positions.start,
                stride=positions.step,
                sequences=len(positions),
                sequence_ids=[sequence_id for _, sequence_id in drawn],
                sequence_sha256s=[],
                family_tokens=[
                    events.FamilyTokens(source_family_id=family, tokens=families.count(family) * ids.shape[1])
                    for family in sorted(set(families))
                ],
                tokens=ids.numel(),
                target_tokens=ids.numel() - len(positions),
                token_sha256=hashlib.sha256(ids.numpy().astype("<u4").tobytes()).digest(),
            )
        )

    def step_completed(self, **facts: Any) -> None:
        """The fields of the event but its pass."""
        self.last_step = facts["step"]
        self.writer.emit(events.StepCompleted(pass_id=TRAIN_PASS, **facts))

    def split_loss_measured(self, step: int, measured: Measured) -> None:
        row, nanonats = measured.evaluation_set, measured.loss_sum_nanonats
        self.writer.emit(
            events.SplitLossMeasured(
                evaluation_id=self.evaluation_id(step),
                step=step,
                checkpoint_id=None,
                evaluation_set=row["evaluation_set"],
                split_name=row["split_name"],
                source_family_id=row["source_family_id"],
                sequences=row["sequences"],
                first_sequence_id=row["first_sequence_id"],
                end_sequence_id=row["end_sequence_id"],
                stride=row["stride"],
                sequences_sha256=None,
                loss_sum_nanonats=0 if nanonats is None else nanonats,
                is_finite=nanonats is not None,
                target_tokens=measured.target_tokens,
                token_sha256=measured.token_sha256,
            )
        )

    def evaluation_id(self, step: int) -> str:
        """The evaluation of this attempt at a step."""
        return f"e{self.attempt:04}-s{step:06}"

    def checkpoint_written(self, written: Written, parent: str | None, descriptor: str) -> None:
        """Only after the checkpoint is durable."""
        model = contracts.decode_document("model_descriptor", descriptor)
        self.writer.emit(
            events.CheckpointWritten(
                checkpoint_id=written.checkpoint_id,
                checkpoint_family=CHECKPOINT_FAMILY,
                step=written.step,
                parent_checkpoint_id=parent,
                files=[
                    events.CheckpointFile(path=path, bytes=size, sha256=sha256, role=role)
                    for (path, size, sha256), role in zip(written.files, written.roles, strict=True)
                ],
                tensor_layout_digest=bytes.fromhex(model.checkpoint_contract.tensor_layout_digest),
                cursor_position=written.position,
                writer_node_id=socket.gethostname(),
                started_at_ns=written.started_at_ns,
                durable_at_ns=written.durable_at_ns,
            )
        )

    def checkpoint_promoted(self, checkpoint_id: str, label: str, object_sha256: bytes) -> None:
        """The checkpoint at the horizon."""
        self.writer.emit(
            events.CheckpointPromoted(
                checkpoint_id=checkpoint_id,
                label=label,
                object_sha256=object_sha256,
                criterion="last",
                criterion_split=None,
                evaluation_id=None,
            )
        )

    def stream_ended(self, last_step: int, *, completed: bool) -> None:
        """The last event of this rank's stream."""
        self.writer.emit(events.StreamEnded(outcome="completed" if completed else "stopped", last_step=last_step))


# ---- The end of a run ----


def complete(run: Path, attempt: int, past: Past, corpus: Path) -> None:
    """The rest after every train stream has ended: dry replays, receipt, completion, finish; each on sealed events.

    A replay that differs ends it there: such a run gets no receipt, and the audit that follows says why.
    """
    with phase("sealing"):
        log.seal_in_child(run)
    if not past.stage_completed:
        with phase("replaying order and content"):
            equal = [_replay_in_child(run, corpus) for _ in range(past.exact_replays, DRY_REPLAYS)]
            log.seal_in_child(run)
        if not all(equal):
            return
    with completion.open_completion(run, attempt) as writer:
        # Read again: another process may have come further since `past` was read, and may have died.
        with Run(read(run)) as now:
            received, completed = (
                now.first(f"select 1 from {kind}") for kind in ("receipt_recorded", "stage_completed")
            )
        if not completed:
            with phase("deriving the receipt"):
                if not received:
                    record_receipt(run, writer)
                complete_stage(run, writer)
        with phase("finishing the record"):
            completion.finish_run(writer, "completed")
    log.seal_in_child(run)


def _replay_in_child(run: Path, corpus: Path) -> bool:
    """A dry replay by a process that reopens contracts and shards: whether it equalled training."""
    done = subprocess.run(
        log.child_command(
            "psion_ledger", "replay", run.name, "--ledger", str(run.parent), "--corpus", str(corpus), "--record"
        ),
        capture_output=True,
        text=True,
    )
    verdict = done.stdout.split(maxsplit=1)[:1]
    if (done.returncode, verdict) not in ((0, ["exact"]), (1, ["differs"])):
        raise CannotDecide(f"run {run.name}: a dry replay failed: {done.stderr.strip()}")
    return done.returncode == 0


def audit(run: Path, artifacts: Path, corpus: Path) -> int:
    """Audit the run in a process of its own, which prints its report on our stdout; returns its exit code, which is 3
    when it was killed."""
    sys.stdout.flush()
    code = subprocess.run(
        log.child_command(
            "psion_ledger", "audit", run.name, "--ledger", str(run.parent),
            "--require", "replayed", "--artifacts", str(artifacts), "--corpus", str(corpus),
        )
    ).returncode  # fmt: skip
    return code if 0 <= code <= EXIT_CODE_MAX else CannotDecide.exit_code
