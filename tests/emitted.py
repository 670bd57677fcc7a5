"""The events of the small run, as a trainer that keeps its contracts emits them."""

from typing import Any, Literal

import msgspec

from psion_ledger import events
from psion_ledger.contracts import Contracts
from psion_ledger.contracts.codec import encode_document
from psion_ledger.contracts.steps import Cell, cells, position_after, positions_of
from psion_ledger.digest import sha256
from tests.corpora import ids_between, order_of, token_digest
from tests.documents import SEQUENCE_TOKENS, descriptor_of

FAMILY = "train.psion.decoder"
ROLES: tuple[events.ContractRole, ...] = (
    "stage_config", "model_descriptor", "tokenized_corpus", "sampling_policy", "sampling_plan"
)  # fmt: skip


def declared(contracts: Contracts) -> list[events.Event]:
    texts = {role: encode_document(getattr(contracts, role)) for role in ROLES}
    return [
        events.ContractDeclared(
            contract_role=role, schema_version=getattr(contracts, role).schema_version, sha256=sha256(text.encode()),
            document=text,
        )
        for role, text in texts.items()
    ]  # fmt: skip


def batch(
    contracts: Contracts, step: int, world: int, rank: int, micro_step: int, **changes: Any
) -> events.BatchReplayed:
    """What a rank takes in a micro step, as the plan deals it."""
    plan = contracts.sampling_plan
    dealt = cells(plan, positions_of(plan, step), world)
    return batch_of(contracts, step, next(c for c in dealt if (c.rank, c.micro_step) == (rank, micro_step)), **changes)


def batch_of(contracts: Contracts, step: int, cell: Cell, **changes: Any) -> events.BatchReplayed:
    own = cell.positions
    ids = list(ids_between(order_of(contracts), own.start, own[-1] + 1))[:: own.step]
    families = {
        f.source_family_id: sum(f.first_sequence_id <= i < f.end_sequence_id for i in ids) * SEQUENCE_TOKENS
        for f in contracts.sampling_plan.train_families
    }
    made = events.BatchReplayed(
        pass_id="train", step=step, micro_step=cell.micro_step, first_position=cell.first_position, stride=cell.stride,
        sequences=cell.sequences, sequence_ids=ids, sequence_sha256s=[], tokens=cell.sequences * SEQUENCE_TOKENS,
        target_tokens=cell.sequences * (SEQUENCE_TOKENS - 1), token_sha256=token_digest(ids),
        family_tokens=[events.FamilyTokens(source_family_id=n, tokens=t) for n, t in sorted(families.items()) if t],
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def completed(contracts: Contracts, step: int, world: int = 1, **changes: Any) -> events.StepCompleted:
    """A rank's end of a step in which all ranks have as many target tokens and as much loss."""
    divisor = len(positions_of(contracts.sampling_plan, step)) * (SEQUENCE_TOKENS - 1)
    made = events.StepCompleted(
        pass_id="train", step=step, loss_sum_nats=5.5 * (divisor // world), target_tokens=divisor // world,
        loss_divisor=float(divisor), loss_nats=5.5, grad_norm=1.25, learning_rate=1e-3, step_ms=20.5, updated=True,
        trace_sha256=sha256(b"trace %d" % step), trainer_step=None,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def measured(contracts: Contracts, attempt: int, step: int) -> list[events.Event]:
    return [
        events.SplitLossMeasured(
            evaluation_id=f"e{attempt:04}-s{step:06}", step=step, checkpoint_id=None, evaluation_set=e.evaluation_set,
            split_name=e.split_name, source_family_id=e.source_family_id, sequences=e.sequences,
            first_sequence_id=e.first_sequence_id, end_sequence_id=e.end_sequence_id, stride=e.stride or 1,
            sequences_sha256=None, loss_sum_nanonats=5_000_500_000 * e.sequences * (SEQUENCE_TOKENS - 1),
            is_finite=True, target_tokens=e.sequences * (SEQUENCE_TOKENS - 1),
            token_sha256=token_digest(list(range(e.first_sequence_id or 0, e.end_sequence_id or 0, e.stride or 1))),
        )
        for e in contracts.sampling_plan.evaluation_sets
    ]  # fmt: skip


def checkpoint_id(attempt: int, step: int) -> str:
    return f"a{attempt:04}-s{step:06}"


def weights(step: int) -> bytes:
    return b"weights after step %d" % step


def written(contracts: Contracts, attempt: int, step: int, parent: str | None) -> events.CheckpointWritten:
    name = checkpoint_id(attempt, step)
    descriptor = descriptor_of(contracts)
    return events.CheckpointWritten(
        checkpoint_id=name, checkpoint_family=FAMILY, step=step, parent_checkpoint_id=parent,
        files=[
            events.CheckpointFile(
                path=f"checkpoints/{name}/model.safetensors", bytes=len(weights(step)), sha256=sha256(weights(step)),
                role="weights",
            )
        ],
        tensor_layout_digest=bytes.fromhex(descriptor.checkpoint_contract.tensor_layout_digest),
        cursor_position=position_after(contracts.sampling_plan, step), writer_node_id="node-a",
        started_at_ns=1_000_000_000, durable_at_ns=2_000_000_000,
    )  # fmt: skip


def started(contracts: Contracts, world: int, cut: int, loaded: str | None, **changes: Any) -> events.AttemptStarted:
    made = events.AttemptStarted(
        launch_id=None, checkpoint_id=loaded, cut_step=cut,
        cursor_position=position_after(contracts.sampling_plan, cut), world_size=world,
        data_workers=0, git_commit=None, git_dirty=None,
        versions=[events.Version(name="python", version="3.11")], isa="AVX2", threads_per_process=1,
        devices=[
            events.Device(
                stable_device_id="cpu:0", backend="cpu", name="a cpu", total_memory_bytes=8, free_memory_bytes=4,
                topology_key=None,
            )
        ],
        deterministic=True,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def promoted(attempt: int, step: int) -> events.CheckpointPromoted:
    return events.CheckpointPromoted(
        checkpoint_id=checkpoint_id(attempt, step), label="small-final", object_sha256=sha256(weights(step)),
        criterion="last", criterion_split=None, evaluation_id=None,
    )  # fmt: skip


def ended(last_step: int, outcome: Literal["completed", "stopped", "failed"] = "completed") -> events.StreamEnded:
    return events.StreamEnded(outcome=outcome, last_step=last_step)
