"""The end of a run, after every train stream has ended: seal, replay, receipt, completion, finish; each on sealed
events, so that whoever was killed in between is gone on with."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from psion_ledger import __version__, completion, log
from psion_ledger.errors import UsageError
from psion_ledger.ledger import Run
from psion_ledger.program import complete_stage
from psion_ledger.reading import read
from psion_ledger.receipts.verify import record_receipt
from psion_ledger.replay import record_replay

# A receipt counts them.
REPLAYS_OF_STAGE, REPLAYS = 2, 1


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """What `finish` did: replays recorded now, whether one of them differs from training, whether a receipt stands in
    the ledger by now, and whether the run is finished."""

    run_id: str
    replays: int
    differs: bool
    received: bool
    finished: bool


class _State(msgspec.Struct, frozen=True, kw_only=True):
    attempt: int
    steps: int
    horizon: int
    promises_stage: bool
    promises_order: bool
    exact: int
    received: bool
    stage_completed: bool
    finished: bool


def finish_run(
    run: Path,
    corpus: Path | None = None,
    ended_early: str | None = None,
    told: Callable[[str], object] = lambda phase: None,
) -> Finished:
    """Seal the run, replay it where it promises an order and its corpus is at hand, derive and record the receipt of a
    stage that is promised, complete the stage, and finish the run.

    `ended_early` says why a run ends on purpose before its horizon. A replay that differs ends it there: such a run
    gets no receipt, and its audit says why.
    `told` hears what is under way. Raises UsageError where steps are missing and no reason is given; what the record's
    readers and writers raise.
    """
    log.refuse_if_live(run)
    told("sealing")
    log.seal_in_child(run)
    state = _state(run)
    if state.finished:
        return Finished(run_id=run.name, replays=0, differs=False, received=state.received, finished=True)
    if ended_early is None and state.steps < state.horizon:
        raise UsageError(
            f"run {run.name}: {state.steps} of {state.horizon} steps are completed; resume it, or give the reason why "
            "it ends early"
        )
    wanted = REPLAYS_OF_STAGE if state.promises_stage else REPLAYS
    replays = 0
    if corpus is not None and state.promises_order and not state.stage_completed:
        told("replaying order and content")
        for _ in range(state.exact, wanted):
            replays += 1
            if record_replay(run, corpus, __version__).mismatches:
                log.seal_in_child(run)
                return Finished(run_id=run.name, replays=replays, differs=True, received=False, finished=False)
        log.seal_in_child(run)
    with completion.open_completion(run, state.attempt) as writer:
        # Read again: another process may have come further, and may have died.
        now = _state(run)
        received = now.received
        if now.promises_stage and not now.stage_completed and ended_early is None:
            told("deriving the receipt")
            if not received:
                record_receipt(run, writer)
                received = True
            complete_stage(run, writer)
        told("finishing the record")
        completion.finish_run(writer, "completed" if ended_early is None else "ended_early", ended_early)
    log.seal_in_child(run)
    return Finished(run_id=run.name, replays=replays, differs=False, received=received, finished=True)


def _state(run: Path) -> _State:
    with Run(read(run)) as now:
        now.require_whole()
        now.relate(["progress", "verification_passes", "declared_stages"])
        row = now.first(
            "select r.attempts, r.due_step, coalesce(r.horizon_steps, 0), r.finished, "
            "(select count(*) from verification_passes where exact), exists (select * from receipt_recorded), "
            "exists (select * from stage_completed), exists (select * from declared_stages) from progress as r"
        )
        assert row is not None, "the view has one row"
        attempts, steps, horizon, finished, exact, received, completed, stage = row
        return _State(
            attempt=attempts, steps=steps, horizon=horizon, finished=finished, exact=exact, received=received,
            stage_completed=completed, promises_stage=stage,
            promises_order=now.contracts.sampling_plan.order.kind != "undeclared",
        )  # fmt: skip


def command(run: Path, corpus: Path | None, ended_early: str | None) -> list[str]:
    """The words behind `psion-ledger` that finish a run."""
    words = ["finish", run.name, "--ledger", str(run.parent.absolute())]
    words += [] if corpus is None else ["--corpus", str(corpus.absolute())]
    return words + ([] if ended_early is None else ["--ended-early", ended_early])
