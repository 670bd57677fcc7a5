"""The Trainer of transformers, recorded.

    from psion_ledger.integrations.transformers import recorded

    trainer = recorded(Trainer)(model=..., args=TrainingArguments(output_dir="runs/tiny"), ..., ledger="ledger")
    trainer.train()

The run is named after the last part of `output_dir`. `ledger` is the ledger's folder, or a dict of arguments of
`psion_ledger.record` with that folder as `ledger`; null trains without a record.
"""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from psion_ledger import data, recording
from psion_ledger.errors import UsageError
from psion_ledger.integrations import carrying, evaluating, saved_folders, token_rows, trainer_plan

if TYPE_CHECKING:
    from transformers import Trainer as Base
else:
    Base = object

Ledger = str | Path | dict[str, Any] | None


def recorded(cls: Any) -> Any:
    """A subclass of a Trainer class that takes one argument more, `ledger`, and records what it trains."""
    return type(f"Recorded{cls.__name__}", (RecordedTrainer, cls), {"__doc__": RecordedTrainer.__doc__})


class RecordedTrainer(Base):
    """A Trainer that records what it consumes, measures and saves.

    recorder: what records the training at hand; null outside of `train`.
    """

    train_dataset: Any
    eval_dataset: Any
    data_collator: Any
    recorder: recording.Recorder | None
    _train_loader: Any
    _stack: ExitStack
    _chosen: saved_folders.Chosen
    _past: recording.Past | None
    _saved: saved_folders.Saved

    def __init__(self, *args: Any, ledger: Ledger, **more: Any) -> None:
        self.recorder = None
        self._ledger: dict[str, Any] = (
            {"ledger": ledger} if ledger is None or isinstance(ledger, (str, Path)) else dict(ledger)
        )
        self._records = self._ledger.get("ledger") is not None
        self._step = _Step()
        self._measured: list[evaluating.Row] = []
        super().__init__(*args, **more)
        if self._records:
            trainer_plan.require_recordable(self)
            self._ledger |= trainer_plan.place_of(self._ledger, self.args.output_dir)
            self._data_sets = token_rows.named(self.train_dataset, self.eval_dataset)
            self.add_callback(_callback(self))

    # ---- The attempt ----

    def train(
        self, resume_from_checkpoint: str | bool | None = None, trial: Any = None, *args: Any, **more: Any
    ) -> Any:
        """As the Trainer's own; `True` goes on from the newest checkpoint that is recorded. The run is finished when
        the last step is done."""
        if not self._records:
            return super().train(resume_from_checkpoint, trial, *args, **more)
        if trial is not None:
            raise UsageError("a search over hyperparameters trains many models; record each of them as its own run")
        self._chosen = self._choose(resume_from_checkpoint)
        try:
            with ExitStack() as self._stack:
                return super().train(self._chosen.folder, None, *args, **more)
        finally:
            self.recorder = None

    def _choose(self, wanted: str | bool | None) -> saved_folders.Chosen:
        """Rank 0 says which checkpoint all ranks load, and under which id they start."""
        from accelerate.utils import broadcast_object_list

        own = self._ledger
        self._past = None
        said: list[Any] = [None, None]
        if self.accelerator.is_main_process:
            if (Path(own["ledger"]) / own["run_id"]).exists():
                self._past = recording.reopen(own["ledger"], own["run_id"], own["artifacts"])
            said = [saved_folders.chosen(own["run_id"], self._past, wanted), uuid.uuid4().hex]
        if self.accelerator.num_processes > 1:
            broadcast_object_list(said)
        return saved_folders.Chosen(folder=said[0], launch=own.get("launch", said[1]))

    def _begin(self) -> None:
        """After the model is loaded and before the first batch."""
        chosen, past = self._chosen, self._past
        own = trainer_plan.promises(self, self._train_loader)
        with TemporaryDirectory() as folder:
            own |= self._described(past, Path(folder)) | self._ledger
            own |= {"rank": self.accelerator.process_index, "world": self.accelerator.num_processes}
            own |= {"launch": chosen.launch, "resume_from": chosen.folder, "past": past}
            self.recorder = self._stack.enter_context(recording.record(own.pop("ledger"), **own))
        if (checkpoint := self.recorder.checkpoint_to_load) is not None:
            self.recorder.loaded(checkpoint)
        self._saved = saved_folders.Saved(self.recorder, past)
        self._step = _Step()

    def _described(self, past: recording.Past | None, folder: Path) -> dict[str, Any]:
        """The data, and which tokens have a loss: by a rule where the data's files can be replayed, which asks for one.
        What was promised already is not read again."""
        if past is not None and past.contracts is not None:
            at_hand = None if past.contracts.token_data is None else token_rows.folder_of(self._data_sets)
            return {"data": data.index(()), "targets": past.contracts.sampling_plan.targets, "corpus": at_hand}
        if not self.accelerator.is_main_process or "data" in self._ledger:
            return {"data": data.index(()), "targets": "given"}
        found = token_rows.described(self._data_sets, folder)
        loaders = [self._numbered(one.dataset, self.data_collator, one.family) for one in self._data_sets]
        by_rule = found.token_data is not None and token_rows.count_all_but_first(loaders)
        return {"data": found, "targets": "all_but_first" if by_rule else "given"}

    # ---- Loaders whose batches know their rows ----

    def get_train_dataloader(self) -> Any:
        if not self._records:
            return super().get_train_dataloader()
        train, collator = self.train_dataset, self.data_collator
        with self._numbering():
            self.train_dataset, self.data_collator = self._numbered(train, collator, None)
            self._train_loader = super().get_train_dataloader()
        return self._train_loader

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        asked = self.eval_dataset if eval_dataset is None else eval_dataset
        name = asked if isinstance(asked, str) else token_rows.FAMILY
        found = self.eval_dataset[asked] if isinstance(asked, str) else asked
        known = self.recorder is not None and any(
            one.dataset is found and one.family == name for one in self._data_sets if one.split != token_rows.TRAIN
        )
        if not known:
            return super().get_eval_dataloader(eval_dataset)
        collator = self.data_collator
        with self._numbering():
            numbered, self.data_collator = self._numbered(found, collator, name)
            if not isinstance(asked, str):
                return super().get_eval_dataloader(numbered)
            self.eval_dataset = {**self.eval_dataset, asked: numbered}
            return super().get_eval_dataloader(asked)

    @contextmanager
    def _numbering(self) -> Iterator[None]:
        """The trainer's own data sets and collator are put back afterwards."""
        before = self.train_dataset, self.eval_dataset, self.data_collator
        try:
            yield
        finally:
            self.train_dataset, self.eval_dataset, self.data_collator = before

    def _numbered(self, dataset: Any, collator: Any, name: str | None) -> tuple[carrying.Numbered, carrying.Carrier]:
        """Columns that the model does not take are left out as the Trainer does: it cannot see them any more."""
        what = "training" if name is None else "evaluation"
        if hasattr(dataset, "remove_columns"):
            dataset = self._remove_unused_columns(dataset, what)
        else:
            collator = self._get_collator_with_removed_columns(collator, what)
        return carrying.Numbered(dataset, name), carrying.Carrier(collator)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return super()._get_train_sampler(getattr(train_dataset, "dataset", train_dataset))

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        return super()._get_eval_sampler(getattr(eval_dataset, "dataset", eval_dataset))

    # ---- Steps ----

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None, *args: Any, **more: Any) -> Any:
        held = carrying.taken(inputs)
        if self.recorder is None:
            return super().training_step(model, inputs, num_items_in_batch, *args, **more)
        if held is None:
            raise UsageError(
                "a batch came without the numbers of its rows; a Trainer with a loader of its own is not recorded"
            )
        self.recorder.batch(held.rows, held.tokens, lengths=held.lengths, target_tokens=held.target_tokens)
        loss = super().training_step(model, inputs, num_items_in_batch, *args, **more)
        self._step.add(loss, held.target_tokens, num_items_in_batch)
        return loss

    def _get_grad_norm(self, *args: Any, **more: Any) -> Any:
        self._step.grad_norm = super()._get_grad_norm(*args, **more)
        return self._step.grad_norm

    def _close_step(self) -> None:
        """Before the Trainer evaluates or saves."""
        assert self.recorder is not None, "a step is closed while it is recorded"
        self.recorder.step(
            **self._step.facts(self), grad_norm=self._step.grad_norm, learning_rate=self._step.learning_rate,
            updated=not self.accelerator.optimizer_step_was_skipped, trainer_step=self.state.global_step,
        )  # fmt: skip
        self._step = _Step()

    # ---- Evaluations ----

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, *args: Any, **more: Any) -> Any:
        held = carrying.taken(inputs)
        if self.recorder is None or held is None:
            return super().prediction_step(model, inputs, prediction_loss_only, *args, **more)
        targets = {name: inputs[name] for name in ("labels", "shift_labels") if name in inputs}
        # With its logits, from which each row's own loss is summed.
        loss, logits, labels = super().prediction_step(model, inputs, False, *args, **more)
        self._measured += evaluating.rows_of(held, logits, targets)
        return (loss, None, None) if prediction_loss_only else (loss, logits, labels)

    def evaluation_loop(self, dataloader: Any, *args: Any, **more: Any) -> Any:
        self._measured = []
        output = super().evaluation_loop(dataloader, *args, **more)
        name = getattr(getattr(dataloader, "dataset", None), "name", None)
        if self.recorder is not None and name is not None:
            evaluating.measure(self.recorder, token_rows.EVALUATION, name, self._measured)
        return output


class _Step:
    """What is known of a step before it is recorded. Losses stay on their device until it is closed."""

    def __init__(self) -> None:
        self.losses: list[tuple[Any, int]] = []
        self.items: Any = None
        self.grad_norm: Any = None
        self.learning_rate: float | None = None

    def add(self, loss: Any, targets: int, items: Any) -> None:
        self.losses.append((loss, targets))
        self.items = items

    def facts(self, trainer: Any) -> dict[str, Any]:
        """This rank's loss sum, and what the sum over all ranks was divided by.

        The Trainer multiplies a loss by the ranks, because their gradients are averaged; where each rank counts its own
        targets, the average divides by as many of them as there are ranks.
        """
        world = trainer.accelerator.num_processes
        if self.items is None or not trainer_plan.loss_is_summed(trainer):
            parts = len(self.losses)
            return {"loss_sum": sum(float(loss) * parts * targets for loss, targets in self.losses)}
        items = float(self.items)
        total = sum(float(loss) for loss, _ in self.losses) * items
        if trainer.args.average_tokens_across_devices:
            return {"loss_sum": total / world, "divisor": items}
        return {"loss_sum": total, "divisor": items * world}


def _callback(trainer: Any) -> Any:
    """The moments of a training that no method of the Trainer stands for."""
    from transformers import TrainerCallback

    class Moments(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            trainer._begin()

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            # The scheduler moves before the step ends.
            trainer._step.learning_rate = float(more["optimizer"].param_groups[0]["lr"])

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            trainer._close_step()
            if control.should_save:
                # What is being hashed may be deleted by the next save.
                trainer._saved.wait()

        def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            trainer.accelerator.wait_for_everyone()
            trainer._saved.add(Path(args.output_dir) / f"checkpoint-{state.global_step}")

        def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            best = state.best_model_checkpoint if args.load_best_model_at_end else None
            trainer._saved.end(best, is_complete=state.global_step >= state.max_steps)

    return Moments()
