"""What makes no sense is refused in one sentence, and nothing is written of it; what is forgotten is no crash."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from psion_ledger import Recorder, orders, reopen
from psion_ledger.data import Data
from psion_ledger.errors import CannotDecide, UsageError
from psion_ledger.recording.past import Past
from tests.recording.loops import (
    BATCH,
    HELD_OUT,
    ROWS,
    TOKENS,
    VALIDATION,
    audited,
    begin,
    described,
    learn,
    rows,
    save,
    written,
)

IDS = np.arange(BATCH)
Misuse = Callable[[Recorder, Path], object]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return described(tmp_path_factory.mktemp("data"))


def _nothing(run: Recorder) -> None:
    pass


def _batch(run: Recorder) -> None:
    run.batch(IDS, rows(IDS))


def _outside(run: Recorder, folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    run.checkpoint(folder / "elsewhere")


REFUSED: dict[str, tuple[Misuse, str]] = {
    "a step without its batch": (
        lambda run, _: run.step(loss_sum=1.0),
        "step 1: the plan gives this rank 8 more sequences from position 0 on; record them with batch() before step()",
    ),
    "ids beyond the data": (
        lambda run, _: run.batch(IDS + ROWS - 7, rows(IDS)),
        "step 1: row 40 of 40 of the train data; count from 0",
    ),
    "an id below zero": (lambda run, _: run.batch(IDS - 1, rows(IDS)), "step 1: ids: -1 is below zero"),
    "no ids": (
        lambda run, _: run.batch(None, rows(IDS)),
        "step 1: give the rows of the train data as ids; unit='content' records without",
    ),
    "fewer tokens than a sequence has": (
        lambda run, _: run.batch(IDS, rows(IDS)[:, 1:]),
        "step 1: row 0 has 5 tokens, and each sequence of the data has 6; give whole sequences, or lengths= without "
        "the padding",
    ),
    "lengths beyond the rows": (
        lambda run, _: run.batch(IDS, rows(IDS), lengths=[TOKENS + 1] * BATCH),
        "step 1: lengths [7, 7, 7, 7, 7, 7, 7, 7] do not fit 8 rows; give the real tokens of each row",
    ),
    "fewer rows than ids": (
        lambda run, _: run.batch(IDS, rows(IDS)[1:]),
        "step 1: 8 ids and 7 rows of tokens; give one id a row",
    ),
    "target tokens that the rule does not give": (
        lambda run, _: run.batch(IDS, rows(IDS), target_tokens=48),
        "step 1: target_tokens=48, and the plan's rule 'all_but_first' gives 40; correct it, or begin the run with "
        "targets='given'",
    ),
    "a part of a batch": (
        lambda run, _: run.batch(IDS[:3], rows(IDS[:3])),
        "step 1, micro step 0: the plan gives this rank 8 sequences, and the batch has 3; correct batch_sequences or "
        "micro_batch_sequences, or the loader",
    ),
    "a batch too many": (
        lambda run, _: run.batch(IDS, rows(IDS)),
        "step 1: this rank has recorded all of its batches; call step() before the next one",
    ),
    "a loss that is no number": (
        lambda run, _: run.step(loss_sum=np.ones(2)),
        "step 1: loss_sum: not one number: only 0-dimensional arrays can be converted to Python scalars",
    ),
    "a split that there is not": (
        lambda run, _: run.measure("test", loss_sum=1.0, ids=[0]),
        "measure test: the data have train text, validation text; give one of these, with family= where a split has "
        "several",
    ),
    "a set that nobody promised": (
        lambda run, _: run.measure("validation", losses=[1.0]),
        "measure validation: no evaluation set is promised of it; give evaluation_sequences=",
    ),
    "rows beyond a split": (
        lambda run, _: run.measure("validation", losses=[1.0], ids=[HELD_OUT]),
        "measure validation text: row 12 of 12; count from 0",
    ),
    "fewer losses than rows": (
        lambda run, _: run.measure("validation", losses=[1.0], ids=[0, 1]),
        "measure validation: 1 losses of 2 sequences; give one of each",
    ),
    "tokens of other rows than were measured": (
        lambda run, _: run.measure("validation", losses=[1.0, 1.0], ids=[0, 1], tokens=VALIDATION[:1]),
        "measure validation: 2 ids and 1 rows of tokens",
    ),
    "a checkpoint outside the artifacts": (
        _outside,
        "checkpoint {0}/elsewhere: it is not below {0}/runs/tiny, where readers look; save it there, or give "
        "artifacts=",
    ),
    "a checkpoint that is not there": (
        lambda run, folder: run.checkpoint(folder / "runs/tiny/none"),
        "checkpoint {0}/runs/tiny/none: no such folder; record it after it was saved",
    ),
    "a checkpoint without weights": (
        lambda run, folder: run.checkpoint(save(folder, "a", {"notes.txt": b"none"})),
        "checkpoint {0}/runs/tiny/a: it has notes.txt, and no file of weights; say which with roles=",
    ),
    "a checkpoint of a step to come": (
        lambda run, folder: run.checkpoint(save(folder, "a"), step=3),
        "step 3: a checkpoint stands after a completed step of this attempt, of late ones",
    ),
    "the promotion of what was not recorded": (
        lambda run, folder: run.promote(folder / "runs/tiny/none", label="best"),
        "checkpoint {0}/runs/tiny/none: none is recorded of that id or folder; call checkpoint() first",
    ),
}  # fmt: skip


BEFORE: dict[str, Callable[[Recorder], None]] = {"a batch too many": _batch, "a loss that is no number": _batch}


@pytest.mark.parametrize("name", REFUSED)
def test_misuse_is_refused_in_one_sentence(tmp_path: Path, found: Data, name: str) -> None:
    """The call that is refused has written nothing, and the run goes on as if it had not been."""
    misuse, message = REFUSED[name]
    with begin(tmp_path, found) as run:
        BEFORE.get(name, _nothing)(run)
        before = written(tmp_path)
        with pytest.raises(UsageError, match=f"^{re.escape(message.format(tmp_path))}$"):
            misuse(run, tmp_path)
        assert written(tmp_path) == before
        if name not in BEFORE:
            _batch(run)
        run.step(loss_sum=1.0)
        assert run.last_step == 1


def test_a_checkpoint_s_name_is_given_once(tmp_path: Path, found: Data) -> None:
    """Whether the first of that name is hashed by now or not."""
    with begin(tmp_path, found) as run:
        run.checkpoint(save(tmp_path, "a"))
        with pytest.raises(UsageError, match=r"^checkpoint a0001-s000000 is recorded already; give checkpoint_id="):
            run.checkpoint(save(tmp_path, "b"))


BEGUN_ANEW: dict[str, tuple[dict[str, object], str]] = {
    "nothing to train on": ({"data": None}, "record: give data=, order=, model= and horizon_steps="),
    "a model without tensors": ({"model": {}}, "model: no tensors; give model.state_dict()"),
    "a rank beyond the world": ({"rank": 2, "world": 2}, "rank=2, world=2: ranks are 0 to world - 1"),
    "ranks of no launch": ({"rank": 0, "world": 2}, "rank 0 of 2: nothing says which processes started together"),
    "a name that is no run's": ({"run_id": "../tiny"}, "run id '../tiny'"),
    "an order file that is none": ({"order": orders.file("none.u4")}, "none.u4: cannot be read"),
}


@pytest.mark.parametrize("name", BEGUN_ANEW)
def test_a_run_that_cannot_be_is_not_begun(tmp_path: Path, found: Data, name: str) -> None:
    """There is no ledger afterwards."""
    changes, message = BEGUN_ANEW[name]
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        begin(tmp_path, found, **changes)
    assert not (tmp_path / "ledger").exists()


# ---- Resumes ----

BOUND = orders.derived("own", replicas=1)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, found: Data) -> tuple[Path, Past]:
    """A run that was left after its second step, whose order is one of this world alone, and what it was."""
    folder = tmp_path_factory.mktemp("stopped")
    with begin(folder, found, order=BOUND, launch="first") as run:
        for first in (0, BATCH):
            run.batch(IDS + first, rows(IDS + first))
            run.step(loss_sum=1.0)
        run.checkpoint(save(folder, "a"))
    return folder, reopen(folder / "ledger", "tiny", folder / "runs")


AGAIN: dict[str, tuple[dict[str, object], str]] = {
    "another batch size": (
        {"batch_sequences": 4},
        'run tiny was started with another batch: {"schedule":[{"first_step":1,"sequences":8}],'
        '"micro_batch_sequences":8}, and now {"schedule":[{"first_step":1,"sequences":4}],"micro_batch_sequences":4}; '
        "resume it as it was started, or begin a new run",
    ),
    "another horizon": ({"horizon_steps": 9}, "run tiny was started with another horizon_steps: 4, and now 9;"),
    "another order": ({"order": orders.derived("sequential")}, "run tiny was started with another order: "),
    "a world that the order does not allow": (
        {"rank": 0, "world": 2, "launch": "b"},
        "the order own depends on the number of ranks: the run was started on 1, and now on 2; resume it on as many",
    ),
    "the same launch again": (
        {"launch": "first"},
        "run tiny: launch 'first' claimed attempt 1 already; give launch= another id for each start",
    ),
    "a checkpoint that is not there": ({"resume_from": "none"}, "resume_from=none: no checkpoint of run tiny that"),
}  # fmt: skip


@pytest.mark.parametrize("name", AGAIN)
def test_a_resume_that_disagrees_is_refused(stopped: tuple[Path, Past], found: Data, name: str) -> None:
    """Before an attempt is claimed: nothing is written."""
    folder, past = stopped
    changes, message = AGAIN[name]
    before = written(folder)
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        begin(folder, found, **({"past": past, "order": BOUND} | changes))
    assert written(folder) == before


def test_a_second_recorder_of_a_rank_is_refused(tmp_path: Path, found: Data) -> None:
    """The first one goes on: its stream has one writer."""
    with begin(tmp_path, found) as run:
        learn(run)
        before = written(tmp_path)
        with pytest.raises(CannotDecide, match=r"^run tiny: .* still writes stream t0001.r00000; stop it first$"):
            begin(tmp_path, found)
        assert written(tmp_path) == before
        learn(run)


def test_a_batch_before_the_checkpoint_is_loaded_is_refused(stopped: tuple[Path, Past], found: Data) -> None:
    """Nothing is inferred: that weights were loaded is said, with what they are."""
    folder, past = stopped
    with begin(folder, found, past=past, order=BOUND, launch="second") as run:
        before = written(folder)
        with pytest.raises(
            UsageError, match=r"^attempt 2 goes on from checkpoint a0001-s000002: load it and call loaded"
        ):
            run.batch(IDS, rows(IDS))
        assert written(folder) == before
        assert run.checkpoint_to_load is not None
        run.loaded(run.checkpoint_to_load)
        run.batch(IDS, rows(IDS))


# ---- What is forgotten ----


@pytest.mark.slow
def test_a_block_that_is_left_early_can_be_gone_on_with(tmp_path: Path, found: Data) -> None:
    """No step, no checkpoint: the audit says that the run is not finished, and the next start begins from nothing."""
    with begin(tmp_path, found) as run:
        learn(run)
        _batch_of(run)
    unfinished = audited(tmp_path)
    assert (unfinished.verdict, "unfinished" in unfinished.unproven) == ("UNPROVEN", True)
    with begin(tmp_path, found) as run:
        assert (run.attempt, run.next_step, run.checkpoint_to_load) == (2, 1, None)
        learn(run, 4)
    assert [law.name for law in audited(tmp_path).laws if law.status == "violated"] == []


def _batch_of(run: Recorder) -> None:
    ids = run.next_ids()
    run.batch(ids, rows(ids))


def test_a_loop_that_never_calls_step_says_so(tmp_path: Path, found: Data) -> None:
    """At its second batch; the first one is kept."""
    with begin(tmp_path, found) as run:
        _batch_of(run)
        with pytest.raises(UsageError, match=r"^step 1: the plan gives this rank no further batch; call step\(\)"):
            run.next_ids()
    assert audited(tmp_path).verdict == "UNPROVEN"
