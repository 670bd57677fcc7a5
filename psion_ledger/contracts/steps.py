"""How steps take positions: where each step begins, how many sequences it has, and which rank and micro step get them.

The views `planned_steps` and `planned_batches` say the same in SQL, of what was recorded.
"""

from collections.abc import Iterator
from itertools import pairwise

import msgspec

from psion_ledger.contracts.sampling_plan import SamplingPlan


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """What one rank takes in one micro step: `sequences` positions, `stride` apart, from `first_position` on."""

    rank: int
    micro_step: int
    first_position: int
    stride: int
    sequences: int

    @property
    def positions(self) -> range:
        return range(self.first_position, self.first_position + self.sequences * self.stride, self.stride)


def _after(plan: SamplingPlan, position: int, steps: int, size: int) -> int:
    """The position behind `steps` steps of `size` sequences that begin at `position`."""
    length = plan.passes.sequences
    if plan.passes.end == "spans" or length is None:
        return position + steps * size
    rest = length - position % length
    steps_in_rest = -(-rest // size)
    if steps <= steps_in_rest:
        return position + min(steps * size, rest)
    passes, steps_left = divmod(steps - steps_in_rest, -(-length // size))
    return position + rest + passes * length + min(steps_left * size, length)


def position_after(plan: SamplingPlan, step: int) -> int:
    """The position behind a step (0: before the first), with the skips that are planned. The plan has a schedule."""
    schedule = plan.batch.schedule
    assert schedule, "a plan without sizes of batches promises no positions"
    skips = {skip.before_step: skip.sequences for skip in plan.planned_skips}
    sizes = {size.first_step: size.sequences for size in schedule}
    borders = [border for border in sorted(sizes.keys() | skips.keys()) if border <= step]
    position, size = 0, 0
    for border, following in pairwise([*borders, step + 1]):
        position += skips.get(border, 0)
        size = sizes.get(border, size)
        position = _after(plan, position, following - border, size)
    return position


def end_of_step(plan: SamplingPlan, position: int, step: int) -> int:
    """The position behind a step that begins at `position`. The plan has a schedule."""
    assert plan.batch.schedule, "a plan without sizes of batches promises no positions"
    size = [size.sequences for size in plan.batch.schedule if size.first_step <= step][-1]
    return _after(plan, position, 1, size)


def positions_of(plan: SamplingPlan, step: int) -> range:
    """The positions of a step (1-based), those that are skipped before it left out."""
    skipped = sum(skip.sequences for skip in plan.planned_skips if skip.before_step == step)
    return range(position_after(plan, step - 1) + skipped, position_after(plan, step))


def cells(plan: SamplingPlan, positions: range, world_size: int) -> Iterator[Cell]:
    """Who takes which of a step's positions, by rank and then by micro step. A rank may have none.

    Where the plan does not say how many sequences a micro batch has, a rank takes all of its own at once.
    """
    for rank in range(world_size):
        for micro_step, own in enumerate(_shares(plan, positions, rank, world_size)):
            if own:
                yield Cell(
                    rank=rank, micro_step=micro_step, first_position=own.start, stride=own.step, sequences=len(own)
                )


def _shares(plan: SamplingPlan, positions: range, rank: int, world_size: int) -> Iterator[range]:
    """A rank's positions in each micro step."""
    micro, strided = plan.batch.micro_batch_sequences, plan.ranks.take == "strided"
    each = -(-len(positions) // world_size)
    if micro is None or plan.ranks.layout == "rank_major":
        own = positions[rank::world_size] if strided else positions[rank * each : (rank + 1) * each]
        micro = micro or max(1, each)
        for first in range(0, len(own), micro):
            yield own[first : first + micro]
        return
    for first in range(0, len(positions), micro * world_size):
        block = positions[first : first + micro * world_size]
        yield block[rank::world_size] if strided else block[rank * micro : (rank + 1) * micro]
