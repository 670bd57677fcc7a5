"""Ledgers from a list of events, for tests: a good small run, the edits that break it, and the real writer.

A script is a list of (stream, step): an event to emit on that stream, or a function of (run folder, writer) such as
`record` or `complete`. `write_ledger` runs it through the real log: journals, seals, manifest.
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from psion_ledger import events, log
from psion_ledger.contracts import Contracts, PlanFamily, model_descriptor_digest
from psion_ledger.contracts.codec import encode_document
from psion_ledger.digest import sha256
from psion_ledger.errors import LedgerError
from psion_ledger.orders import Order, derived
from psion_ledger.program import complete_stage
from psion_ledger.receipts import record_receipt
from psion_ledger.relations import SEQUENCE_INDEX_SCHEMA
from psion_ledger.replay import declared_corpus_digest
from tests.documents import SEQUENCE_TOKENS, SOURCES, changed, small_contracts

RUN_ID = "run-small"
RANK0 = "t0001.r00000"
FAMILY = "train.psion.decoder"
ROLES: tuple[events.ContractRole, ...] = (
    "stage_config", "model_descriptor", "tokenized_corpus", "sampling_policy", "sampling_plan"
)  # fmt: skip
Mark = Callable[[Path, log.Writer], object]
Script = list[tuple[str, events.Event | Mark]]


def tokens_of(sequence_id: int) -> list[int]:
    """The 32 token ids of a sequence: no two sequences have the same."""
    return [(sequence_id * 7 + place * 3) % 509 for place in range(SEQUENCE_TOKENS)]


def token_digest(sequence_ids: list[int]) -> bytes:
    ids = [token for sequence_id in sequence_ids for token in tokens_of(sequence_id)]
    return sha256(struct.pack(f"<{len(ids)}I", *ids))


def shard_bytes(family: PlanFamily) -> bytes:
    """A shard file: little-endian uint16."""
    ids = [t for i in range(family.first_sequence_id, family.end_sequence_id) for t in tokens_of(i)]
    return struct.pack(f"<{len(ids)}H", *ids)


def write_shards(folder: Path, contracts: Contracts) -> Path:
    """The corpus's shard files."""
    folder.mkdir(parents=True, exist_ok=True)
    for family in contracts.sampling_plan.families:
        (folder / f"{family.shard_ids[0]}.bin").write_bytes(shard_bytes(family))
    return folder


def index_rows(contracts: Contracts) -> list[dict[str, Any]]:
    """The sequence index: every four sequences of a family are one document."""
    return [
        {
            "sequence_id": sequence_id,
            "split_name": family.split_name,
            "source_family_id": family.source_family_id,
            "tokens": SEQUENCE_TOKENS,
            "token_sha256": token_digest([sequence_id]),
            "documents": [_document(family.split_name, family.source_family_id, sequence_id)],
        }
        for family in contracts.sampling_plan.families
        for sequence_id in range(family.first_sequence_id, family.end_sequence_id)
    ]


def _document(split: str, family: str, sequence_id: int) -> dict[str, Any]:
    sources = SOURCES[family]
    return {
        "source_id": sources[sequence_id // 4 % len(sources)],
        "document_id": f"{split}/{family}/{sequence_id // 4}",
        "tokens": SEQUENCE_TOKENS,
    }


def index_bytes(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=SEQUENCE_INDEX_SCHEMA), sink)
    return bytes(sink.getvalue())


def real_contracts(rows: list[dict[str, Any]] | None = None, **sizes: Any) -> Contracts:
    """`small_contracts` whose shard digests and index digest are those of the files that go with them."""
    contracts = small_contracts(run_id=RUN_ID, **sizes)
    digests: dict[str, object] = {}
    for place, shard in enumerate(contracts.tokenized_corpus.shards):
        family = next(f for f in contracts.sampling_plan.families if shard.shard_id in f.shard_ids)
        digests[f"/shards/{place}/shard_digest"] = f"sha256:{sha256(shard_bytes(family)).hex()}"
    index = index_bytes(index_rows(contracts) if rows is None else rows)
    return msgspec.structs.replace(
        contracts,
        tokenized_corpus=changed(contracts.tokenized_corpus, digests),
        sampling_plan=changed(contracts.sampling_plan, {"/sequence_index_sha256": sha256(index).hex()}),
    )


def opened(attempt: int = 1, rank: int = 0, **values: Any) -> events.StreamOpened:
    known: dict[str, Any] = {"role": "train", "host": "node-a", "pid": 1, "code_version": "0", "previous": []}
    return events.StreamOpened(attempt=attempt, rank=rank, **(known | values))


def declared(contracts: Contracts) -> list[events.Event]:
    texts = {role: encode_document(getattr(contracts, role)) for role in ROLES}
    return [
        events.ContractDeclared(
            contract_role=role, schema_version=getattr(contracts, role).schema_version, sha256=sha256(text.encode()),
            document=text, path=None,
        )
        for role, text in texts.items()
    ]  # fmt: skip


_ORDERS: dict[tuple[str, str], Order] = {}


def order_of(contracts: Contracts) -> Order:
    """The contracts' order; it takes a tenth of a second to make, so tests share it."""
    key = (encode_document(contracts.sampling_policy), encode_document(contracts.sampling_plan))
    if key not in _ORDERS:
        _ORDERS[key] = derived(contracts)
    return _ORDERS[key]


_IDS: dict[tuple[int, int, int], tuple[int, ...]] = {}


def _ids(order: Order, first: int, end: int) -> tuple[int, ...]:
    """Most scripts train the same positions, and deriving them took half of their tests' time."""
    key = (id(order), first, end)  # `_ORDERS` keeps each one.
    if key not in _IDS:
        _IDS[key] = tuple(order.sequence_ids(first, end).tolist())
    return _IDS[key]


def batch(contracts: Contracts, step: int, world: int, micro: int, part: int, **changes: Any) -> events.BatchReplayed:
    size = contracts.sampling_plan.global_batch_sequences
    each = size // (world * micro)
    first = (step - 1) * size + part * each
    ids = list(_ids(order_of(contracts), first, first + each))
    families = {
        f.source_family_id: sum(f.first_sequence_id <= i < f.end_sequence_id for i in ids) * SEQUENCE_TOKENS
        for f in contracts.sampling_plan.families
        if f.split_kind == "train"
    }
    made = events.BatchReplayed(
        pass_id="train", step=step, micro_step=part % micro, first_position=first, end_position=first + each,
        sequence_ids=ids, tokens=each * SEQUENCE_TOKENS, token_sha256=token_digest(ids),
        family_tokens=[events.FamilyTokens(source_family_id=n, tokens=t) for n, t in sorted(families.items()) if t],
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def completed(contracts: Contracts, step: int) -> events.StepCompleted:
    divisor = contracts.sampling_plan.global_batch_sequences * (SEQUENCE_TOKENS - 1)
    return events.StepCompleted(
        pass_id="train", step=step, loss_sum_nats=5.5 * divisor, loss_divisor_tokens=divisor, loss_nats=5.5,
        grad_norm=1.25, learning_rate=1e-3, step_ms=20.5, trace_sha256=sha256(b"trace %d" % step),
    )  # fmt: skip


def measured(contracts: Contracts, attempt: int, step: int) -> list[events.Event]:
    return [
        events.SplitLossMeasured(
            evaluation_id=f"e{attempt:04}-s{step:06}", step=step, split_name=e.split_name, split_kind=e.split_kind,
            source_family_id=e.source_family_id, source_ids=SOURCES[e.source_family_id],
            loss_sum_nats=5.0 * e.sequences * (SEQUENCE_TOKENS - 1),
            loss_sum_nanonats=5_000_500_000 * e.sequences * (SEQUENCE_TOKENS - 1),
            target_tokens=e.sequences * (SEQUENCE_TOKENS - 1), first_sequence_id=e.first_sequence_id,
            end_sequence_id=e.end_sequence_id,
            token_sha256=token_digest(list(range(e.first_sequence_id, e.end_sequence_id))),
        )
        for e in contracts.sampling_plan.evaluation_sets
    ]  # fmt: skip


def checkpoint_id(attempt: int, step: int) -> str:
    return f"a{attempt:04}-s{step:06}"


def weights(step: int) -> bytes:
    return b"weights after step %d" % step


def written(contracts: Contracts, attempt: int, step: int, parent: str | None) -> events.CheckpointWritten:
    name = checkpoint_id(attempt, step)
    descriptor = contracts.model_descriptor
    return events.CheckpointWritten(
        checkpoint_id=name, checkpoint_family=FAMILY, step=step, parent_checkpoint_id=parent,
        files=[
            events.FileDigest(
                path=f"checkpoints/{name}/model.safetensors", bytes=len(weights(step)), sha256=sha256(weights(step))
            )
        ],
        weights_sha256=sha256(weights(step)), optimizer_sha256=sha256(b"optimizer"), rng_sha256=sha256(b"rng"),
        tensor_layout_digest=bytes.fromhex(descriptor.checkpoint_contract.tensor_layout_digest),
        model_descriptor_digest=bytes.fromhex(model_descriptor_digest(descriptor)),
        cursor_position=step * contracts.sampling_plan.global_batch_sequences, writer_node_id="node-a",
        started_at_ns=1_000_000_000, durable_at_ns=2_000_000_000,
    )  # fmt: skip


def started(world: int, micro: int, cut: int, batch_size: int, loaded: str | None) -> events.AttemptStarted:
    return events.AttemptStarted(
        checkpoint_id=loaded, cut_step=cut, cursor_position=cut * batch_size, world_size=world,
        micro_steps=micro, data_workers=0,
    )  # fmt: skip


def promoted(attempt: int, step: int) -> events.CheckpointPromoted:
    return events.CheckpointPromoted(
        checkpoint_id=checkpoint_id(attempt, step), label="small-final", weights_sha256=sha256(weights(step))
    )


def rotate(folder: Path, writer: log.Writer) -> None:
    writer.rotate()


def seal(folder: Path, writer: log.Writer) -> None:
    from psion_ledger.log.segment import seal_run

    seal_run(folder)


def close(folder: Path, writer: log.Writer) -> None:
    writer.close()


def record(folder: Path, writer: log.Writer) -> None:
    record_receipt(folder, writer)


def complete(folder: Path, writer: log.Writer) -> None:
    complete_stage(folder, writer)


def verification(
    contracts: Contracts, name: str, world: int = 1, micro: int = 2, attempt: int = 1, end_step: int | None = None
) -> Script:
    """A complete verification pass that equals training (below `end_step`), on a stream of its own."""
    plan = contracts.sampling_plan
    stream, end = f"v.{name}", end_step or plan.horizon_steps + 1
    batches = [
        batch(contracts, step, world, micro, part, pass_id=name)
        for step in range(1, end)
        for part in range(world * micro)
    ]
    return [
        (stream, opened(attempt, role="verify")),
        (
            stream,
            events.VerificationStarted(
                verification_id=name, method="content", first_step=1, end_step=end,
                sample_bps=10_000, corpus_digest=declared_corpus_digest(contracts.tokenized_corpus),
            ),
        ),
        *((stream, made) for made in batches),
        (
            stream,
            events.VerificationCompleted(
                verification_id=name, batches=len(batches), mismatches=0, first_mismatch_position=None
            ),
        ),
        (stream, close),
    ]  # fmt: skip


def beginning(contracts: Contracts, world: int = 1, micro: int = 2, rows: list[dict[str, Any]] | None = None) -> Script:
    """Rank 0's first attempt up to the root checkpoint; `rows` stand in the index instead of the good ones."""
    run_started = events.RunStarted(
        world_size=world, seeds=[events.Seed(name="order", value=7)],
        horizon_steps=contracts.sampling_plan.horizon_steps,
        git_commit=None, git_dirty=None, versions=[events.Version(name="python", version="3.11")], isa="AVX2",
        threads_per_process=1,
        devices=[
            events.Device(
                stable_device_id="cpu:0", backend="cpu", name="a cpu", total_memory_bytes=8, free_memory_bytes=4,
                topology_key=None,
            )
        ],
        settings=[events.Setting(name="learning_rate", value="0.001")],
    )  # fmt: skip

    def declare_index(folder: Path, writer: log.Writer) -> None:
        path, digest = log.add_sequence_index(folder, index_bytes(index_rows(contracts) if rows is None else rows))
        writer.emit(
            events.ContractDeclared(
                contract_role="sequence_index", schema_version="psion_ledger.sequence_index.v1", sha256=digest,
                document=None, path=path,
            )
        )  # fmt: skip

    config = encode_document(contracts.stage_config)
    stage = events.StageStarted(
        stage_id=f"{RUN_ID}-stage-1-pretrain", stage_kind="pretrain", ordinal=1, checkpoint_family=FAMILY,
        config_sha256=sha256(config.encode()), base_checkpoint_id=None,
    )  # fmt: skip
    size = contracts.sampling_plan.global_batch_sequences
    steps: list[events.Event | Mark] = [
        opened(), run_started, *declared(contracts), declare_index, stage, started(world, micro, 0, size, None),
        *measured(contracts, 1, 0), written(contracts, 1, 0, None),
    ]  # fmt: skip
    return [(RANK0, step) for step in steps]


def joining(contracts: Contracts, world: int, micro: int) -> Script:
    """The streams of the other ranks of the first attempt."""
    size = contracts.sampling_plan.global_batch_sequences
    script: Script = []
    for rank in range(1, world):
        stream = f"t0001.r{rank:05}"
        script += [(stream, opened(rank=rank)), (stream, started(world, micro, 0, size, None))]
    return script


def training(
    contracts: Contracts, attempt: int, steps: range, parent: str, world: int = 1, micro: int = 2, every: int = 2
) -> Script:
    """Rank by rank, step by step; rank 0 measures and writes a checkpoint every `every` steps."""
    script: Script = []
    for step in steps:
        for rank in range(world):
            stream = f"t{attempt:04}.r{rank:05}"
            parts = range(rank * micro, (rank + 1) * micro)
            script += [(stream, batch(contracts, step, world, micro, part)) for part in parts]
            script.append((stream, completed(contracts, step)))
        if step % every == 0:
            rank0 = f"t{attempt:04}.r00000"
            script += [(rank0, event) for event in measured(contracts, attempt, step)]
            script.append((rank0, written(contracts, attempt, step, parent)))
            parent = checkpoint_id(attempt, step)
    return script


def ending(contracts: Contracts, attempt: int, world: int = 1, micro: int = 2) -> Script:
    """Promotion, two dry replays, receipt, completion, finish: the order that the design gives."""
    last = contracts.sampling_plan.horizon_steps
    rank0 = f"t{attempt:04}.r00000"
    script: Script = [(rank0, promoted(attempt, last))]
    for rank in range(1, world):
        stream = f"t{attempt:04}.r{rank:05}"
        script += [(stream, events.RunFinished(outcome="completed")), (stream, close)]
    script += [(rank0, rotate), (rank0, seal)]
    for name in ("first", "second"):
        script += verification(contracts, name, world, micro, attempt)
    script += [
        (rank0, seal), (rank0, record), (rank0, complete), (rank0, events.RunFinished(outcome="completed")),
        (rank0, close), (rank0, seal),
    ]  # fmt: skip
    return script


def good_run(contracts: Contracts, world: int = 1, micro: int = 2) -> Script:
    """A finished run of one attempt."""
    script = beginning(contracts, world, micro) + joining(contracts, world, micro)
    steps = range(1, contracts.sampling_plan.horizon_steps + 1)
    script += training(contracts, 1, steps, checkpoint_id(1, 0), world, micro)
    return script + ending(contracts, 1, world, micro)


def trained_run(
    contracts: Contracts, world: int = 1, micro: int = 2, rows: list[dict[str, Any]] | None = None
) -> Script:
    """A run that was finished without replays and receipt; quick to write, for what does not ask for them."""
    last = contracts.sampling_plan.horizon_steps
    script = beginning(contracts, world, micro, rows) + joining(contracts, world, micro)
    script += training(contracts, 1, range(1, last + 1), checkpoint_id(1, 0), world, micro)
    script.append((RANK0, promoted(1, last)))
    for rank in range(world):
        script.append((f"t0001.r{rank:05}", events.RunFinished(outcome="completed")))
    return script


def resumed_run(contracts: Contracts) -> Script:
    """A run killed after step 3, resumed from the checkpoint at step 2: step 3 is superseded."""
    size = contracts.sampling_plan.global_batch_sequences
    last = contracts.sampling_plan.horizon_steps
    second = "t0002.r00000"

    resumed: Script = [
        (RANK0, close), (RANK0, seal), (second, opened(attempt=2)),
        (second, started(1, 2, 2, size, checkpoint_id(1, 2))),
        (
            second,
            events.CheckpointLoaded(
                checkpoint_id=checkpoint_id(1, 2), weights_sha256=sha256(weights(2)), cursor_position=2 * size
            ),
        ),
    ]  # fmt: skip
    return (
        beginning(contracts)
        + training(contracts, 1, range(1, 4), checkpoint_id(1, 0))
        + resumed
        + training(contracts, 2, range(3, last + 1), checkpoint_id(1, 2))
        + ending(contracts, 2)
    )


def written_step_by_step(ledger: Path, script: Script, *, strict: bool = True) -> Iterator[Path]:
    """Run a script through the real log; after each of its steps, the run's folder as a reader then finds it.

    With `strict` off, marks that the broken run refuses (a receipt that cannot be derived) are passed over.
    A `stream_opened` of a later attempt pins what the attempt before left, as the real trainer's does.
    """
    folder = log.create_run(ledger, RUN_ID)
    writers: dict[str, log.Writer] = {}
    try:
        for stream, step in script:
            if stream not in writers:
                assert isinstance(step, events.StreamOpened), f"{stream} must begin with stream_opened"
                if step.role == "train" and step.attempt > 1 and not step.previous:
                    ends = log.pinned_by(step.rank, log.previous_ends(folder, step.attempt))
                    step = msgspec.structs.replace(step, previous=ends)
                while step.role == "train" and not (folder / "attempts" / f"{step.attempt}.json").exists():
                    log.claim_attempt(folder)
                writers[stream] = log.open_writer(folder, step, stream=stream)
            elif callable(step):
                try:
                    step(folder, writers[stream])
                except LedgerError:
                    if strict:
                        raise
            else:
                writers[stream].emit(step)
            yield folder
    finally:
        for writer in writers.values():
            writer.close()


def write_ledger(ledger: Path, script: Script, *, strict: bool = True) -> Path:
    """Run a whole script through the real log and return the run's folder."""
    for _ in written_step_by_step(ledger, script, strict=strict):
        pass
    return ledger / RUN_ID


def place(script: Script, kind: type[msgspec.Struct], nth: int = 0, stream: str | None = None) -> int:
    """Where the nth event of a kind stands in a script."""
    places = [i for i, (name, s) in enumerate(script) if isinstance(s, kind) and stream in (None, name)]
    return places[nth]


def edited(
    script: Script, kind: type[msgspec.Struct], nth: int = 0, stream: str | None = None, **changes: Any
) -> Script:
    """The script with some fields of one event changed."""
    at = place(script, kind, nth, stream)
    name, event = script[at]
    return [*script[:at], (name, msgspec.structs.replace(event, **changes)), *script[at + 1 :]]  # type: ignore[type-var]


def without(script: Script, kind: type[msgspec.Struct], nth: int = 0, stream: str | None = None) -> Script:
    at = place(script, kind, nth, stream)
    return script[:at] + script[at + 1 :]


def inserted(
    script: Script, event: events.Event | Mark, *, after: type[msgspec.Struct], nth: int = 0, stream: str | None = None
) -> Script:
    at = place(script, after, nth, stream)
    return [*script[: at + 1], (script[at][0], event), *script[at + 1 :]]
