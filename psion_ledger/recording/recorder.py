"""The recorder of one rank in one attempt: what a training loop calls.

A call that makes no sense raises UsageError before anything is written; what is unlike the promises is recorded.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from psion_ledger import events
from psion_ledger.contracts import Contracts
from psion_ledger.errors import UsageError
from psion_ledger.recording import rows, watching
from psion_ledger.recording.evaluations import Evaluations, Measurement, promised_rows
from psion_ledger.recording.feed import Feed
from psion_ledger.recording.saving import Checkpoint, read_again
from psion_ledger.recording.session import Outcome, Session
from psion_ledger.recording.trace import trace_sha256

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRAIN_PASS = "train"
Criterion = Literal["last", "lowest_loss", "stated"]


class Recorder:
    """One rank's record of one attempt; use it in a `with` statement.

    attempt: which start of training this is, from 1 on. next_step: the step to be trained now, from 1 on.
    checkpoint_to_load: what to load before the first batch, null where training begins from nothing.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        begun = session.begun
        plan = begun.contracts.sampling_plan
        self.attempt, self.rank, self.world = begun.attempt, begun.place.rank, begun.place.world
        self.checkpoint_to_load: Checkpoint | None = begun.checkpoint
        self._feed = Feed(plan, self.rank, self.world, begun.cut_step + 1, begun.cursor_position, session.order)
        self._loaded = begun.checkpoint is None
        self._step_targets, self._step_began_s = 0, time.perf_counter()
        self._evaluations = Evaluations(self._feed, session, self.attempt)
        self._ended_early: str | None = None

    @property
    def contracts(self) -> Contracts:
        """What the run promises."""
        return self._session.begun.contracts

    @property
    def next_step(self) -> int:
        return self._feed.dealing.step

    @property
    def last_step(self) -> int:
        """The last step that this rank completed, or went on from; 0 for none."""
        return self._feed.dealing.step - 1

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings that the run was started with."""
        return self._session.begun.settings

    # ---- What training consumes ----

    def next_ids(self) -> "NDArray[np.int64]":
        """The rows of the train data that the declared order gives this rank now: those of its next micro batch.

        Asked twice before `batch`, it gives the same. Raises UsageError where no order or no batch size is declared, or
        where the step has no more of them.
        """
        return self._feed.next_ids()

    def batch(
        self,
        ids: rows.Integers | None,
        tokens: rows.Rows,
        *,
        target_tokens: int | None = None,
        lengths: rows.Integers | None = None,
        families: Sequence[str] | None = None,
    ) -> None:
        """Record a micro batch that goes into the model now.

        ids: rows of the train data, of shape [sequences]; null for data that has no ids. tokens: their token ids, of
        shape [sequences, tokens], or a list of rows. target_tokens: tokens with a loss, where the plan has no rule.
        lengths: tokens of each row that are no padding. families: of each row, where data without ids has several.
        """
        self._require_loaded()
        made = self._feed.identity.batch(f"step {self.next_step}", ids, tokens, target_tokens, lengths, families)
        taken = self._feed.dealing.take(made.sequences)
        self._evaluations.end()
        self._step_targets += made.target_tokens
        self._session.emit(
            events.BatchReplayed(pass_id=TRAIN_PASS, step=self.next_step, **taken.fields(), **made.fields())
        )

    watch = watching.watch

    def skip(
        self,
        ids: rows.Integers | None,
        tokens: rows.Rows,
        reason: str,
        *,
        target_tokens: int | None = None,
        lengths: rows.Integers | None = None,
        families: Sequence[str] | None = None,
    ) -> None:
        """Record sequences that were drawn before this step and are left out, as `batch` does. Each rank gives its own
        part, all of one size: together they are neighbours in the order."""
        self._require_loaded()
        made = self._feed.identity.batch(f"step {self.next_step}", ids, tokens, target_tokens, lengths, families)
        taken = self._feed.dealing.skip(made.sequences)
        self._session.emit(
            events.BatchSkipped(
                pass_id=TRAIN_PASS, step=self.next_step, reason=reason, **taken.fields(), **made.fields()
            )
        )

    def step(
        self,
        *,
        loss_sum: rows.Number | None = None,
        divisor: float | None = None,
        loss: rows.Number | None = None,
        grad_norm: rows.Number | None = None,
        learning_rate: float | None = None,
        updated: bool = True,
        trace_state: bytes | None = None,
        trainer_step: int | None = None,
    ) -> None:
        """Close the step after its optimizer update.

        loss_sum: this rank's sum over its target tokens, in nats. divisor: what the trainer divided the step's sum by,
        over all ranks. loss: the mean over all ranks, in nats, where the trainer has it. grad_norm: before clipping.
        updated: false where the optimizer refused the step. trace_state: bytes that stand for the random generators'
        state. trainer_step: the trainer's own number.
        """
        if divisor is None and self._feed.plan.loss_divisor == "target_tokens":
            raise UsageError(
                f"step {self.next_step}: the run promises that losses are divided by the target tokens; give divisor="
            )
        step, targets = self.next_step, self._step_targets
        total, mean, norm = (
            None if value is None else rows.number_of(value, f"step {step}: {name}")
            for name, value in (("loss_sum", loss_sum), ("loss", loss), ("grad_norm", grad_norm))
        )
        self._feed.dealing.close_step()
        now_s = time.perf_counter()
        self._session.emit(
            events.StepCompleted(
                pass_id=TRAIN_PASS, step=step, loss_sum_nats=total, target_tokens=targets,
                loss_divisor=None if divisor is None else float(divisor), loss_nats=mean, grad_norm=norm,
                learning_rate=None if learning_rate is None else float(learning_rate),
                step_ms=(now_s - self._step_began_s) * 1000, updated=updated,
                trace_sha256=None if trace_state is None else trace_sha256(mean, norm, trace_state),
                trainer_step=trainer_step,
            )
        )  # fmt: skip
        self._step_targets, self._step_began_s = 0, now_s
        self._evaluations.end()

    # ---- What is measured ----

    def evaluation_ids(self, split: str, family: str | None = None) -> "NDArray[np.int64]":
        """The rows of a split's family that every evaluation measures. Raises UsageError where none are promised."""
        return promised_rows(self.contracts.sampling_plan, split, family)

    def measure(
        self,
        split: str,
        *,
        losses: rows.Numbers | None = None,
        loss_sum: rows.Number | None = None,
        target_tokens: int | None = None,
        ids: rows.Integers | None = None,
        tokens: rows.Rows | None = None,
        lengths: rows.Integers | None = None,
        family: str | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Record the loss of one family of a split, after a step; rank 0's alone is recorded.

        losses: of each sequence, summed over its target tokens, in nats; or loss_sum: of all of them. ids: the rows of
        the family that were measured, in order; the promised set without. tokens, lengths: as in `batch`; read from the
        data where they are not given. checkpoint: what was loaded to be measured, where it is not the weights at hand.
        """
        if self.rank > 0:
            return
        event = self._evaluations.measured(
            Measurement(
                split=split, family=family, step=self.last_step if checkpoint is None else checkpoint.step,
                checkpoint_id=None if checkpoint is None else checkpoint.checkpoint_id, losses=losses,
                loss_sum=loss_sum, target_tokens=target_tokens, ids=ids, tokens=tokens, lengths=lengths,
            )
        )  # fmt: skip
        self._session.emit(event)
        self._step_began_s = time.perf_counter()  # What is measured between steps is no part of one.

    # ---- Checkpoints ----

    def checkpoint(
        self,
        folder: str | Path,
        *,
        roles: Mapping[str, events.FileRole] | None = None,
        checkpoint_id: str | None = None,
        step: int | None = None,
        after: Callable[[], object] | None = None,
    ) -> None:
        """Record a checkpoint that was saved; rank 0's alone is recorded. Returns at once: its files are synced and
        hashed by a thread, and then recorded.

        folder: below the artifacts. roles: of its files, by name or pattern. step: that it was saved after, where that
        is not the last one. after: what returns once it is saved, where it is still being saved: a future's `result`.
        """
        if self.rank > 0:
            return
        self._require_loaded()
        at = self.last_step if step is None else step
        name = checkpoint_id or f"a{self.attempt:04}-s{at:06}"
        self._session.save(Path(folder), roles or {}, name, at, self._feed.dealing.cursor_after(at), after)

    def wait(self) -> None:
        """Return when every checkpoint so far is hashed and recorded: its folder may be deleted then."""
        self._session.wait()

    def loaded(self, checkpoint: Checkpoint) -> None:
        """Record that a checkpoint was loaded: to go on from, or to be measured. Its weights are hashed as they are
        now. Raises Damaged where they are not what was recorded."""
        digest = read_again(checkpoint)
        self._session.emit(events.CheckpointLoaded(checkpoint_id=checkpoint.checkpoint_id, object_sha256=digest))
        if self.checkpoint_to_load is not None and checkpoint.checkpoint_id == self.checkpoint_to_load.checkpoint_id:
            self._loaded = True

    def _require_loaded(self) -> None:
        if not self._loaded and self.checkpoint_to_load is not None:
            raise UsageError(
                f"attempt {self.attempt} goes on from checkpoint {self.checkpoint_to_load.checkpoint_id}: load it and "
                "call loaded(run.checkpoint_to_load) before the first batch"
            )

    def removed(self, checkpoint: Checkpoint | str | Path, reason: str) -> None:
        """Record that a checkpoint, given itself, by its id or its folder, was deleted, and why."""
        if self.rank == 0:
            self._session.removed(checkpoint, reason)

    def promote(
        self,
        checkpoint: Checkpoint | str | Path,
        *,
        label: str,
        criterion: Criterion = "last",
        split: str | None = None,
        evaluation_id: str | None = None,
    ) -> None:
        """Record which checkpoint, given itself, by its id or its folder, is the run's result; rank 0's alone is
        recorded. criterion: `last`, `lowest_loss` of a split, or `stated`."""
        if self.rank > 0 or self._session.begun.promoted:
            return
        found = self._session.checkpoint_at(checkpoint)
        self._session.emit(
            events.CheckpointPromoted(
                checkpoint_id=found.checkpoint_id, label=label, object_sha256=read_again(found),
                criterion=criterion, criterion_split=split, evaluation_id=evaluation_id,
            )
        )  # fmt: skip

    # ---- The end ----

    def end_early(self, reason: str) -> None:
        """Say that the run ends here on purpose, before its horizon, and why."""
        self._ended_early = reason

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome: Outcome = "completed" if self.last_step == self._feed.plan.horizon_steps else "stopped"
        if error is not None and not isinstance(error, KeyboardInterrupt):
            outcome = "failed"
        self._session.leave(outcome, self.last_step, self._ended_early)
