"""The public recorder: a training loop says what it does, as it does it. No torch.

    record    from what a user says to a recorder of one rank
    Recorder  what the loop calls

`launch`, `past`, `promises` and `begin` open an attempt; `dealing`, `identity` and `rows` make events of batches;
`watching` records what a loader hands out; `saving` hashes checkpoints behind training's back; `finishing` ends a run.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

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

PathLike = str | os.PathLike[str]

__all__ = ["Checkpoint", "Past", "Promises", "Recorder", "finish", "record", "reopen"]


class More(TypedDict, total=False):
    """The arguments of `record` that many runs do not need.

    promises: contracts that the caller has made itself, in the place of data, order, model, batches and horizon.
    past: what `reopen` has said of the run, so that it need not be read twice.
    corpus: the folder of the data's files, where promises do not say.
    unit: `window` for any `sequence_tokens` tokens in a row, `content` for data without ids.
    splits: what each split is for, where its name does not say.
    pass_sequences, pass_end: how long one walk over the data is, and whether a batch goes on into the next or ends.
    layout, take: how a step is dealt to ranks. planned_skips: step -> sequences left out before it.
    targets: which tokens have a loss.
    loss_divisor: `target_tokens` promises that, and asks for `divisor` in each step.
    norm_is_global, rate_is_global: promises that all ranks have the same norm, and the same rate.
    architecture, tokenizer: of the model. checkpoint_family: the line that checkpoints belong to.
    base, base_folder: weights that the run begins with, and where their files are.
    resume_command: shown to readers, never executed. deterministic: the trainer claims to repeat bit for bit.
    data_workers: processes that load data. on_failure: what a ledger that cannot be written does to training.
    finish: whether rank 0 finishes a completed run in a process of its own; true without.
    """

    promises: Promises | None
    past: Past | None
    corpus: PathLike | None
    unit: Unit
    splits: Mapping[str, SplitKind] | None
    pass_sequences: int | None
    pass_end: PassEnd
    layout: Layout
    take: Take
    planned_skips: Mapping[int, int]
    targets: Targets
    loss_divisor: LossDivisor
    norm_is_global: bool
    rate_is_global: bool
    architecture: str
    tokenizer: TokenizerBinding | None
    checkpoint_family: str
    base: BaseCheckpoint | None
    base_folder: PathLike | None
    resume_command: str | None
    deterministic: bool
    data_workers: int
    on_failure: OnFailure
    finish: bool


def record(
    ledger: PathLike | None,
    *,
    run_id: str,
    data: Sources | None = None,
    order: Declared | None = None,
    model: ModelTensors | TensorLayout | ModelDescriptor | None = None,
    batch_sequences: BatchSizes = None,
    micro_batch_sequences: int | None = None,
    horizon_steps: int | None = None,
    sequence_tokens: int | None = None,
    evaluation_sequences: Mapping[str, int] | None = None,
    evaluations: int | Cadence | None = None,
    checkpoints: int | Cadence | None = None,
    settings: Mapping[str, object] | None = None,
    artifacts: PathLike = "runs",
    resume_from: PathLike | None = None,
    rank: int | Literal["peer"] | None = None,
    world: int | None = None,
    launch: str | None = None,
    **more: Unpack[More],
) -> Recorder:
    """Begin to record a run, or go on with it where the ledger holds one of this name.

    ledger: the folder of runs, which all ranks share; null gives a recorder that does nothing.
    data: where the token data are (`psion_ledger.data`), in one split and family or several.
    order: which row of the train data stands at each position (`psion_ledger.orders`).
    model: `model.state_dict()`, or each tensor's name, dtype and shape.
    batch_sequences: sequences of a step over all ranks, or [(first step, sequences), ...]; null where that is not
    promised. micro_batch_sequences: what a rank takes at once; its whole part without.
    horizon_steps: how many steps are planned. sequence_tokens: cuts streams of tokens; the length of windows.
    evaluation_sequences: split -> sequences of each family that every evaluation measures. evaluations, checkpoints:
    every so many steps, at the start and at the end, or a Cadence; not promised without.
    settings: what no contract holds, shown to readers. artifacts: checkpoints are saved below `<artifacts>/<run_id>`.
    resume_from: the folder of a recorded checkpoint, in the place of the newest.
    rank, world, launch: data-parallel coordinates, and an id of this start; from torchrun's environment without.
    more: see `More`.

    Raises UsageError for what makes no sense, or disagrees with what the run was started with; ContractRefused for
    promises that do not hold; Damaged where the checkpoint to go on from is; WriterFailed where nothing can be written.
    """
    wish = None
    if order is not None and model is not None and horizon_steps is not None:
        wish = Wish(
            order=order, model=model, batch_sequences=batch_sequences, horizon_steps=horizon_steps,
            micro_batch_sequences=micro_batch_sequences, evaluation_sequences=evaluation_sequences or {},
            evaluations=_cadence(evaluations), checkpoints=_cadence(checkpoints), **_chosen(more, Wish),
        )  # fmt: skip
    place = place_of(rank, world, launch)
    wanted = Wanted(
        check_run_id(run_id), place.world, promises=more.get("promises"), wish=wish, data=data,
        sequence_tokens=sequence_tokens, unit=more.get("unit", "sequence"), splits=more.get("splits"),
    )  # fmt: skip
    if ledger is None:
        return Silent(place, lambda: wanted.promises().contracts)
    corpus = more.get("corpus")
    attempt = Attempt(
        ledger=Path(ledger), run_id=run_id, place=place, artifacts=Path(artifacts) / run_id,
        corpus=wanted.corpus if corpus is None else Path(corpus),
        settings={name: str(value) for name, value in (settings or {}).items()},
        resume_from=None if resume_from is None else Path(resume_from), **_chosen(more, Attempt),
    )  # fmt: skip
    return _begun(attempt, wanted, more.get("past"))


def _begun(attempt: Attempt, wanted: Wanted, past: Past | None) -> Recorder:
    place = attempt.place
    if place.peer:
        number, contracts, checkpoint = begin.begin_beside(attempt)
        return Silent(place, lambda: contracts, number, checkpoint)
    if place.rank > 0:
        return Recorder(begin.begin_other(attempt))
    if not (attempt.ledger / attempt.run_id).exists():
        return Recorder(begin.begin_first(attempt, wanted.promises()))
    if past is None:
        past = reopen(attempt.ledger, attempt.run_id, attempt.artifacts.parent)
    return Recorder(begin.begin_again(attempt, past, wanted.again(past)))


def _chosen(more: More, kind: type[Wish] | type[Attempt]) -> dict[str, Any]:
    """Of the rarer arguments, those that a struct takes under their own names."""
    return {name: value for name, value in more.items() if name in kind.__struct_fields__ and name != "corpus"}


def reopen(ledger: PathLike, run_id: str, artifacts: PathLike = "runs") -> Past:
    """Seal what the last attempt left behind, and read how far the run had come. Raises NoSuchRun; CannotDecide when a
    process still writes the run, or its record or contracts do not hold."""
    folder = find_run(Path(ledger), run_id)
    refuse_if_live(folder)
    seal_in_child(folder)
    return read_past(folder, Path(artifacts) / run_id)


def finish(
    ledger: PathLike,
    run_id: str,
    *,
    corpus: PathLike | None = None,
    ended_early: str | None = None,
) -> Finished:
    """Finish a run whose training has ended, as `psion-ledger finish` does. Raises as `finishing.finish_run`."""
    return finish_run(find_run(Path(ledger), run_id), None if corpus is None else Path(corpus), ended_early)


def _cadence(every: int | Cadence | None) -> Cadence | None:
    return Cadence(every_steps=every, at_start=True, at_end=True) if isinstance(every, int) else every
