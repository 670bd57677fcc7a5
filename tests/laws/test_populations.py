"""Populations come from promises: where events are missing, no law holds over the rest as if that were all.

The ledgers are written anew, honestly, without some of their events: each is whole, and lacks what was promised.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from psion_ledger import events
from psion_ledger.auditing import Audit, audit
from psion_ledger.contracts import Contracts
from psion_ledger.ledger import Run
from psion_ledger.log import Writer
from psion_ledger.reading import read
from tests.corpora import real_contracts
from tests.edits import place, without
from tests.laws import OTHER, completion, findings, status
from tests.ledgers import (
    RANK0,
    Script,
    beginning,
    complete,
    good_run,
    record,
    resumed_run,
    trained_run,
    verification,
    write_ledger,
)

RANK1, SECOND = "t0001.r00001", "t0002.r00000"
BASES: dict[str, Callable[[Contracts], Script]] = {
    "good": good_run,
    "two ranks": lambda contracts: good_run(contracts, world=2),
    "resumed": resumed_run,
}
# Of an honest record that was written without them, the files and entries are fewer.
OF_THE_RECORD = {"files_hold_their_digests", "manifest_is_chained"}


class Drop(msgspec.Struct, frozen=True):
    """The events of a kind to be left out: in one stream or in all, of one step or of all."""

    base: str
    kind: str
    stream: str | None = None
    step: int | None = None

    def __str__(self) -> str:
        return " ".join(str(part) for part in msgspec.structs.astuple(self) if part is not None)

    def of(self, stream: str, event: object) -> bool:
        return (
            tag(event) == self.kind
            and self.stream in (None, stream)
            and self.step in (None, getattr(event, "step", None))
        )


def tag(event: object) -> str | None:
    return str(event.__struct_config__.tag) if isinstance(event, msgspec.Struct) else None


def drops(base: str, script: Script) -> Iterator[Drop]:
    """Each kind; each kind of each stream that has it beside others; each kind of each step."""
    there = [(stream, str(tag(event)), getattr(event, "step", None)) for stream, event in script if tag(event)]
    # A stream without its opening is none: the writer does not write it.
    kinds = dict.fromkeys(kind for _, kind, _ in there if kind != "stream_opened")
    for kind in kinds:
        yield Drop(base, kind)
        streams = list(dict.fromkeys(stream for stream, known, _ in there if known == kind))
        yield from (Drop(base, kind, stream=stream) for stream in streams if len(streams) > 1)
        steps = dict.fromkeys(step for _, known, step in there if known == kind and step is not None)
        yield from (Drop(base, kind, step=step) for step in steps)


def all_drops() -> list[Drop]:
    contracts = real_contracts()
    return [drop for base, script in BASES.items() for drop in drops(base, script(contracts))]


DROPS = all_drops()
LAST_STEP = 4


def unpromised(drop: Drop) -> str | None:
    """Why a record without these events is one that an honest run can have written; None where it is not."""
    if drop.kind == "stream_ended":
        return "a stream that was killed behind its last step: the completion pins where it ended"
    if drop.kind == "verification_completed" and drop.stream is not None:
        return "a pass that was killed; the other one is whole"
    if drop.kind == "run_finished":
        return "the run is not finished, and says so"
    earlier = drop.step not in (None, LAST_STEP) or (drop.base == "resumed" and drop.stream == RANK0)
    if drop.kind == "split_loss_measured" and earlier:
        return "no contract says when a run evaluates, but for the weights that it promotes"
    return None


def audited(folder: Path) -> Audit:
    with Run(read(folder)) as run:
        return audit(run)


@pytest.fixture(scope="module")
def examined(contracts: Contracts, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, int]]:
    """How many rows each law examines in a whole ledger."""
    known: dict[str, dict[str, int]] = {}

    def of(base: str) -> dict[str, int]:
        if base not in known:
            found = audited(write_ledger(tmp_path_factory.mktemp("whole"), BASES[base](contracts)))
            known[base] = {law.name: law.examined for law in found.laws}
        return known[base]

    return of


def what_is_missed(tmp_path: Path, contracts: Contracts, examined: dict[str, int], drop: Drop) -> None:
    """No law holds over fewer rows; and unless an honest run can have written this, some law is violated."""
    script = [(stream, event) for stream, event in BASES[drop.base](contracts) if not drop.of(stream, event)]
    assert script != BASES[drop.base](contracts)
    found = audited(write_ledger(tmp_path, script, strict=False))
    held = [law for law in found.laws if law.status == "held" and law.name not in OF_THE_RECORD]
    fewer = {law.name for law in held if law.examined != examined[law.name]}
    if unpromised(drop) is None:
        assert (found.verdict, fewer) == ("FAIL", set())
    else:
        assert found.verdict in ("PASS", "UNPROVEN")
        assert fewer <= {"evaluations_measure_declared_sets"}


@pytest.mark.parametrize("drop", random.Random(8).sample(DROPS, 1), ids=str)
def test_a_sample_of_what_is_missing_is_missed(
    tmp_path: Path, contracts: Contracts, examined: Callable[[str], dict[str, int]], drop: Drop
) -> None:
    """One of the ledgers that lack events."""
    what_is_missed(tmp_path, contracts, examined(drop.base), drop)


@pytest.mark.slow
@pytest.mark.parametrize("drop", DROPS, ids=str)
def test_what_is_missing_is_missed(
    tmp_path: Path, contracts: Contracts, examined: Callable[[str], dict[str, int]], drop: Drop
) -> None:
    """Every kind of event: all, those of one stream, those of one step."""
    what_is_missed(tmp_path, contracts, examined(drop.base), drop)


def test_what_an_honest_run_may_lack_is_there(contracts: Contracts) -> None:
    """The exceptions above are about ledgers that are tried."""
    lacking = [drop for drop in DROPS if unpromised(drop) is not None]
    assert len(DROPS) - len(lacking) > 4 * len(lacking) > 0
    assert {drop.kind for drop in lacking} == {
        "verification_completed", "run_finished", "split_loss_measured", "stream_ended"
    }  # fmt: skip


# ---- The absent counterpart, law by law ----

ABSENT_BATCHES = (
    "batches_count_their_tokens", "loss_divisors_are_target_tokens", "steps_are_dense", "targets_are_counted",
    "batches_draw_train_sequences", "consumed_tokens_are_the_sequences",
    "consumed_sources_are_capped", "evaluation_content_is_isolated", "family_shares_are_within_caps",
    "source_shares_are_within_caps", "code_share_is_within_policy",
)  # fmt: skip


def without_step(script: Script, kind: str, step: int) -> Script:
    drop = Drop("", kind, step=step)
    return [(stream, event) for stream, event in script if not drop.of(stream, event)]


@pytest.fixture(scope="module")
def lacking(contracts: Contracts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's folder: nobody recorded the batches of step 2."""
    script = without_step(trained_run(contracts), "batch_replayed", 2)
    return write_ledger(tmp_path_factory.mktemp("lacking"), script, strict=False)


def test_a_step_without_batches_is_found_by_every_law_of_batches(lacking: Path) -> None:
    """A law over what was consumed says nothing of the rest: what it was promised is not there."""
    with Run(read(lacking)) as run:
        laws = {law.name: law for law in audit(run, select=list(ABSENT_BATCHES)).laws}
    subjects = {name: [str(f.subject).removesuffix(" rank 0") for f in laws[name].findings] for name in ABSENT_BATCHES}
    found = {name: [subject for subject in subjects[name] if subject == "step 2"] for name in ABSENT_BATCHES}
    assert found == {name: ["step 2"] for name in ABSENT_BATCHES}


def test_shares_of_a_run_under_way_are_not_asked_for_their_rest(tmp_path: Path, contracts: Contracts) -> None:
    """Killed within step 2: what is in flight is promised to nobody yet."""
    script = trained_run(contracts)
    until = place(script, events.BatchReplayed, nth=2) + 1
    folder = write_ledger(tmp_path, script[:until])
    with Run(read(folder)) as run:
        laws = {law.name: law.status for law in audit(run, select=list(ABSENT_BATCHES)).laws}
    assert {name: laws[name] for name in ABSENT_BATCHES} == dict.fromkeys(ABSENT_BATCHES, "held")


def names_what_nobody_recorded(contracts: Contracts) -> Script:
    """A completion that rests on a receipt which is not there."""

    def completed(folder: Path, writer: Writer) -> None:
        writer.emit(completion(OTHER))

    return [(s, completed if e is complete else e) for s, e in good_run(contracts) if e is not record]


def begun(contracts: Contracts) -> Script:
    """A trained run and a pass of which nobody recorded the start."""
    script = trained_run(contracts) + verification(contracts, "first")
    return without(script, events.VerificationStarted)


def final_evaluation_gone(contracts: Contracts) -> Script:
    return without_step(trained_run(contracts), "split_loss_measured", LAST_STEP)


def every(kind: str) -> Callable[[Contracts], Script]:
    return lambda contracts: [(s, e) for s, e in trained_run(contracts) if tag(e) != kind]


ABSENT: dict[str, tuple[str, Callable[[Contracts], Script], str, str]] = {
    # What is absent: the law, the ledger, and the first finding's subject and what was found.
    "a receipt that a completion names": (
        "receipts_rederive", names_what_nobody_recorded, f"receipt {OTHER.hex()}", "never recorded"
    ),
    "the start of a pass, for what it compared": (
        "verification_agrees_with_training", begun, "v.first", "its batches, and no verification_started"
    ),
    "the start of a pass, for what it counted": (
        "verifications_count_themselves", begun, "v.first", "its batches, and no verification_started"
    ),
    "the evaluation of the final weights": (
        "evaluations_measure_declared_sets", final_evaluation_gone,
        "evaluation at step 4 held_out held_out_modules", "not measured",
    ),
    "the losses of the final weights": (
        "losses_are_finite", final_evaluation_gone,
        "evaluation at step 4 held_out held_out_modules", "loss null, null, gradient norm null",
    ),
    "every checkpoint": ("one_root_checkpoint", every("checkpoint_written"), "roots", "0 roots"),
    "the stage that was promised": (
        "stage_is_pretrain", every("stage_started"), "run-small-stage-1-pretrain",
        "pretrain run-small-stage-1-pretrain; started: nothing",
    ),
    "the stage that the program begins with": (
        "stage_program_is_followed", every("stage_started"), "stage_started", "an attempt was started, and no stage"
    ),
    "the start of the only attempt": (
        "attempts_resume_from_written_checkpoints", every("attempt_started"), f"stream {RANK0}",
        "training, and no attempt_started",
    ),
    "the start of one rank": (
        "attempts_resume_from_written_checkpoints",
        lambda contracts: without(trained_run(contracts, world=2), events.AttemptStarted, stream=RANK1),
        f"stream {RANK1}", "training, and no attempt_started",
    ),
    "the loss of one rank": (
        "ranks_agree_on_the_loss",
        lambda contracts: without(trained_run(contracts, world=2), events.StepCompleted, stream=RANK1),
        "step 1", "1 losses, 5.5 to 5.5, of 1 ranks",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_promised_and_absent_is_a_finding(tmp_path: Path, contracts: Contracts, name: str) -> None:
    """The law that speaks of it names it, by itself."""
    law, script, subject, actual = ABSENT[name]
    found = findings(tmp_path, script(contracts), law)
    assert [(row[0], row[4]) for row in found if row[0] == subject] == [(subject, actual)]


HONEST: dict[str, tuple[str, Callable[[Contracts], Script], str]] = {
    "a pass that only opened its stream, for what it compared": (
        "verification_agrees_with_training", lambda c: [*trained_run(c), verification(c, "first")[0]], "vacuous"
    ),
    "a pass that only opened its stream, for what it counted": (
        "verifications_count_themselves", lambda c: [*trained_run(c), verification(c, "first")[0]], "vacuous"
    ),
    "an attempt that only opened its stream": (
        "attempts_resume_from_written_checkpoints", lambda c: beginning(c)[:1], "vacuous"
    ),
    "no checkpoint yet": (
        "one_root_checkpoint", lambda c: beginning(c)[: place(beginning(c), events.CheckpointWritten)], "vacuous"
    ),
    "no stage before the first attempt": (
        "stage_program_is_followed", lambda c: beginning(c)[: place(beginning(c), events.StageStarted)], "held"
    ),
    "no stage yet beside the promised one": (
        "stage_is_pretrain", lambda c: beginning(c)[: place(beginning(c), events.StageStarted)], "held"
    ),
    "no final evaluation of a run under way": (
        "evaluations_measure_declared_sets",
        lambda c: trained_run(c)[: place(trained_run(c), events.StepCompleted, nth=3) + 1], "held",
    ),
    "no receipt of a run under way": ("receipts_rederive", lambda c: beginning(c), "vacuous"),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_what_is_not_due_yet_is_no_finding(tmp_path: Path, contracts: Contracts, name: str) -> None:
    """The honest neighbour of each of those above."""
    law, script, expected = HONEST[name]
    assert status(tmp_path, script(contracts), law) == expected
