"""How steps take positions, against a reference that walks them one by one."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psion_ledger.contracts import SamplingPlan
from psion_ledger.contracts.sampling_plan import BatchRule, BatchSize, Layout, Passes, PlannedSkip, RankRule, Take
from psion_ledger.contracts.steps import Cell, cells, position_after, positions_of
from tests.documents import small_plan

LAYOUTS: tuple[Layout, ...] = ("rank_major", "micro_major")
TAKES: tuple[Take, ...] = ("contiguous", "strided")


def plan_of(
    sizes: dict[int, int],
    *,
    micro: int = 4,
    passes: int | None = None,
    short: bool = False,
    skips: dict[int, int] | None = None,
    layout: Layout = "rank_major",
    take: Take = "contiguous",
) -> SamplingPlan:
    """The small plan with another rule for its steps: sizes and skips by step."""
    return msgspec.structs.replace(
        small_plan(),
        passes=Passes(sequences=passes, end="short_batch" if short else "spans"),
        batch=BatchRule(
            schedule=[BatchSize(first_step=step, sequences=size) for step, size in sorted(sizes.items())],
            micro_batch_sequences=micro,
        ),
        ranks=RankRule(layout=layout, take=take),
        planned_skips=[PlannedSkip(before_step=step, sequences=size) for step, size in sorted((skips or {}).items())],
    )


@st.composite
def plans(draw: st.DrawFn) -> SamplingPlan:
    """Ramp-ups, passes of every end, skips: before the first step, in the middle, beyond the end of a pass."""
    steps = st.integers(2, 40)
    sizes = st.integers(1, 30)
    short = draw(st.booleans())
    length = st.integers(1, 60)
    return plan_of(
        {1: draw(sizes)} | draw(st.dictionaries(steps, sizes, max_size=3)),
        micro=draw(st.integers(1, 9)),
        passes=draw(length if short else st.none() | length),
        short=short,
        skips=draw(st.dictionaries(st.integers(1, 40), st.integers(1, 100), max_size=3)),
        layout=draw(st.sampled_from(LAYOUTS)),
        take=draw(st.sampled_from(TAKES)),
    )


def walked(plan: SamplingPlan, steps: int) -> list[range]:
    """The positions of each step from the first on, one step after the other."""
    schedule, found, position, size = plan.batch.schedule or [], list[range](), 0, 0
    for step in range(1, steps + 1):
        position += sum(skip.sequences for skip in plan.planned_skips if skip.before_step == step)
        size = next((row.sequences for row in schedule if row.first_step == step), size)
        taken = size
        if plan.passes.end == "short_batch":
            assert plan.passes.sequences is not None
            while taken and (position + taken - 1) // plan.passes.sequences != position // plan.passes.sequences:
                taken -= 1
        found.append(range(position, position + taken))
        position += taken
    return found


@settings(database=None, max_examples=300)
@given(plan=plans(), steps=st.integers(1, 60))
def test_each_step_has_the_positions_that_a_walk_gives_it(plan: SamplingPlan, steps: int) -> None:
    """And each begins behind the one before, with what is skipped between."""
    expected = walked(plan, steps)
    assert expected == [positions_of(plan, step) for step in range(1, steps + 1)]
    assert [own.stop for own in expected] == [position_after(plan, step) for step in range(1, steps + 1)]
    assert position_after(plan, 0) == 0


@settings(database=None, max_examples=100)
@given(plan=plans(), step=st.integers(1, 10**9))
def test_a_step_far_out_follows_the_one_before(plan: SamplingPlan, step: int) -> None:
    """No step has nothing, none has more than its size, and a short one ends its pass."""
    own, following = positions_of(plan, step), positions_of(plan, step + 1)
    schedule = plan.batch.schedule or []
    size = [row.sequences for row in schedule if row.first_step <= step][-1]
    skipped = sum(skip.sequences for skip in plan.planned_skips if skip.before_step == step + 1)
    assert (own.stop + skipped, True) == (following.start, 0 < len(own) <= size)
    length = plan.passes.sequences
    if plan.passes.end == "spans" or length is None:
        assert size == len(own)
    else:
        assert len(own) == size or own.stop % length == 0
        assert own.start // length == (own.stop - 1) // length


def dealt(plan: SamplingPlan, positions: list[int], world: int) -> dict[tuple[int, int], list[int]]:
    """(rank, micro step) -> positions, dealt one by one."""
    micro = plan.batch.micro_batch_sequences
    assert micro is not None
    found: dict[tuple[int, int], list[int]] = {}
    for place, position in enumerate(positions):
        if plan.ranks.layout == "rank_major":
            share = -(-len(positions) // world)
            rank, own = (place % world, place // world) if plan.ranks.take == "strided" else divmod(place, share)
            micro_step = own // micro
        else:
            micro_step, in_block = divmod(place, micro * world)
            rank = in_block % world if plan.ranks.take == "strided" else in_block // micro
        found.setdefault((rank, micro_step), []).append(position)
    return dict(sorted(found.items()))


@settings(database=None, max_examples=300)
@given(plan=plans(), step=st.integers(1, 50), world=st.integers(1, 9))
def test_the_cells_of_all_ranks_tile_the_positions_of_a_step(plan: SamplingPlan, step: int, world: int) -> None:
    """Each position once, by rank and then micro step, none larger than a micro batch: as dealt one by one."""
    positions = positions_of(plan, step)
    found = list(cells(plan, positions, world))
    micro = plan.batch.micro_batch_sequences or 0
    assert list(positions) == sorted(position for cell in found for position in cell.positions)
    assert all(cell.sequences <= micro for cell in found)
    assert dealt(plan, list(positions), world) == {(cell.rank, cell.micro_step): list(cell.positions) for cell in found}
    assert [(cell.rank, cell.micro_step) for cell in found] == sorted({(cell.rank, cell.micro_step) for cell in found})


@settings(database=None, max_examples=100)
@given(plan=plans(), step=st.integers(1, 50), worlds=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_a_world_divides_a_step_and_moves_none(plan: SamplingPlan, step: int, worlds: tuple[int, int]) -> None:
    """Two worlds of any size take the same positions."""
    one, other = (
        sorted(position for cell in cells(plan, positions_of(plan, step), world) for position in cell.positions)
        for world in worlds
    )
    assert one == other


# --- by hand -------------------------------------------------------------------------------------------------------

RULES: list[tuple[SamplingPlan, list[tuple[int, int]]]] = [
    (plan_of({1: 8}), [(0, 8), (8, 16), (16, 24), (24, 32)]),
    (plan_of({1: 2, 3: 4}), [(0, 2), (2, 4), (4, 8), (8, 12)]),
    (plan_of({1: 4}, passes=10, short=True), [(0, 4), (4, 8), (8, 10), (10, 14)]),
    (plan_of({1: 4}, passes=10), [(0, 4), (4, 8), (8, 12), (12, 16)]),
    (plan_of({1: 4}, passes=3, short=True), [(0, 3), (3, 6), (6, 9), (9, 12)]),
    (plan_of({1: 4}, skips={1: 3, 3: 1}), [(3, 7), (7, 11), (12, 16), (16, 20)]),
    (plan_of({1: 4}, passes=10, short=True, skips={2: 5}), [(0, 4), (9, 10), (10, 14), (14, 18)]),
    (plan_of({1: 4, 3: 8}, passes=10, short=True), [(0, 4), (4, 8), (8, 10), (10, 18)]),
    (plan_of({1: 4}, passes=10, short=True, skips={2: 6}), [(0, 4), (10, 14), (14, 18), (18, 20)]),
]


@pytest.mark.parametrize("number", range(len(RULES)))
def test_the_first_four_steps_are_these(number: int) -> None:
    """One size; a ramp-up; passes that end in a short batch, and that do not; skips within a pass and to its end."""
    plan, expected = RULES[number]
    assert expected == [(own.start, own.stop) for own in (positions_of(plan, step) for step in range(1, 5))]


@pytest.mark.parametrize(
    ("layout", "take", "expected"),
    [
        ("rank_major", "contiguous", [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]),
        ("rank_major", "strided", [[[0, 2], [4, 6]], [[1, 3], [5, 7]]]),
        ("micro_major", "contiguous", [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]),
        ("micro_major", "strided", [[[0, 2], [4, 6]], [[1, 3], [5, 7]]]),
    ],
)
def test_two_ranks_take_eight_positions_in_two_micro_steps(
    layout: Layout, take: Take, expected: list[list[list[int]]]
) -> None:
    """The step is dealt to the ranks first or to the micro steps, as neighbours or in turns."""
    plan = plan_of({1: 8}, micro=2, layout=layout, take=take)
    found = [[list(cell.positions) for cell in cells(plan, range(8), 2) if cell.rank == rank] for rank in range(2)]
    assert expected == found


@pytest.mark.parametrize(
    ("layout", "take", "expected"),
    [
        ("rank_major", "contiguous", [(0, 0, 7, 1, 2), (1, 0, 9, 1, 2)]),
        ("rank_major", "strided", [(0, 0, 7, 3, 2), (1, 0, 8, 3, 1), (2, 0, 9, 3, 1)]),
        ("micro_major", "contiguous", [(0, 0, 7, 1, 2), (1, 0, 9, 1, 2)]),
        ("micro_major", "strided", [(0, 0, 7, 3, 2), (1, 0, 8, 3, 1), (2, 0, 9, 3, 1)]),
    ],
)
def test_a_rank_may_have_less_and_may_have_none(
    layout: Layout, take: Take, expected: list[tuple[int, int, int, int, int]]
) -> None:
    """Four positions from 7 on for three ranks, with micro batches of two."""
    plan = plan_of({1: 4}, micro=2, layout=layout, take=take)
    names = ("rank", "micro_step", "first_position", "stride", "sequences")
    made = [Cell(**dict(zip(names, row, strict=True))) for row in expected]
    assert made == list(cells(plan, range(7, 11), 3))


def test_steps_far_out_are_where_their_passes_put_them() -> None:
    """A ramp-up of a thousand sizes, then 10**15 steps in passes that end short: they are counted, not walked."""
    length, steps = 996_500, 10**15
    plan = plan_of({step: step for step in range(1, 1001)}, passes=length, short=True)
    ramp = 1000 * 1001 // 2
    whole, rest = divmod(steps - 1000 - 496, 997)
    assert (ramp, length) == (position_after(plan, 1000), position_after(plan, 1000 + 496))
    assert length * (1 + whole) + rest * 1000 == position_after(plan, steps)
