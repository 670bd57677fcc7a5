"""A small recorder: what a faultless loop would record of a plan, as a script for the real log.

It knows nothing of the engine's checks: positions come from the plan, ids from the order that it is given, tokens from
the rows' lengths. The public recorder will take its place.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from psion_ledger import events, log
from psion_ledger.contracts import Contracts, PlanFamily, SamplingPlan
from psion_ledger.contracts.codec import encode_document
from psion_ledger.contracts.steps import Cell, cells, position_after, positions_of
from psion_ledger.digest import sha256
from psion_ledger.log.indexes import DOCUMENT_INDEX_SCHEMA
from tests.corpora import index_bytes, parquet_of, token_digest
from tests.emitted import ended, started
from tests.ledgers import COMPLETION, Mark, Script, close, opened, seal

FAMILY = "text"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One start: on how many ranks, from which checkpoint's step (null: none), until which step it recorded."""

    world: int = 1
    cut: int | None = None
    until: int


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """A loop over `contracts`: the entry at each position, the tokens of each entry, its attempts, and what it does
    besides. `late_steps` is how many steps behind a checkpoint is recorded. Of real data, `digest` is that of the
    tokens of sequences, and `index_files` has the parts of the index."""

    contracts: Contracts
    entry: Callable[[int], int]
    tokens: Callable[[int], int]
    attempts: tuple[Attempt, ...]
    documents: Callable[[int], list[dict[str, Any]]] = lambda entry: []
    skipped: tuple[tuple[int, int], ...] = ()
    refused: frozenset[int] = frozenset()
    checkpoint_every: int | None = None
    late_steps: int = 0
    order_files: tuple[tuple[bytes, int], ...] = ()
    digest: Callable[[list[int]], bytes] = token_digest
    index_files: tuple[tuple[bytes, int], ...] = ()
    losses: Callable[[int], int] = lambda step: 5_000_000_000
    promoted: events.CheckpointPromoted | None = None

    @property
    def plan(self) -> SamplingPlan:
        return self.contracts.sampling_plan

    @property
    def train(self) -> PlanFamily:
        (family,) = self.plan.train_families
        return family


def one_family(sequences: int, tokens: int, held_out: int = 0) -> list[PlanFamily]:
    """The families of a plan: one of train, and perhaps one that is held out before it."""
    sizes = [("held_out", held_out), ("train", sequences)]
    families, first = [], 0
    for split, count in sizes:
        if count:
            families.append(
                PlanFamily(
                    split_name=split,
                    split_kind="train" if split == "train" else "held_out",
                    source_family_id=FAMILY,
                    first_sequence_id=first,
                    end_sequence_id=first + count,
                    sequences=count,
                    tokens=count * tokens,
                    shard_ids=[f"{split}-0"],
                )
            )
            first += count
    return families


def rows_of(loop: Loop) -> list[dict[str, Any]]:
    """The sequence index."""
    rows = []
    for family in loop.plan.families:
        for sequence_id in range(family.first_sequence_id, family.end_sequence_id):
            entry = sequence_id - loop.train.first_sequence_id
            tokens = loop.tokens(entry)
            documents = loop.documents(entry) or [
                {
                    "source_id": family.split_name,
                    "document_id": f"{family.split_name}/{sequence_id}",
                    "first_token": 0,
                    "tokens": tokens,
                }
            ]
            rows.append(
                {
                    "sequence_id": sequence_id,
                    "split_name": family.split_name,
                    "source_family_id": family.source_family_id,
                    "tokens": tokens,
                    "token_sha256": sha256(b"tokens of sequence %d" % sequence_id),
                    "documents": documents,
                }
            )
    return rows


def documents_of(loop: Loop) -> list[dict[str, Any]]:
    """The document index of windows: documents of 24 tokens, and a last one of what is left."""
    return [
        {
            "split_name": family.split_name,
            "source_family_id": family.source_family_id,
            "source_id": family.split_name,
            "document_id": f"{family.split_name}/{first // 24}",
            "first_token": first,
            "tokens": min(24, family.tokens - first),
        }
        for family in loop.plan.families
        for first in range(0, family.tokens, 24)
    ]


def declared(role: events.ContractRole, document: Any) -> events.ContractDeclared:
    text = encode_document(document)
    return events.ContractDeclared(
        contract_role=role, schema_version=document.schema_version, sha256=sha256(text.encode()), document=text
    )


def files(role: Any, parts: list[tuple[bytes, int]], suffix: str = "parquet") -> Mark:
    def declare(folder: Any, writer: log.Writer) -> None:
        listed = log.add_files(folder, role, parts, suffix)
        writer.emit(
            events.ContractDeclared(
                contract_role=role,
                schema_version=f"psion_ledger.{role}.v1",
                sha256=sha256(listed.encode()),
                document=listed,
            )
        )

    return declare


def contracts_of(loop: Loop) -> Iterator[events.Event | Mark]:
    roles: tuple[events.ContractRole, ...] = (
        "stage_config", "model_descriptor", "tokenized_corpus", "sampling_policy", "sampling_plan", "token_data",
    )  # fmt: skip
    for role in roles:
        if (document := getattr(loop.contracts, role)) is not None:
            yield declared(role, document)
    if loop.plan.unit == "sequence":
        rows = [] if loop.index_files else rows_of(loop)
        yield files("sequence_index", list(loop.index_files) or [(index_bytes(rows), len(rows))])
    if loop.plan.unit == "window":
        documents = [] if loop.index_files else documents_of(loop)
        made = [(parquet_of(documents, DOCUMENT_INDEX_SCHEMA), len(documents))]
        yield files("document_index", list(loop.index_files) or made)
    if loop.order_files:
        yield files("order_files", list(loop.order_files), "u4")


def batch(loop: Loop, step: int, cell: Cell, kind: type = events.BatchReplayed, **more: Any) -> Any:
    """One rank's micro batch."""
    entries = [loop.entry(position) for position in cell.positions]
    ids = [loop.train.first_sequence_id + entry for entry in entries]
    tokens = [loop.tokens(entry) for entry in entries]
    by_content = loop.plan.unit == "content"
    targets = sum(tokens) - len(tokens) if loop.plan.targets == "all_but_first" else sum(tokens)
    return kind(
        pass_id="train",
        step=step,
        micro_step=cell.micro_step,
        first_position=None if loop.plan.batch.schedule is None else cell.first_position,
        stride=cell.stride,
        sequences=cell.sequences,
        sequence_ids=[] if by_content else ids,
        sequence_sha256s=[sha256(b"tokens of sequence %d" % i) for i in ids] if by_content else [],
        family_tokens=[events.FamilyTokens(source_family_id=FAMILY, tokens=sum(tokens))],
        tokens=sum(tokens),
        target_tokens=targets,
        token_sha256=loop.digest(ids),
        **more,
    )


def checkpoint_id(attempt: int, step: int) -> str:
    return f"a{attempt:04}-s{step:06}"


def checkpoint(loop: Loop, attempt: int, step: int, parent: str | None) -> events.CheckpointWritten:
    name = checkpoint_id(attempt, step)
    return events.CheckpointWritten(
        checkpoint_id=name,
        checkpoint_family="run",
        step=step,
        parent_checkpoint_id=parent,
        files=[events.CheckpointFile(path=f"{name}/model", bytes=9, sha256=weights(step), role="weights")],
        tensor_layout_digest=sha256(b"layout"),
        cursor_position=cursor(loop, step),
        writer_node_id="node-a",
        started_at_ns=1,
        durable_at_ns=2,
    )


def weights(step: int) -> bytes:
    return sha256(b"weights after step %d" % step)


def cursor(loop: Loop, step: int) -> int:
    """The position behind a step, with what was skipped on the way."""
    unplanned = sum(count for before, count in loop.skipped if before <= step)
    return position_after(loop.plan, step) + unplanned


def measured(loop: Loop, attempt: int, step: int) -> Iterator[events.Event]:
    for row in loop.plan.evaluation_sets:
        ids = list(range(row.first_sequence_id or 0, row.end_sequence_id or 0, row.stride or 1))
        tokens = [loop.tokens(i - loop.train.first_sequence_id) for i in ids]
        yield events.SplitLossMeasured(
            evaluation_id=f"e{attempt:04}-s{step:06}",
            step=step,
            checkpoint_id=None,
            evaluation_set=row.evaluation_set,
            split_name=row.split_name,
            source_family_id=row.source_family_id,
            sequences=row.sequences,
            first_sequence_id=row.first_sequence_id,
            end_sequence_id=row.end_sequence_id,
            stride=row.stride or 1,
            sequences_sha256=None,
            loss_sum_nanonats=loop.losses(step) * (sum(tokens) - len(tokens)),
            is_finite=True,
            target_tokens=sum(tokens) - len(tokens),
            token_sha256=loop.digest(ids),
        )


def script_of(loop: Loop) -> Script:
    """Everything that the loop records, attempt by attempt; each attempt but the last is killed."""
    script: Script = []
    for number, attempt in enumerate(loop.attempts, start=1):
        script += _attempt(loop, number, attempt)
        is_last = number == len(loop.attempts)
        for rank in range(attempt.world):
            stream = f"t{number:04}.r{rank:05}"
            script += [(stream, ended(attempt.until)), (stream, close)] if is_last else [(stream, close)]
        script.append((f"t{number:04}.r00000", seal))
    finished = events.RunFinished(outcome="completed", reason=None)
    opening = opened(len(loop.attempts), role="complete")
    return [*script, (COMPLETION, opening), (COMPLETION, finished), (COMPLETION, close), (COMPLETION, seal)]


def _attempt(loop: Loop, number: int, attempt: Attempt) -> Script:
    rank0, cut = f"t{number:04}.r00000", attempt.cut or 0
    loaded = None if attempt.cut is None else _written_at(loop, attempt.cut)
    script: Script = []
    for rank in range(attempt.world):
        stream = f"t{number:04}.r{rank:05}"
        script.append((stream, opened(number, rank)))
        if rank == 0 and number == 1:
            script.append((stream, events.RunStarted(settings=[], resume_command=None)))
            script += [(stream, step) for step in contracts_of(loop)]
        start = started(loop.contracts, attempt.world, cut, loaded, cursor_position=cursor(loop, cut))
        script.append((stream, start))
    if loaded is not None:
        script.append((rank0, events.CheckpointLoaded(checkpoint_id=loaded, object_sha256=weights(cut))))
    parent = loaded
    if loop.checkpoint_every is not None and loaded is None:
        script += [(rank0, event) for event in measured(loop, number, 0)]
        script.append((rank0, checkpoint(loop, number, 0, None)))
        parent = checkpoint_id(number, 0)
    for step in range(cut + 1, attempt.until + 1):
        script += _step(loop, number, attempt, step)
        saved = step - loop.late_steps
        if loop.checkpoint_every is not None:
            due = range(saved, attempt.until + 1) if step == loop.plan.horizon_steps else [saved]
            if step % loop.checkpoint_every == 0:
                script += [(rank0, event) for event in measured(loop, number, step)]
            for own in due:
                if own > cut and own % loop.checkpoint_every == 0:
                    script.append((rank0, checkpoint(loop, number, own, parent)))
                    parent = checkpoint_id(number, own)
    if loop.promoted is not None and attempt is loop.attempts[-1]:
        script.append((rank0, loop.promoted))
    return script


def _written_at(loop: Loop, step: int) -> str:
    """The checkpoint of a step, by the last attempt that reached it before a later one began."""
    starts = enumerate(loop.attempts[:-1], start=1)
    reached = [n for n, attempt in starts if (-1 if attempt.cut is None else attempt.cut) < step <= attempt.until]
    return checkpoint_id(reached[-1], step)


def _step(loop: Loop, number: int, attempt: Attempt, step: int) -> Script:
    script: Script = []
    shift = sum(count for before, count in loop.skipped if before <= step)
    own = positions_of(loop.plan, step)
    positions = range(own.start + shift, own.stop + shift)
    left_out = sum(count for before, count in loop.skipped if before == step)
    left_out += sum(skip.sequences for skip in loop.plan.planned_skips if skip.before_step == step)
    dealt = list(cells(loop.plan, positions, attempt.world))
    divisor = sum(batch(loop, step, cell).target_tokens for cell in dealt)
    for rank in range(attempt.world):
        stream = f"t{number:04}.r{rank:05}"
        if left_out and rank == 0:
            gone = Cell(rank=0, micro_step=0, first_position=positions.start - left_out, stride=1, sequences=left_out)
            script.append((stream, batch(loop, step, gone, events.BatchSkipped, reason="the loss rose")))
        targets = 0
        for cell in (cell for cell in dealt if cell.rank == rank):
            made = batch(loop, step, cell)
            targets += made.target_tokens
            script.append((stream, made))
        completed = events.StepCompleted(
            pass_id="train", step=step, loss_sum_nats=float(targets), target_tokens=targets,
            loss_divisor=float(divisor), loss_nats=1.0, grad_norm=1.0, learning_rate=1e-3, step_ms=1.0,
            updated=step not in loop.refused, trace_sha256=None, trainer_step=step - 1,
        )  # fmt: skip
        script.append((stream, completed))
    return script
