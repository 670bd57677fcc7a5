"""The derived batches held against the recorded ones, and the pass appended to the ledger when that is asked for."""

import os
import secrets
import socket
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow as pa

from psion_ledger import catalog, events, log
from psion_ledger.errors import CannotDecide
from psion_ledger.ledger import Run
from psion_ledger.log import columns
from psion_ledger.ordered import contracts_that_hold, order_of
from psion_ledger.reading import read
from psion_ledger.replay.batches import Cell, batches, corpus_of, declared_corpus_digest, opened_corpus

_FIELDS = (
    "step", "micro_step", "first_position", "stride", "sequences", "sequence_ids", "family_tokens", "tokens",
    "target_tokens", "token_sha256",
)  # fmt: skip
REPLAYED_SCHEMA = pa.schema([columns.schema("batch_replayed").field(name) for name in _FIELDS])


def _cells(run: Run) -> list[Cell]:
    """The batches that the plan deals, and what was skipped on the way. Where the plan promises no micro steps they are
    those that were recorded."""
    run.relate(["planned_batches", "drawn_batches", "promised_positions", "progress"])
    found = run.con.sql(
        """
        select step, micro_step, first_position, stride, sequences
        from planned_batches where micro_step is not null
        union all
        select d.step, d.micro_step, d.first_position, d.stride, d.sequences
        from drawn_batches as d
        cross join progress as r
        where (r.finished or d.step <= r.due_step) and d.sequences > 0
          and (d.skipped or not exists (select * from planned_batches where micro_step is not null))
          and d.end_position <= (select count(*) from promised_positions)
        order by 1, 3, 2
        """
    ).fetchall()
    return [
        Cell(step=step, micro_step=micro, first_position=int(first), stride=int(stride), sequences=int(count))
        for step, micro, first, stride, count in found
    ]


def _derived(run: Run, folder: Path, pass_id: str) -> list[events.BatchReplayed]:
    contracts = contracts_that_hold(run)
    cells = _cells(run)
    if not cells:
        raise CannotDecide(f"run {run.run_id}: no step is completed yet, so there is nothing to replay")
    corpus = opened_corpus(contracts, folder)
    try:
        return list(batches(order_of(run), contracts.sampling_plan.targets, cells, corpus, pass_id))
    finally:
        corpus.close()


def _table(derived: list[events.BatchReplayed]) -> pa.Table:
    types = {f.name: f.type for f in msgspec.structs.fields(events.BatchReplayed)}
    arrays = [columns.array([getattr(batch, name) for batch in derived], types[name]) for name in _FIELDS]
    return pa.table(arrays, schema=REPLAYED_SCHEMA)


def replay_table(run: Run, corpus: Path) -> pa.Table:
    """The batches that training should have consumed, as columns. Raises CannotDecide without the corpus."""
    return _table(_derived(run, corpus, "here"))


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What one replay of order and content found. `mismatches` are batches that differ from training's."""

    schema: Literal["psion_ledger.replay.v1"] = "psion_ledger.replay.v1"
    run_id: str
    batches: int
    steps: int
    mismatches: int
    first_mismatch_position: int | None
    findings: list[dict[str, Any]]
    recorded_as: str | None = None


def replay(run: Run, corpus: Path) -> Replay:
    """Re-derive every effective batch and hold it against the record."""
    return _compared(run, _derived(run, corpus, "here"))


def _compared(run: Run, derived: list[events.BatchReplayed]) -> Replay:
    run.con.register("replay_here", _table(derived))
    (law,) = (law for law in catalog.laws() if law.name == "replay_here_agrees")
    findings = run.rows(law)
    first = findings[0]["subject"] if findings else None
    return Replay(
        run_id=run.run_id,
        batches=len(derived),
        steps=derived[-1].step,
        mismatches=len(findings),
        first_mismatch_position=int(str(first).split()[-1]) if first is not None else None,
        findings=findings[:100],
    )


def record_replay(run_folder: Path, corpus: Path, code_version: str) -> Replay:
    """Replay, and append the pass to the ledger as a verification stream of its own."""
    verification_id = f"replay-{secrets.token_hex(4)}"
    with Run(read(run_folder)) as run:
        derived = _derived(run, corpus, verification_id)
        found = _compared(run, derived)
        row = run.first("select max(attempt) from attempts")
        assert row is not None, "steps were completed, so an attempt was started"
        corpus_digest = declared_corpus_digest(corpus_of(run.contracts))
        started = events.VerificationStarted(
            verification_id=verification_id, method="content", first_step=1, end_step=found.steps + 1,
            sample_bps=10_000, corpus_digest=corpus_digest,
        )  # fmt: skip
        opened = events.StreamOpened(
            role="verify", attempt=row[0], rank=0, host=socket.gethostname(), pid=os.getpid(),
            code_version=code_version, attempt_sha256=log.attempt_sha256(run_folder, row[0]), previous=[],
        )  # fmt: skip
    with log.open_writer(run_folder, opened, stream=f"v.{verification_id}") as writer:
        writer.emit(started)
        for batch in derived:
            writer.emit(batch)
        writer.emit(
            events.VerificationCompleted(
                verification_id=verification_id,
                batches=found.batches,
                mismatches=found.mismatches,
                first_mismatch_position=found.first_mismatch_position,
            )
        )
    return msgspec.structs.replace(found, recorded_as=f"v.{verification_id}")
