"""What sealing costs by the number of streams and entries: `python -m tests.benchmarks.sealing [--folder DIR]`.

- **streams**: processor time of one `seal_run` over so many closed streams of a few events, a stream.
- **behind entries**: the same for 50 streams, in a run whose manifest has so many entries already. Reading them once is
  a part of it, and stands beside it.
- **at once**: so many processes that close a stream each at the same moment, and seal; how many entries there are then.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from psion_ledger import log
from psion_ledger.log import canonical, manifest
from psion_ledger.log.segment import seal_run
from tests.benchmarks.figures import Figure, batches, opened, report

ROOT = Path(__file__).resolve().parents[2]
EVENTS = 10
CLOSES_AND_SEALS = """
import sys
from pathlib import Path
import msgspec
from psion_ledger import log
from psion_ledger.log.segment import seal_run
from tests.benchmarks.figures import batches, opened
run, rank = Path(sys.argv[1]), int(sys.argv[2])
writer = log.open_writer(run, msgspec.structs.replace(opened(), rank=rank))
for event in batches(0, 10):
    writer.emit(event)
print("ready", flush=True)
sys.stdin.readline()
writer.close()
seal_run(run, writer.stream)
"""


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    rounds: int = 3
    streams: tuple[int, ...] = (50, 100, 200, 400)
    entries: tuple[int, ...] = (0, 10_000)
    processes: int = 64


def closed_streams(run: Path, count: int, attempt: int = 1) -> None:
    for rank in range(count):
        with log.open_writer(run, msgspec.structs.replace(opened(), rank=rank, attempt=attempt)) as writer:
            for event in batches(0, EVENTS):
                writer.emit(event)


def seal_ms(run: Path, streams: int) -> float:
    """Milliseconds of the processor a stream."""
    before = time.process_time()
    sealed = seal_run(run)
    assert len(sealed.entries) == streams
    return (time.process_time() - before) / streams * 1e3


def read_ms(run: Path) -> float:
    """Milliseconds of the processor to read the manifest once."""
    _, claim_sha256 = log.read_claim(run)
    before = time.process_time()
    manifest.read(run, claim_sha256)
    return (time.process_time() - before) * 1e3


def with_entries(run: Path, count: int) -> None:
    """So many entries of one stream, chained, that name no files: as a manifest they are as any others."""
    previous, digest = log.read_claim(run)[1].hex(), "5e" * 32
    manifest.path_of(run, 0).parent.mkdir(exist_ok=True)
    for number in range(count):
        entry = manifest.Entry(
            type="seal", number=number, previous_sha256=previous, events_version=1, stream="v.many", role="verify",
            attempt=1, rank=0, first_seq=number, last_seq=number, link_before=digest, link_after=digest,
            events_root=digest, files=[],
        )  # fmt: skip
        data, previous = canonical.encode(entry)
        manifest.path_of(run, number).write_bytes(data)


def at_once(run: Path, processes: int) -> tuple[float, int]:
    """Seconds until all have sealed that close together, and how many entries there are."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CLOSES_AND_SEALS, str(run), str(rank)], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for rank in range(processes)
    ]  # fmt: skip
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    started = time.perf_counter()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.close()
    codes = [child.wait() for child in children]
    taken_s = time.perf_counter() - started
    for child in children:
        assert child.stdout is not None
        child.stdout.close()
    assert set(codes) == {0}
    return taken_s, len(manifest.read(run, log.read_claim(run)[1]).entries)


def figures(folder: Path, sizes: Sizes) -> list[Figure]:
    found = []
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        ledgers = [Path(scratch) / str(number) for number in range(sizes.rounds)]
        for streams in sizes.streams:
            rounds = []
            for ledger in ledgers:
                run = log.create_run(ledger, f"streams-{streams}")
                closed_streams(run, streams)
                rounds.append(seal_ms(run, streams))
            found.append(Figure(what=f"seal of {streams} streams", unit="ms/stream", rounds=rounds))
        for entries in sizes.entries:
            reads, rounds = [], []
            for ledger in ledgers:
                run = log.create_run(ledger, f"entries-{entries}")
                with_entries(run, entries)
                reads.append(read_ms(run))
                closed_streams(run, 50)
                rounds.append(seal_ms(run, 50))
            behind = f"behind {entries:,} entries"
            found.append(Figure(what=f"reading the manifest, {behind}", unit="ms", rounds=reads))
            found.append(Figure(what=f"seal of 50 streams {behind}", unit="ms/stream", rounds=rounds))
        run = log.create_run(Path(scratch) / "at-once", "at-once")
        taken_s, landed = at_once(run, sizes.processes)
        found.append(Figure(what=f"{sizes.processes} processes that close at once", unit="s", rounds=[taken_s]))
        found.append(Figure(what="entries that they left", unit="entries", rounds=[landed], at_least=sizes.processes))
    return found


def main() -> None:
    report("What sealing costs by the number of streams and entries.", lambda folder: figures(folder, Sizes()))


if __name__ == "__main__":
    main()
