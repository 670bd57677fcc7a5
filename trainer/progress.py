"""What a person sees while training runs, on stderr: a bar on a terminal, plain lines elsewhere."""

from contextlib import ExitStack
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainer.talk import phase, say, silent_s

PLAIN_LINES = 10
# Shorter than the time after which silence is broken: a step says more than a reminder.
PLAIN_S_MAX = 1.4


class TrainingProgress:
    """Loss, tokens a second and time left, from step `done` to `total`. Only rank 0 talks."""

    def __init__(self, *, done: int, total: int, tokens_per_step: int, silent: bool) -> None:
        console = Console(stderr=True, highlight=False, markup=False)
        self._total, self._tokens_per_step = total, tokens_per_step
        self._steps, self._training_s = 0, 0.0
        self._bar: Progress | None = None
        self._under_way = ExitStack()
        if console.is_terminal and not silent:
            columns = (
                TextColumn("step"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[figures]}"),
                TextColumn("left"), TimeRemainingColumn(),
            )  # fmt: skip
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task("training", total=total, completed=done, figures="")

    def __enter__(self) -> "TrainingProgress":
        self._under_way.enter_context(phase("training", reminding=self._bar is None))
        if self._bar is not None:
            self._under_way.enter_context(self._bar)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._under_way.close()

    def step(self, step: int, loss_nats: float, step_s: float) -> None:
        """One more step, which took `step_s`; evaluations and checkpoints do not count as training."""
        self._steps, self._training_s = self._steps + 1, self._training_s + step_s
        steps_per_s = self._steps / self._training_s
        figures = f"loss {loss_nats:.3f}  {steps_per_s * self._tokens_per_step:,.0f} tokens/s"
        if self._bar is not None:
            self._bar.update(self._task, completed=step, figures=figures)
        elif step == self._total or step % max(1, self._total // PLAIN_LINES) == 0 or silent_s() > PLAIN_S_MAX:
            left_s = (self._total - step) / steps_per_s
            say(f"step {step}/{self._total}  {figures}  {left_s:.0f} s left")
