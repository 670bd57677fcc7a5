"""The benchmarks run, on a few events, and give every row. How long anything takes is never asserted."""

from pathlib import Path

import pytest

from tests.benchmarks import integrations, ledger, peers, recorder, sealing
from tests.integrations.hugging_face import absent


def test_the_logs_benchmark_gives_every_row(tmp_path: Path) -> None:
    """Each figure once, of as many rounds as were asked for, none of them negative; nothing is left behind."""
    small = ledger.Sizes(rounds=2, batch_chunks=1, step_chunks=1, paced_events=20)
    found = ledger.figures(tmp_path, small)
    assert [figure.what for figure in found] == [
        "emit, batch_replayed of 2 families",
        "emit, batch_replayed of 4 families",
        "emit, step_completed",
        "paced emit, p50",
        "paced emit, p99",
        "paced bare write, p99",
        "seal, 2 families",
        "seal, 2 families, processor",
        "seal, 4 families",
        "seal, 4 families, processor",
        "sealed, 8 ids",
        "sealed, digest",
        "sealed rest, 2 families",
        "sealed rest, 4 families",
        "sealed rest, paced",
    ]
    assert {len(figure.rounds) for figure in found} == {2}
    assert all(number > 0 for figure in found for number in figure.rounds)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_sealings_benchmark_gives_every_row(tmp_path: Path) -> None:
    """Every stream of those that close at once has its entry; nothing is left behind."""
    found = sealing.figures(tmp_path, sealing.Sizes(rounds=2, streams=(2, 3), entries=(0, 5), processes=3))
    assert [(figure.what, len(figure.rounds)) for figure in found] == [
        ("seal of 2 streams", 2),
        ("seal of 3 streams", 2),
        ("reading the manifest, behind 0 entries", 2),
        ("seal of 50 streams behind 0 entries", 2),
        ("reading the manifest, behind 5 entries", 2),
        ("seal of 50 streams behind 5 entries", 2),
        ("3 processes that close at once", 1),
        ("entries that they left", 1),
    ]
    assert found[-1].rounds == [3]
    assert list(tmp_path.iterdir()) == []


def test_the_sealed_sizes_add_up_to_the_files(tmp_path: Path) -> None:
    """Ids, digests and the rest, times the events, are the bytes of the segments and of the manifest."""
    sealed = ledger.batch_round(tmp_path, 1, families=2).sealed
    run = tmp_path / "families-2"
    total = sum(path.stat().st_size for name in ("segments", "manifest") for path in (run / name).rglob("*.*"))
    assert round((sealed.ids + sealed.digests + sealed.rest) * ledger.CHUNK_EVENTS) == total


def test_the_comparison_has_a_row_for_each_tool(tmp_path: Path) -> None:
    """Ours are measured wherever this runs; a tool that was not measured is said not to be installed."""
    taken = peers.measure(tmp_path, rounds=1, steps_max=3)
    assert {"ours", "ours_two_events"} <= taken.keys()
    assert all(number > 0 for numbers in taken.values() for number in numbers)
    some = peers.comparison({"ours": [1.0, 2.0, 4.0], "ours_two_events": [4.0, 4.0, 4.0], "wandb_offline": [80.0]})
    assert some.splitlines()[2:] == [
        "| psion-ledger, `batch_replayed` | 2.0 | 1.0 to 4.0 | 1.0 | 0.5 |  |",
        "| psion-ledger, `batch_replayed` and `step_completed` | 4.0 | 4.0 to 4.0 | 2.0 | 1.0 |  |",
        "| TensorBoard, torch's SummaryWriter, 10 add_scalar | not installed |  |  |  |  |",
        "| TensorBoard, bare EventFileWriter, 10 events | not installed |  |  |  |  |",
        "| W&B offline, log | 80.0 | 80.0 to 80.0 | 40.0 | 20.0 | >= 30 |",
        "| MLflow, SQLite (its default), log_metrics | not installed |  |  |  |  |",
    ]


@pytest.mark.slow
@pytest.mark.skipif(bool(absent()), reason="transformers is not installed: the extra `peers`")
def test_the_integrations_benchmark_gives_every_row(tmp_path: Path) -> None:
    """A step, the recorder's part of it, and two trainings beside each other."""
    found = integrations.figures(tmp_path, integrations.Sizes(rounds=1, steps=3))
    assert [(figure.unit, len(figure.rounds)) for figure in found] == [("ms", 1), ("%", 1), ("x", 1)]
    assert all(number > 0 for figure in found for number in figure.rounds)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_recorders_benchmark_gives_every_row(tmp_path: Path) -> None:
    """Each figure of as many rounds as were asked for; nothing is left behind."""
    sizes = recorder.Sizes(rounds=2, steps=4, trained=2, checkpoint_bytes=1 << 20)
    found = recorder.figures(tmp_path, sizes)
    assert [figure.what for figure in found] == [
        "a step recorded",
        "a step with a recorder that does nothing",
        "a smoke step",
        "recording, of a smoke step",
        "a step recorded beside hashing",
        "the longest of them",
    ]
    assert {len(figure.rounds) for figure in found} == {2}
    assert list(tmp_path.iterdir()) == []
