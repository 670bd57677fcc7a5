"""The list of runs: verified once, kept with its time, and read again as soon as a file of a run changes."""

import json
import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from psion_ledger import events, listing, log
from psion_ledger import ledger as ledgers
from psion_ledger.listing import Line
from tests.cli import FIXTURE, FIXTURE_LEDGER, psion
from tests.corpora import real_contracts
from tests.edits import place
from tests.ledgers import RANK0, opened, trained_run, write_ledger
from tests.log.streams import numbered


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the fixture's ledger, and a cache of its own; every file counts as settled."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(listing, "SETTLED_S", -1.0)
    shutil.copytree(FIXTURE_LEDGER, tmp_path / "ledger")
    return tmp_path / "ledger"


def cache_files(ledger: Path) -> list[Path]:
    return sorted((ledger.parent / "cache").rglob("*.json"))


def segment_rows(kind: str) -> list[dict[str, Any]]:
    """The events of a kind of the fixture, from its files alone."""
    found: list[dict[str, Any]] = pq.read_table(FIXTURE_LEDGER / FIXTURE / "segments" / kind).to_pylist()
    return found


def the_line(ledger: Path, **how: bool) -> Line:
    (line,) = listing.lines(ledger, **how)
    return line


def read_times(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows by one each time that a run is opened."""
    calls: list[object] = []
    real = ledgers.open_run

    def counted(*words: Any, **more: Any) -> Any:
        calls.append(words)
        return real(*words, **more)

    monkeypatch.setattr(ledgers, "open_run", counted)
    return calls


def test_a_line_says_what_the_run_is(ledger: Path) -> None:
    """Its model, how far it came, what it trained on and the losses that came out; no audit of it is known."""
    line = the_line(ledger)
    known = (line.run, line.state, line.model_id, line.steps, line.horizon_steps, line.tokens, line.attempts)
    assert known == (FIXTURE, "finished", "psion-compact-decoder-smoke-v1", 40, 40, 10_240, 1)
    assert [(loss.split_name, round(loss.loss_nats or 0, 4)) for loss in line.losses] == [
        ("held_out", 4.0496),
        ("train", 3.9985),
        ("validation", 3.9818),
    ]
    assert (line.entries, line.problem, line.verdict) == (4, None, None)


def test_a_split_with_a_loss_that_is_not_finite_has_no_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other family's sum over the tokens of both would be half a loss."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    script = trained_run(real_contracts())
    at = place(script, events.SplitLossMeasured, -3)
    measured = script[at][1]
    assert isinstance(measured, events.SplitLossMeasured)
    assert (measured.split_name, measured.source_family_id) == ("train", "library_docstrings")
    script[at] = (script[at][0], msgspec.structs.replace(measured, is_finite=False, loss_sum_nanonats=0))
    write_ledger(tmp_path / "ledger", script)
    losses = {loss.split_name: loss.loss_nats for loss in the_line(tmp_path / "ledger").losses}
    assert losses == {"held_out": 5.0005, "train": None, "validation": 5.0005}
    assert "train ?" in psion("runs", "--ledger", tmp_path / "ledger").stdout


def test_a_run_that_did_not_change_is_not_read(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second list has the first one's time; a fresh one verifies, and has its own."""
    first = the_line(ledger)
    calls = read_times(monkeypatch)
    assert (the_line(ledger), calls) == (first, [])
    fresh = the_line(ledger, fresh=True)
    assert (len(calls), fresh.as_of_ns > first.as_of_ns) == (1, True)
    assert the_line(ledger) == fresh


def test_a_run_that_changed_a_moment_ago_is_not_kept(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may change again within a tick of its file system's clock."""
    monkeypatch.setattr(listing, "SETTLED_S", 3600.0)
    calls = read_times(monkeypatch)
    assert [the_line(ledger).steps, the_line(ledger).steps, len(calls)] == [40, 40, 2]


def one_bit(pattern: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        path = sorted(run.glob(pattern))[0]
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        before = path.stat()
        path.write_bytes(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change


def gone(pattern: str) -> Callable[[Path], None]:
    return lambda run: sorted(run.glob(pattern))[0].unlink()


CHANGES: dict[str, Callable[[Path], None]] = {
    "a bit of a segment, its time of writing put back": one_bit("segments/batch_replayed/*"),
    "a bit of an entry": one_bit("manifest/1.json"),
    "a bit of the index": one_bit("contracts/*"),
    "a segment is gone": gone("segments/step_completed/*"),
    "an entry is gone": gone("manifest/1.json"),
    "the index is gone": gone("contracts/*"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_damage_is_told_though_a_line_is_kept(ledger: Path, what: str) -> None:
    """Any change of a file's size or time of change: the run is read again, and there is no number of it."""
    assert the_line(ledger).steps == 40
    CHANGES[what](ledger / FIXTURE)
    line = the_line(ledger)
    assert (line.state, line.steps, line.entries, line.losses) == ("damaged", None, None, [])
    despite = the_line(ledger, despite_damage=True)
    assert despite.problem is not None
    assert despite.problem.startswith("DAMAGED, NOT VERIFIED")
    assert the_line(ledger).state == "damaged"


def test_an_event_more_is_seen(ledger: Path) -> None:
    """A tail that grows is a change like any other."""
    before = the_line(ledger)
    log.claim_attempt(ledger / FIXTURE)
    with log.open_writer(ledger / FIXTURE, opened(attempt=2)) as writer:
        writer.emit(numbered(41))
        after = the_line(ledger)
    assert (before.state, after.state) == ("finished", "unfinished")


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b'{"schema":"x"}', b"\xff", None])
def test_a_cache_that_is_none_is_as_good_as_no_cache(ledger: Path, content: bytes | None) -> None:
    """Whatever stands in its place, even a folder; and the next list keeps its lines again, where that can be."""
    first = the_line(ledger)
    (path,) = cache_files(ledger)
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    assert the_line(ledger).head == first.head
    assert (the_line(ledger).as_of_ns > first.as_of_ns, path.is_file()) == (True, content is not None)


def test_the_last_verdict_stands_beside_its_run(ledger: Path) -> None:
    """With its level and time; that of a selection of laws is none."""
    words = ("audit", FIXTURE, "--ledger", ledger)
    assert psion(*words, "-s", "family:stage").returncode == 0
    assert the_line(ledger).verdict is None
    assert psion(*words).returncode == 0
    line = the_line(ledger)
    assert line.verdict is not None
    assert (line.verdict.verdict, line.verdict.level, line.verdict.head) == ("PASS", "ordered", line.head)
    assert 0 <= time.time_ns() - line.verdict.at_ns < 600e9


@pytest.mark.slow
def test_a_verdict_about_less_says_of_how_much(ledger: Path) -> None:
    """The run went on since it was audited."""
    assert psion("audit", FIXTURE, "--ledger", ledger).returncode == 0
    log.claim_attempt(ledger / FIXTURE)
    with log.open_writer(ledger / FIXTURE, opened(attempt=2)):
        pass
    log.seal_run(ledger / FIXTURE)
    done = psion("runs", "--ledger", ledger)
    assert "PASS ordered, of 4 of 5 entries, " in done.stdout


@pytest.mark.slow
def test_another_run_of_the_name_has_no_verdict(ledger: Path) -> None:
    """Verdicts belong to a run, not to its name."""
    assert psion("audit", FIXTURE, "--ledger", ledger).returncode == 0
    shutil.rmtree(ledger / FIXTURE)
    log.create_run(ledger, FIXTURE)
    assert the_line(ledger).verdict is None


def test_the_command_gives_the_same_as_json(ledger: Path) -> None:
    """Times are ISO 8601 in UTC, digests hex."""
    line = the_line(ledger)
    done = psion("runs", "--ledger", ledger, "--format", "json")
    (found,) = json.loads(done.stdout)["runs"]
    (opened_at_ns,) = (row["recorded_at_ns"] for row in segment_rows("stream_opened") if row["stream"] == RANK0)
    started_at = datetime.fromtimestamp(opened_at_ns // 10**9, UTC).replace(tzinfo=None)
    assert found["started_at"] == f"{started_at}+00:00".replace(" ", "T")
    assert (found["run"], found["tokens"], found["head"], found["verdict"]) == (FIXTURE, 10_240, line.head, None)
    assert list(found) == [
        "run", "nonce", "state", "problem", "model_id", "steps", "horizon_steps", "tokens", "losses", "attempts",
        "entries", "head", "verdict", "started_at", "as_of",
    ]  # fmt: skip
