"""Each example is run as it stands: it audits clean, goes on where it was stopped, and a planted fault is named."""

import runpy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import psion_ledger
from psion_ledger import Recorder
from psion_ledger.auditing import Audit, audit
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from psion_ledger.recording import record
from tests.suites import sampled

pytest.importorskip("torch")
EXAMPLES = Path(__file__).resolve().parents[2] / "trainer" / "examples"
TORCHDATA = "torchdata.stateful_dataloader"
ROWS, TOKENS = 96, 32
STOPPED_AT = 13


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """An example by its file: its run, the level that it reaches, and what it needs besides torch."""

    name: str
    run_id: str
    level: str = "replayed"
    needs: str | None = None


PLAIN = Example(name="plain", run_id="plain")
NANOGPT = Example(name="nanogpt", run_id="nanogpt", level="accounted")
OLMO = Example(name="olmo_order", run_id="olmo")
STATEFUL = Example(name="stateful_dataloader", run_id="stateful", needs=TORCHDATA)
NAME: Callable[[Example], str] = lambda example: example.name  # noqa: E731


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that the examples train on; the tests finish runs, in this process."""
    drawn = np.random.default_rng(1)
    np.save(tmp_path / "data.npy", drawn.integers(0, 256, (ROWS, TOKENS + 1), dtype="u2"))
    drawn.integers(0, 256, 3_000, dtype="u2").tofile(tmp_path / "train.bin")
    drawn.integers(0, 256, 200 * TOKENS, dtype="u2").tofile(tmp_path / "tokens.bin")
    drawn.permutation(200).astype("<u4").tofile(tmp_path / "global_indices.npy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(psion_ledger, "record", partial(record, finish=False), raising=False)
    return tmp_path


def train(example: Example, *replaced: tuple[str, str]) -> None:
    """Run an example; each pair is a place of its text, and what stands there in the place of it."""
    if example.needs is not None:
        pytest.importorskip(example.needs)
    text = (EXAMPLES / f"{example.name}.py").read_text(encoding="utf-8")
    for old, new in replaced:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    Path("loop.py").write_text(text, encoding="utf-8")
    runpy.run_path("loop.py", run_name="__main__")


def train_stopped(example: Example, patch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes while step 13 is trained; the last checkpoint is that of step 10."""
    closed: Callable[..., None] = Recorder.step

    def interrupted(run: Recorder, **facts: Any) -> None:
        if run.next_step == STOPPED_AT:
            raise KeyboardInterrupt
        closed(run, **facts)

    with patch.context() as patched:
        patched.setattr(Recorder, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(example)


def audited(example: Example) -> Audit:
    with Run(read(Path("ledger") / example.run_id)) as run:
        return audit(run, require="replayed" if example.level == "replayed" else "accounted", corpus=".")


def named(found: Audit) -> set[tuple[str, int | None]]:
    """Each violated law, with the steps that its findings name."""
    with Run(read(Path("ledger") / found.run_id)) as run:
        steps = {
            (stream, seq): step
            for kind in ("batch_replayed", "step_completed")
            for stream, seq, step in run.con.sql(f"select stream, seq, step from {kind}").fetchall()
        }
    return {
        (law.name, steps.get((finding.stream, finding.event_seq))) for law in found.laws for finding in law.findings
    }


@pytest.mark.parametrize("example", sampled((PLAIN, NANOGPT, OLMO, STATEFUL), 2, NAME))
def test_an_example_audits_clean(folder: Path, example: Example) -> None:
    """In one go: with the data at hand it is replayed, and without a declared order accounted."""
    train(example)
    psion_ledger.finish("ledger", example.run_id)
    found = audited(example)
    assert (found.verdict, found.level, named(found)) == ("PASS", example.level, set())


@pytest.mark.parametrize("example", sampled((STATEFUL, PLAIN, NANOGPT, OLMO), 4, NAME))
def test_an_example_goes_on_where_it_was_stopped(
    folder: Path, example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in step 13; the second start loads what the first has saved, and the whole is as clean as one go."""
    train_stopped(example, monkeypatch)
    train(example)
    psion_ledger.finish("ledger", example.run_id)
    found = audited(example)
    assert (found.verdict, found.level, named(found)) == ("PASS", example.level, set())
    with Run(read(Path("ledger") / example.run_id)) as run:
        starts = run.con.sql("select attempt, cut_step from attempt_started order by attempt").fetchall()
    assert starts == [(1, 0), (2, 10)]


def test_the_audit_says_why_windows_have_no_order(folder: Path) -> None:
    """In the words of the example."""
    train(NANOGPT)
    told = [str(point.values) for point in audited(NANOGPT).not_proven if point.code == "order"]
    assert len(told) == 1
    assert "windows are drawn from the global generator" in told[0]


ORDER = "batches_follow_the_order"
DIVISOR = "targets = batch[:, 1:].numel()"
NOT_RENEWED = ("set_epoch(epoch)", "set_epoch(0)")
TWICE = (DIVISOR, f"{DIVISOR} * (2 if step > 3 else 1)")
HALVED = (", loss=loss)", ", loss=loss / 2)")
LATE = ("BATCH : step * BATCH", "BATCH + (step > 7) :][:BATCH")
FAULTS: list[tuple[str, Example, tuple[str, str], str, int]] = [
    ("a shuffle that is not renewed", STATEFUL, NOT_RENEWED, ORDER, 13),
    ("a divisor twice as large", PLAIN, TWICE, "loss_divisors_are_target_tokens", 4),
    ("a mean divided twice", NANOGPT, HALVED, "mean_losses_are_sums_over_divisors", 1),
    ("rows one too late", OLMO, LATE, ORDER, 8),
]


@pytest.mark.parametrize(("_", "example", "fault", "law", "step"), sampled(FAULTS, 4, lambda own: own[0]))
def test_a_planted_fault_is_named(
    folder: Path, _: str, example: Example, fault: tuple[str, str], law: str, step: int
) -> None:
    """By its law, at its first step, though the run is not finished."""
    train(example, fault)
    found = named(audited(example))
    assert min((own for name, own in found if name == law and own), default=None) == step


RESUMES: list[tuple[Example, tuple[str, str]]] = [
    (STATEFUL, ('loader.load_state_dict(saved["loader"])', "pass")),
    (OLMO, ("(step - 1) * BATCH : step * BATCH", "(step - 11) * BATCH : (step - 10) * BATCH")),
]


@pytest.mark.parametrize(("example", "fault"), sampled(RESUMES, 2, lambda own: own[0].name))
def test_a_resume_that_does_not_skip_is_named(
    folder: Path, example: Example, fault: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first step behind the checkpoint: its rows are those of an earlier one."""
    train_stopped(example, monkeypatch)
    train(example, fault)
    found = named(audited(example))
    assert min((own for name, own in found if name == ORDER and own), default=None) == 11
