"""The public recorder: a training loop says what it does, as it does it. No torch.

    record    from what a user says to a recorder of one rank
    Recorder  what the loop calls

`launch`, `past`, `promises` and `begin` open an attempt; `dealing`, `identity` and `rows` make events of batches;
`watching` records what a loader hands out; `saving` hashes checkpoints behind training's back; `finishing` ends a run.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from psion_ledger.contracts import ModelDescriptor, TensorLayout, TokenizerBinding
from psion_ledger.contracts.base_checkpoint import BaseCheckpoint
from psion_ledger.contracts.sampling_plan import Cadence, Layout, LossDivisor, PassEnd, Take, Targets, Unit
from psion_ledger.events import SplitKind
from psion_ledger.log import OnFailure, find_run, refuse_if_live, seal_in_child
from psion_ledger.log.claim import check_run_id
from psion_ledger.orders import Declared
from psion_ledger.recording import begin
from psion_ledger.recording.begin import Attempt
from psion_ledger.recording.finishing import Finished, finish_run
from psion_ledger.recording.launch import place_of
from psion_ledger.recording.past import Past, read_past
from psion_ledger.recording.promises import BatchSizes, ModelTensors, Promises, Wish
from psion_ledger.recording.recorder import Recorder
from psion_ledger.recording.saving import Checkpoint
from psion_ledger.recording.silent import Silent
from psion_ledger.recording.wanted import Sources, Wanted

__all__ = ["Checkpoint", "Past", "Promises", "Recorder", "finish", "record", "reopen"]


def record(
    ledger: str | os.PathLike[str] | None,
    *,
    run_id: str,
    data: Sources | None = None,
    order: Declared | None = None,
    model: ModelTensors | TensorLayout | ModelDescriptor | None = None,
    batch_sequences: BatchSizes = None,
    horizon_steps: int | None = None,
    promises: Promises | None = None,
    past: Past | None = None,
    artifacts: str | os.PathLike[str] = "runs",
    corpus: str | os.PathLike[str] | None = None,
    sequence_tokens: int | None = None,
    unit: Unit = "sequence",
    splits: Mapping[str, SplitKind] | None = None,
    micro_batch_sequences: int | None = None,
    pass_sequences: int | None = None,
    pass_end: PassEnd = "spans",
    layout: Layout = "rank_major",
    take: Take = "contiguous",
    planned_skips: Mapping[int, int] | None = None,
    targets: Targets = "all_but_first",
    evaluation_sequences: Mapping[str, int] | None = None,
    evaluations: int | Cadence | None = None,
    checkpoints: int | Cadence | None = None,
    loss_divisor: LossDivisor = "other",
    norm_is_global: bool = False,
    rate_is_global: bool = False,
    architecture: str = "unspecified",
    tokenizer: TokenizerBinding | None = None,
    base: BaseCheckpoint | None = None,
    base_folder: str | os.PathLike[str] | None = None,
    settings: Mapping[str, object] | None = None,
    resume_command: str | None = None,
    resume_from: str | os.PathLike[str] | None = None,
    rank: int | Literal["peer"] | None = None,
    world: int | None = None,
    launch: str | None = None,
    deterministic: bool = False,
    data_workers: int = 0,
    checkpoint_family: str = "train",
    on_failure: OnFailure = "raise",
    finish: bool = True,
) -> Recorder:
    """Begin to record a run, or go on with it where the ledger holds one of this name.

    ledger: the folder of runs, which all ranks share; null gives a recorder that does nothing.
    data: where the token data are (`psion_ledger.data`), in one split and family or several.
    order: which row of the train data stands at each position (`psion_ledger.orders`).
    model: `model.state_dict()`, or each tensor's name, dtype and shape.
    batch_sequences: sequences of a step over all ranks, or [(first step, sequences), ...]; null where that is not
    promised. micro_batch_sequences: what a rank takes at once; its whole part without.
    horizon_steps: how many steps are planned.
    promises: contracts that the caller has made itself, in the place of data, order, model, batches and horizon.
    past: what `reopen` has said of the run, so that it need not be read twice.
    corpus: the folder of the data's files, where promises do not say.
    artifacts: the folder below which checkpoints are saved, in one folder a run: `<artifacts>/<run_id>`.
    sequence_tokens: cuts streams of tokens, and is the length of windows. unit: `content` for data without ids.
    splits: what each split is for, where its name does not say.
    pass_sequences, pass_end: how long one walk over the data is, and whether a batch goes on into the next or ends.
    layout, take: how a step is dealt to ranks. planned_skips: step -> sequences left out before it.
    targets: which tokens have a loss. evaluation_sequences: split -> sequences of each family that every evaluation
    measures. evaluations, checkpoints: every so many steps, at the start and at the end, or a Cadence.
    loss_divisor: `target_tokens` promises that, and asks for `divisor` in each step.
    base, base_folder: weights that the run begins with. settings: what no contract holds, shown to readers.
    resume_from: the folder of a recorded checkpoint, in the place of the newest.
    rank, world, launch: data-parallel coordinates, and an id of this start; from torchrun's environment without.
    finish: whether rank 0 finishes a completed run in a process of its own.

    Raises UsageError for what makes no sense, or disagrees with what the run was started with; ContractRefused for
    promises that do not hold; Damaged where the checkpoint to go on from is; WriterFailed where nothing can be written.
    """
    place = place_of(rank, world, launch)
    wish = None
    if data is not None and order is not None and model is not None and horizon_steps is not None:
        wish = Wish(
            order=order, model=model, batch_sequences=batch_sequences, horizon_steps=horizon_steps,
            micro_batch_sequences=micro_batch_sequences, pass_sequences=pass_sequences, pass_end=pass_end,
            layout=layout, take=take, planned_skips=planned_skips or {}, targets=targets,
            evaluation_sequences=evaluation_sequences or {}, evaluations=_cadence(evaluations),
            checkpoints=_cadence(checkpoints), loss_divisor=loss_divisor, norm_is_global=norm_is_global,
            rate_is_global=rate_is_global, architecture=architecture, tokenizer=tokenizer, base=base,
        )  # fmt: skip
    wanted = Wanted(
        check_run_id(run_id), place.world, promises=promises, wish=wish, data=data, sequence_tokens=sequence_tokens,
        unit=unit, splits=splits,
    )  # fmt: skip
    if ledger is None:
        return Silent(place, lambda: wanted.promises().contracts)
    attempt = Attempt(
        ledger=Path(ledger), run_id=run_id, place=place, artifacts=Path(artifacts) / run_id,
        corpus=wanted.corpus if corpus is None else Path(corpus),
        settings={name: str(value) for name, value in (settings or {}).items()}, resume_command=resume_command,
        resume_from=None if resume_from is None else Path(resume_from),
        base_folder=None if base_folder is None else Path(base_folder), deterministic=deterministic,
        data_workers=data_workers, checkpoint_family=checkpoint_family, on_failure=on_failure, finish=finish,
    )  # fmt: skip
    if place.peer:
        number, contracts, checkpoint = begin.begin_beside(attempt)
        return Silent(place, lambda: contracts, number, checkpoint)
    if place.rank > 0:
        return Recorder(begin.begin_other(attempt))
    if not (attempt.ledger / run_id).exists():
        return Recorder(begin.begin_first(attempt, wanted.promises()))
    if past is None:
        past = reopen(ledger, run_id, artifacts)
    return Recorder(begin.begin_again(attempt, past, wanted.again(past)))


def reopen(ledger: str | os.PathLike[str], run_id: str, artifacts: str | os.PathLike[str] = "runs") -> Past:
    """Seal what the last attempt left behind, and read how far the run had come. Raises NoSuchRun; CannotDecide when a
    process still writes the run, or its record or contracts do not hold."""
    folder = find_run(Path(ledger), run_id)
    refuse_if_live(folder)
    seal_in_child(folder)
    return read_past(folder, Path(artifacts) / run_id)


def finish(
    ledger: str | os.PathLike[str],
    run_id: str,
    *,
    corpus: str | os.PathLike[str] | None = None,
    ended_early: str | None = None,
) -> Finished:
    """Finish a run whose training has ended, as `psion-ledger finish` does. Raises as `finishing.finish_run`."""
    return finish_run(find_run(Path(ledger), run_id), None if corpus is None else Path(corpus), ended_early)


def _cadence(every: int | Cadence | None) -> Cadence | None:
    return Cadence(every_steps=every, at_start=True, at_end=True) if isinstance(every, int) else every
