"""Any plan, world and cut: a clean run is clean, and one fault in it is found. Plans are drawn, not chosen."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from psion_ledger import events
from psion_ledger.contracts.sampling_plan import BatchRule, BatchSize, Cadence, Passes, PlannedSkip, RankRule
from psion_ledger.contracts.steps import position_after
from tests.ledgers import Script
from tests.practices import faults
from tests.practices.parts import loop, order, plan, shuffled
from tests.practices.recorder import Attempt, Loop, script_of
from tests.practices.test_practices import audited

ENTRIES = 23


@st.composite
def loops(draw: st.DrawFn) -> Loop:
    """A plan of any shape over 23 rows, followed on any world, at once or with a resume on another one."""
    steps = draw(st.integers(2, 5))
    schedule = [BatchSize(first_step=1, sequences=draw(st.integers(1, 9)))]
    if draw(st.booleans()):
        schedule.append(BatchSize(first_step=draw(st.integers(2, steps)), sequences=draw(st.integers(1, 9))))
    end: Any = draw(st.sampled_from(["spans", "short_batch"]))
    skips = [PlannedSkip(before_step=draw(st.integers(1, steps)), sequences=draw(st.integers(1, 5)))]
    layout: Any = draw(st.sampled_from(["rank_major", "micro_major"]))
    take: Any = draw(st.sampled_from(["contiguous", "strided"]))
    cadence = Cadence(every_steps=1, at_start=True, at_end=True)
    own = plan(
        ENTRIES, order(), steps=steps, batch=1, checkpoints=cadence, passes=Passes(sequences=ENTRIES, end=end),
        ranks=RankRule(layout=layout, take=take), planned_skips=skips if draw(st.booleans()) else [],
    )  # fmt: skip
    own = msgspec.structs.replace(
        own, batch=BatchRule(schedule=schedule, micro_batch_sequences=draw(st.integers(1, 4)))
    )
    attempts: tuple[Attempt, ...] = (Attempt(world=draw(st.integers(1, 3)), until=steps),)
    if draw(st.booleans()):
        cut = draw(st.integers(0, steps - 1))
        killed = Attempt(world=attempts[0].world, until=draw(st.integers(max(cut, 1), steps)))
        attempts = (killed, Attempt(world=draw(st.integers(1, 3)), cut=cut, until=steps))
    return loop(own, shuffled(ENTRIES), *attempts, checkpoint_every=1)


def counting(script: Script, loop: Loop) -> list[int]:
    """Where the batches stand that count: superseded steps' do not."""
    cut = loop.attempts[-1].cut or 0
    last = f"t{len(loop.attempts):04}."
    return [
        at
        for at, (stream, event) in enumerate(script)
        if isinstance(event, events.BatchReplayed) and (stream.startswith(last) or event.step <= cut)
    ]


def broken(script: Script, loop: Loop, draw: st.DataObject) -> Script | None:
    """The script with one fault; null where it has no place for the drawn one."""
    places = counting(script, loop)
    at = draw.draw(st.sampled_from(places))
    kind = draw.draw(st.sampled_from(["swapped pair", "lost", "repeated", "exchanged micro batches"]))
    stream, event = script[at]
    assert isinstance(event, events.BatchReplayed)
    if kind == "lost":
        return faults.lost(script, at)
    if kind == "repeated":
        return [*script[: at + 1], script[at], *script[at + 1 :]]
    if kind == "swapped pair":
        ids = event.sequence_ids
        if len(set(ids)) < 2:
            return None
        other = [*ids[1:2], *ids[:1], *ids[2:]] if ids[0] != ids[1] else [*ids[-1:], *ids[1:-1], *ids[:1]]
        return None if other == ids else faults.with_ids(script, at, other)
    same = [one for one in places if script[one][0] == stream and getattr(script[one][1], "step", 0) == event.step]
    if len(same) < 2:
        return None
    one, two = (script[place][1] for place in same[:2])
    assert isinstance(one, events.BatchReplayed)
    assert isinstance(two, events.BatchReplayed)
    script = faults.replaced(script, same[0], micro_step=two.micro_step)
    return faults.replaced(script, same[1], micro_step=one.micro_step)


def examine(folder: Path, loop: Loop, draw: st.DataObject) -> None:
    script = script_of(loop)
    found, findings = audited(folder / "clean", script)
    assert (found.verdict, found.level, findings) == ("PASS", "ordered", [])
    fault = broken(script, loop, draw)
    if fault is not None:
        assert audited(folder / "broken", fault)[0].verdict == "FAIL"


UNHURRIED = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)


@given(loop=loops(), draw=st.data())
@settings(max_examples=3, suppress_health_check=UNHURRIED)
def test_a_clean_run_is_clean_and_a_fault_is_found(
    tmp_path_factory: pytest.TempPathFactory, loop: Loop, draw: st.DataObject
) -> None:
    """A few plans."""
    examine(tmp_path_factory.mktemp("plan"), loop, draw)


@pytest.mark.slow
@given(loop=loops(), draw=st.data())
@settings(max_examples=120, suppress_health_check=UNHURRIED)
def test_many_clean_runs_are_clean_and_a_fault_in_each_is_found(
    tmp_path_factory: pytest.TempPathFactory, loop: Loop, draw: st.DataObject
) -> None:
    """Many plans."""
    examine(tmp_path_factory.mktemp("plan"), loop, draw)


def test_the_drawn_plans_reach_what_is_hard() -> None:
    """Steps of a second pass, and batches that do not divide by world and micro batch, are among them."""
    seen = set()

    @given(loop=loops())
    @settings(max_examples=200, database=None)
    def look(loop: Loop) -> None:
        own = loop.plan
        if position_after(own, own.horizon_steps) > ENTRIES:
            seen.add("a second pass")
        assert own.batch.schedule is not None
        if own.batch.schedule[0].sequences % loop.attempts[0].world:
            seen.add("a batch that the ranks do not divide")
        if len(loop.attempts) > 1 and loop.attempts[0].world != loop.attempts[1].world:
            seen.add("another world")
        if own.planned_skips:
            seen.add("a skip")

    look()
    assert seen == {"a second pass", "a batch that the ranks do not divide", "another world", "a skip"}
