"""Several processes record one run, without torch: each its own part, and together they audit clean."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import psion_ledger
from psion_ledger import orders
from psion_ledger.errors import UsageError
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from tests.recording.loops import audited, begin, described, violated

ROOT = Path(__file__).resolve().parents[2]


def trained(folder: Path, ranks: Sequence[str], take: str, fault: str = "") -> None:
    """All processes at once, to their end."""
    described(folder)
    world = str(sum(rank != "peer" for rank in ranks))
    words = [sys.executable, "-m", "tests.recording.ranks", str(folder)]
    started = [
        subprocess.Popen([*words, rank, world, take, fault], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for rank in ranks
    ]
    told = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0] * len(ranks), told


@pytest.mark.slow
@pytest.mark.parametrize("take", ["contiguous", "strided"])
def test_two_ranks_record_one_run(tmp_path: Path, take: str) -> None:
    """Each begins when it likes. A second start of the same launch is refused, whichever rank comes first."""
    trained(tmp_path, ["1", "0"], take)
    own = {"order": orders.derived("torch.randperm", seed=3), "micro_batch_sequences": 2, "take": take}
    for rank, message in (
        (1, "stream t0001.r00001 exists"),
        (0, "launch 'x' claimed attempt 1 already"),
        (1, "exists"),
    ):
        with pytest.raises(UsageError, match=message):
            begin(tmp_path, described(tmp_path), rank=rank, world=2, launch="x", **own)
    psion_ledger.finish(tmp_path / "ledger", "tiny", corpus=tmp_path)
    found = audited(tmp_path, require="replayed", corpus=tmp_path)
    assert (violated(found), found.verdict, found.level) == ([], "PASS", "replayed")


@pytest.mark.slow
def test_tensor_parallel_peers_record_nothing(tmp_path: Path) -> None:
    """Two data-parallel ranks, each with a peer that takes the same batches: two streams, and the run is clean."""
    trained(tmp_path, ["0", "peer", "1", "peer"], "contiguous")
    psion_ledger.finish(tmp_path / "ledger", "tiny", corpus=tmp_path)
    found = audited(tmp_path, require="replayed", corpus=tmp_path)
    assert (violated(found), found.verdict, found.level) == ([], "PASS", "replayed")
    with Run(read(tmp_path / "ledger" / "tiny")) as run:
        streams = run.con.sql("select stream from stream_opened where role = 'train' order by stream").fetchall()
    assert streams == [("t0001.r00000",), ("t0001.r00001",)]


@pytest.mark.slow
def test_a_rank_that_reads_another_s_rows_is_named(tmp_path: Path) -> None:
    """At its step, in its stream."""
    trained(tmp_path, ["0", "1"], "contiguous", "another's rows")
    (law,) = [law for law in audited(tmp_path).laws if law.name == "batches_follow_the_order"]
    assert {finding.stream for finding in law.findings} == {"t0001.r00001"}
    assert all("in step 2 of rank 1" in str(finding.actual) for finding in law.findings)
