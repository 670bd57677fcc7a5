"""Which positions a rank takes next: what the plan gives it, counted on from where the attempt began."""

from typing import Any

import msgspec

from psion_ledger.contracts.sampling_plan import SamplingPlan
from psion_ledger.contracts.steps import Cell, cells, end_of_step
from psion_ledger.errors import UsageError


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Where a batch stands: what its event says of it. No first position where the plan gives none."""

    micro_step: int
    first_position: int | None
    stride: int = 1

    def fields(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)


# A checkpoint may be durable long after its step.
CURSORS_KEPT = 100_000


class Dealing:
    """The micro batches of one rank, in their order. `cursor` is the position at which the step at hand begins.

    A plan without sizes of batches gives no positions: sequences are then counted, and nothing is asked of them.
    """

    def __init__(self, plan: SamplingPlan, rank: int, world: int, step: int, cursor: int) -> None:
        self._plan, self._rank, self._world = plan, rank, world
        self.step, self.cursor = step, cursor
        self._micro_step, self._skips, self._skipped, self._counted = 0, 0, 0, 0
        self._cursors = {step - 1: cursor}
        self._left = self._dealt(self._end())

    @property
    def planned(self) -> bool:
        """Whether the plan says how many sequences a step has."""
        return self._plan.batch.schedule is not None

    @property
    def due(self) -> Cell | None:
        """The next micro batch of this rank; null where it has all of the step's, or where none is planned."""
        return self._left[0] if self._left else None

    def _end(self) -> int:
        return end_of_step(self._plan, self.cursor, self.step) if self.planned else self.cursor

    def _dealt(self, end: int) -> list[Cell]:
        positions = range(self.cursor, end)
        return [cell for cell in cells(self._plan, positions, self._world) if cell.rank == self._rank]

    def cursor_after(self, step: int) -> int:
        """The position behind a step of this attempt. Raises UsageError for a step that is not completed, or was too
        long ago."""
        if (cursor := self._cursors.get(step)) is None:
            raise UsageError(f"step {step}: a checkpoint stands after a completed step of this attempt, of late ones")
        return cursor

    def require_skips(self) -> None:
        """Raise UsageError where the plan leaves sequences out before the step at hand, and none were skipped."""
        planned = next((s.sequences for s in self._plan.planned_skips if s.before_step == self.step), 0)
        if planned > self._skipped:
            raise UsageError(
                f"step {self.step}: the plan leaves out {planned} sequences before it, and {self._skipped} were "
                "skipped; call skip() with them first"
            )

    def take(self, sequences: int) -> Taken:
        """The positions of this rank's next `sequences` sequences. Raises UsageError for another number than is due."""
        if not self.planned:
            taken = Taken(micro_step=self._micro_step, first_position=None)
            self._micro_step += 1
            self._counted += sequences
            return taken
        self.require_skips()
        if (due := self.due) is None:
            raise UsageError(
                f"step {self.step}: this rank has recorded all of its batches; call step() before the next one"
            )
        whole = self._plan.batch.micro_batch_sequences is not None
        if sequences != due.sequences if whole else not 0 < sequences <= due.sequences:
            raise UsageError(
                f"step {self.step}, micro step {self._micro_step}: the plan gives this rank {due.sequences} "
                f"sequences, and the batch has {sequences}; correct batch_sequences or micro_batch_sequences, or the "
                "loader"
            )
        return self._taken(due, sequences)

    def _taken(self, due: Cell, sequences: int) -> Taken:
        taken = Taken(micro_step=self._micro_step, first_position=due.first_position, stride=due.stride)
        self._micro_step += 1
        rest = due.positions[sequences:]
        left = [] if not rest else [
            Cell(rank=self._rank, micro_step=0, first_position=rest.start, stride=due.stride, sequences=len(rest))
        ]  # fmt: skip
        self._left = left + self._left[1:]
        return taken

    def skip(self, sequences: int) -> Taken:
        """The positions of sequences that are left out before the step at hand: this rank's part of as many for each
        rank. Raises UsageError where a batch of the step was recorded already."""
        if self._micro_step:
            raise UsageError(f"step {self.step}: skip before its first batch, not after it")
        self._skips += 1
        if not self.planned:
            self._counted += sequences
            return Taken(micro_step=self._skips - 1, first_position=None)
        first = self.cursor + self._rank * sequences
        self.cursor += sequences * self._world
        self._skipped += sequences * self._world
        self._left = self._dealt(self._end())
        return Taken(micro_step=self._skips - 1, first_position=first)

    def close_step(self) -> None:
        """Go on to the next step. Raises UsageError where the plan gives this rank more in this one."""
        if (due := self.due) is not None:
            raise UsageError(
                f"step {self.step}: the plan gives this rank {due.sequences} more sequences from position "
                f"{due.first_position} on; record them with batch() before step()"
            )
        self.cursor = self._end() if self.planned else self.cursor + self._counted
        self._cursors[self.step] = self.cursor
        self._cursors.pop(self.step - CURSORS_KEPT, None)
        self.step += 1
        self._micro_step, self._skips, self._skipped, self._counted = 0, 0, 0, 0
        self._left = self._dealt(self._end())
