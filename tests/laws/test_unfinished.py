"""An unfinished run is UNPROVEN, never FAIL: wherever its writers stop, no law finds anything.

The slow tests stop a run behind every one of its events, and resume it from there; the quick ones where it matters.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from psion_ledger import events
from psion_ledger.auditing import Audit, audit
from psion_ledger.contracts import Contracts
from psion_ledger.ledger import Run
from psion_ledger.log import seal_run
from psion_ledger.reading import read
from tests.edits import edited, place
from tests.laws import Row, rows, status, with_change
from tests.laws.resumes import resumed_after
from tests.ledgers import (
    RANK0,
    RUN_ID,
    Script,
    close,
    complete,
    good_run,
    record,
    resumed_run,
    rotate,
    seal,
    trained_run,
    write_ledger,
    written_step_by_step,
)

RANK1 = "t0001.r00001"


def audited(folder: Path, artifacts: Path) -> Audit:
    with Run(read(folder)) as run:
        return audit(run, require="replayed", artifacts=artifacts)


def found(audit: Audit) -> list[tuple[str, list[Row]]]:
    """Every violated law and its findings."""
    return [(law.name, rows(law)) for law in audit.laws if law.status == "violated"]


def sealed(folder: Path, to: Path) -> Path:
    """A copy of a run whose writers are gone, sealed as the next resume would seal it."""
    copy = to / RUN_ID
    shutil.copytree(folder, copy)
    seal_run(copy)
    return copy


def behind(script: Script, mark: object) -> Script:
    """The script until a mark, with it."""
    at = next(at for at, (_, step) in enumerate(script) if step is mark)
    return script[: at + 1]


def apart(script: Script, steps_of_rank0: int, steps_of_rank1: int) -> Script:
    """A script of two ranks that were killed when they had completed so many steps each."""
    ends = {
        RANK0: place(script, events.StepCompleted, nth=steps_of_rank0 - 1, stream=RANK0),
        RANK1: place(script, events.StepCompleted, nth=steps_of_rank1 - 1, stream=RANK1),
    }
    return [(stream, step) for at, (stream, step) in enumerate(script) if at <= ends.get(stream, -1)]


BORDERS: dict[str, Callable[[Contracts], Script]] = {
    "a stream is opened": lambda c: good_run(c)[:1],
    "between two contracts": lambda c: good_run(c)[:5],
    "within the first evaluation": lambda c: good_run(c)[:12],
    "within a step": lambda c: good_run(c)[: place(good_run(c), events.BatchReplayed, nth=2) + 1],
    "within a later evaluation": lambda c: good_run(c)[: place(good_run(c), events.SplitLossMeasured, nth=7)],
    "a verification is under way": lambda c: good_run(c)[: place(good_run(c), events.BatchReplayed, nth=11)],
    "the receipt is recorded": lambda c: behind(good_run(c), record),
    "the stage is completed": lambda c: behind(good_run(c), complete),
    "rank 1 has not joined": lambda c: good_run(c, world=2)[: place(good_run(c, world=2), events.StreamOpened, nth=1)],
    "rank 0 is a step ahead": lambda c: apart(good_run(c, world=2), 3, 2),
    "rank 1 is a step ahead": lambda c: apart(good_run(c, world=2), 2, 3),
    "one rank has ended": lambda c: good_run(c, world=2)[: place(good_run(c, world=2), events.StreamEnded) + 1],
    "a second attempt opened": lambda c: resumed_run(c)[: place(resumed_run(c), events.StreamOpened, nth=1) + 1],
    "a second attempt has started": lambda c: resumed_run(c)[: place(resumed_run(c), events.AttemptStarted, nth=1) + 1],
}  # fmt: skip


# One of a stream, one of two ranks and one of two attempts; the slow suite has them all.
QUICK = ("the receipt is recorded", "rank 0 is a step ahead", "a second attempt opened")


@pytest.mark.parametrize(
    "border", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BORDERS]
)
def test_a_run_that_stops_at_a_border_is_unproven(
    tmp_path: Path, contracts: Contracts, artifacts: Path, border: str
) -> None:
    """The writers are killed, and the next resume has sealed what they left."""
    folder = sealed(write_ledger(tmp_path / "killed", BORDERS[border](contracts)), tmp_path / "sealed")
    audit = audited(folder, artifacts)
    assert (found(audit), audit.verdict, audit.exit_code) == ([], "UNPROVEN", 3)


SCRIPTS: dict[str, Callable[[Contracts], Script]] = {
    "good": good_run,
    "two ranks": lambda contracts: good_run(contracts, world=2),
    "resumed": resumed_run,
}


def shared(script: Script, other: Script) -> int:
    """How many steps two scripts have in common at their beginning."""
    pairs = zip(script, other, strict=False)
    return next(at for at, (one, two) in enumerate(pairs) if one != two and not callable(two[1]))


@pytest.mark.slow
@pytest.mark.parametrize("seals", [False, True], ids=["as it was left", "sealed"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_run_that_stops_anywhere_is_unproven(
    tmp_path: Path, contracts: Contracts, artifacts: Path, name: str, seals: bool
) -> None:
    """Behind each of its events, down to the one before the last; the good run's, which others begin with, once."""
    script = SCRIPTS[name](contracts)
    last = max(at for at, (_, step) in enumerate(script) if isinstance(step, events.RunFinished))
    first = 0 if name == "good" else shared(script, good_run(contracts))
    for at, folder in enumerate(written_step_by_step(tmp_path / "live", script[:last])):
        if at < first or script[at][1] in (close, rotate, seal):
            continue
        stopped = sealed(folder, tmp_path / f"{at}") if seals else folder
        audit = audited(stopped, artifacts)
        assert (found(audit), audit.verdict) == ([], "UNPROVEN"), f"behind step {at}: {script[at][1]}"
        if seals:
            shutil.rmtree(tmp_path / f"{at}")


@pytest.mark.slow
def test_ranks_that_stop_apart_are_unproven(tmp_path: Path, contracts: Contracts, artifacts: Path) -> None:
    """No rank is more than a step ahead of the other, and either may be."""
    script = good_run(contracts, world=2)
    for steps in ((1, 2), (2, 1), (2, 3), (3, 2), (3, 4), (4, 3)):
        folder = write_ledger(tmp_path / "-".join(map(str, steps)), apart(script, *steps))
        audit = audited(folder, artifacts)
        assert (found(audit), audit.verdict) == ([], "UNPROVEN"), f"steps of the ranks: {steps}"


def passed(tmp_path: Path, artifacts: Path, script: Script) -> tuple[list[tuple[str, list[Row]]], str]:
    """What an audit finds in a run that was brought to its end, and its verdict."""
    folder = write_ledger(tmp_path / "resumed", script)
    audit = audited(folder, artifacts)
    shutil.rmtree(folder)
    return found(audit), audit.verdict


@pytest.mark.parametrize("cut", [4, *(pytest.param(cut, marks=pytest.mark.slow) for cut in (26, 62))])
def test_a_run_that_was_killed_and_resumed_passes(
    tmp_path: Path, contracts: Contracts, artifacts: Path, cut: int
) -> None:
    """Killed among its promises, in an evaluation, and in a verification after its promotion."""
    script = resumed_after(contracts, good_run(contracts)[:cut])
    assert passed(tmp_path, artifacts, script) == ([], "PASS")


@pytest.mark.slow
def test_a_run_that_was_killed_before_it_loaded_its_checkpoint_passes(
    tmp_path: Path, contracts: Contracts, artifacts: Path
) -> None:
    """The second attempt died while it read its checkpoint; the third read it and trained."""
    script = resumed_after(contracts, good_run(contracts)[:30])
    killed = script[: place(script, events.AttemptStarted, nth=1) + 1]
    assert passed(tmp_path, artifacts, resumed_after(contracts, killed)) == ([], "PASS")


@pytest.mark.slow
def test_a_run_that_was_killed_anywhere_and_resumed_passes(
    tmp_path: Path, contracts: Contracts, artifacts: Path
) -> None:
    """Killed behind every second of its events, sealed, resumed from what was durable, and brought to its end."""
    last = place(good_run(contracts), events.RunFinished)
    for cut in range(1, last + 1, 2):
        script = resumed_after(contracts, good_run(contracts)[:cut])
        assert passed(tmp_path, artifacts, script) == ([], "PASS"), f"killed behind step {cut - 1}"


@pytest.mark.slow
def test_a_run_that_was_killed_twice_and_resumed_passes(tmp_path: Path, contracts: Contracts, artifacts: Path) -> None:
    """Killed in step 3, resumed, and killed again behind every second step since."""
    once = resumed_after(contracts, good_run(contracts)[:30])
    opened_again = place(once, events.StreamOpened, nth=1)
    for cut in range(opened_again + 1, place(once, events.RunFinished) + 1, 2):
        script = resumed_after(contracts, once[:cut])
        assert passed(tmp_path, artifacts, script) == ([], "PASS"), f"killed behind step {cut - 1}"


DAMAGE: dict[str, Callable[[Script], Script]] = {
    "batches_take_their_positions": lambda script: edited(script, events.BatchReplayed, nth=1, first_position=5),
    "losses_are_finite": lambda script: edited(script, events.StepCompleted, loss_nats=float("inf")),
    "checkpoints_stand_at_their_cursor": lambda script: edited(script, events.CheckpointWritten, cursor_position=1),
    "evaluations_measure_declared_sets": lambda script: edited(script, events.SplitLossMeasured, target_tokens=1),
}  # fmt: skip


@pytest.mark.parametrize(
    "law", [next(iter(DAMAGE)), *(pytest.param(law, marks=pytest.mark.slow) for law in [*DAMAGE][1:])]
)
def test_a_violation_before_the_end_is_still_a_failure(
    tmp_path: Path, contracts: Contracts, artifacts: Path, law: str
) -> None:
    """That a run is unfinished excuses nothing of what it did."""
    script = DAMAGE[law](trained_run(contracts))
    until = place(script, events.SplitLossMeasured, nth=6)
    audit = audited(write_ledger(tmp_path, script[:until]), artifacts)
    assert (audit.verdict, audit.exit_code) == ("FAIL", 1)
    assert law in [name for name, _ in found(audit)]


def test_a_share_above_its_cap_is_judged_when_the_run_is_finished(tmp_path: Path, contracts: Contracts) -> None:
    """After one step of four, a source has half of the tokens; at the horizon it has its share."""
    pointer = "/source_contribution_caps/1/maximum_source_token_share_bps"
    capped = with_change(contracts, "sampling_policy", pointer, 100)
    until = place(trained_run(capped), events.StepCompleted)
    assert status(tmp_path, trained_run(capped)[: until + 1], "source_shares_are_within_caps") == "held"


def test_an_evaluation_under_way_is_not_asked_for_its_rest(tmp_path: Path, contracts: Contracts) -> None:
    """Only the last evaluation may lack sets; one that is followed by another may not."""
    script = trained_run(contracts)
    until = place(script, events.SplitLossMeasured, nth=7)
    assert status(tmp_path, script[:until], "evaluations_measure_declared_sets") == "held"
