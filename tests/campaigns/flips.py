"""Flips: one bit of a whole ledger changed. `fsck` has to find it, and to name the file and its events, and no other.

Every bit of every file but the segments, of which 100,000 bits are drawn. A case is a file and the number of a bit.
A second part looks for false alarms: `fsck` has nothing to say of ledgers in which nothing is wrong.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from psion_ledger.errors import LedgerError
from psion_ledger.fsck import Finding, fsck
from psion_ledger.log import claim, manifest
from psion_ledger.log.frame import Scan
from tests.campaigns.parallel import Outcome, in_processes, listed
from tests.campaigns.results import Result, empty_folder
from tests.campaigns.whole_ledgers import canonical_ledger, drawn_ledger
from tests.heads.samples import PUBLIC
from tests.ledgers import RUN_ID

SEGMENT_BITS = 100_000
CLEAN_LEDGERS = 1_000
CODES = {
    "CLAIM": {"claim_damaged"},
    "attempts": {"attempt_damaged"},
    "contracts": {"index_changed"},
    "heads": {"head_damaged", "head_contradicts"},
    "manifest": {"manifest_broken"},
    "segments": {"file_changed"},
}


class Place(msgspec.Struct, frozen=True):
    """Bytes of a file, from `first_byte` to the next place or the file's end: what a finding about them must say."""

    first_byte: int
    codes: frozenset[str]
    stream: str | None = None
    seq_first: int | None = None
    seq_last: int | None = None

    def is_said_by(self, finding: Finding) -> bool:
        said = (finding.stream, finding.seq_first, finding.seq_last)
        return finding.code in self.codes and said == (self.stream, self.seq_first, self.seq_last)


class Ledger:
    """A whole ledger, and what stands where in its files, by their names below the run's folder."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.bytes = {p.relative_to(run).as_posix(): p.stat().st_size for p in sorted(run.rglob("*")) if p.is_file()}
        self.places: dict[str, list[Place]] = {}
        for name in self.bytes:
            top = name.split("/")[0]
            self.places[name] = [Place(0, frozenset(CODES[top]))] if top in CODES else self._frames(name)
        for entry in manifest.read(run, claim.read_claim(run)[1]).entries:
            for file in entry.files:
                found = Place(0, frozenset(CODES["segments"]), entry.stream, entry.first_seq, entry.last_seq)
                self.places[file.path] = [found]

    def _frames(self, name: str) -> list[Place]:
        """A journal's header, then its frames: from the damaged one on, nothing can be read."""
        path = self.run / name
        scan = Scan(path.read_bytes(), name)
        first = scan.header.first_seq
        places = [Place(0, frozenset({"journal_unreadable"}), path.parent.name, first)]
        starts, frames = [scan.end], []
        for frame, _ in scan:
            starts.append(scan.end)
            frames.append(frame)
        has_successor = path != max(path.parent.iterdir())
        for place, frame in enumerate(frames):
            watermark = max((later.durable_through for later in frames[place + 1 :]), default=-1)
            code = "journal_tampered" if has_successor or frame.seq <= watermark else "journal_torn"
            places.append(Place(starts[place], frozenset({code}), path.parent.name, frame.seq))
        return places

    def place(self, name: str, byte: int) -> Place:
        return next(place for place in reversed(self.places[name]) if place.first_byte <= byte)

    def bits(self, fraction: float, draw: random.Random) -> list[tuple[str, int]]:
        segments: list[tuple[str, int]] = []
        others: list[tuple[str, int]] = []
        for name, size in self.bytes.items():
            (segments if name.startswith("segments/") else others).extend((name, bit) for bit in range(8 * size))
        chosen = draw.sample(segments, min(round(fraction * SEGMENT_BITS), len(segments)))
        return chosen + draw.sample(others, round(fraction * len(others)))


@contextmanager
def flipped(path: Path, bit: int) -> Iterator[None]:
    byte, mask = bit // 8, 1 << bit % 8
    fd = os.open(path, os.O_RDWR)
    try:
        (before,) = os.pread(fd, 1, byte)
        os.pwrite(fd, bytes([before ^ mask]), byte)
        yield
        os.pwrite(fd, bytes([before]), byte)
    finally:
        os.close(fd)


def flip(ledger: Ledger, name: str, bit: int) -> tuple[list[str], Counter[str]]:
    """What fsck did not say of one bit, and what it said."""
    place = ledger.place(name, bit // 8)
    with flipped(ledger.run / name, bit):
        try:
            found = fsck(ledger.run.parent, RUN_ID, key=PUBLIC)
        except LedgerError as error:
            refused = error.exit_code == 3 and name in str(error)
            return [] if refused else [f"{name}, bit {bit}: {error}"], Counter([type(error).__name__])
    about = [finding for finding in found.findings if finding.file == name]
    said = Counter[str](finding.code for finding in about)
    verdict = "UNPROVEN" if place.codes == {"journal_torn"} else "FAIL"
    innocent = len(about) == len(found.findings)
    if found.verdict == verdict and innocent and any(place.is_said_by(finding) for finding in about):
        return [], said
    return [f"{name}, bit {bit}: expected {verdict} and {place}, found {found.verdict} and {found.findings}"], said


def flip_all(bits: list[tuple[str, int]]) -> Outcome:
    """In a ledger of its own. The wrong cases, and what was said of all of them."""
    wrong: list[tuple[str, list[str]]] = []
    said: Counter[str] = Counter()
    with empty_folder() as folder:
        ledger = Ledger(canonical_ledger(folder))
        for name, drawn in bits:
            # The attempts say which process it was, and are not of one length.
            bit = drawn % (8 * ledger.bytes[name])
            missing, codes = flip(ledger, name, bit)
            said += codes
            if missing:
                wrong.append((f"{name}@{bit}", missing))
    return wrong, said


def alarms(numbers: list[int], *, seed: int) -> Outcome:
    """What fsck finds in drawn ledgers in which nothing is wrong, and what they held."""
    wrong: list[tuple[str, list[str]]] = []
    held: Counter[str] = Counter()
    for number in numbers:
        with empty_folder() as folder, drawn_ledger(folder, random.Random(f"{seed}/{number}")) as player:
            found = fsck(folder, RUN_ID, deep=True, key=PUBLIC)
            held += Counter(entries=found.entries, segments=found.files, journals=found.journals, heads=found.heads)
            if found.findings or found.verdict != "PASS":
                lines = [f"{found.verdict}, {finding}" for finding in found.findings]
                wrong.append((f"clean@{number}", [f"{line} after {player.played}" for line in lines]))
    return wrong, held


def flips(fraction: float = 1.0, seed: int = 1, only: str | None = None) -> Result:
    started = time.monotonic()
    result = Result(name="flips")
    draw = random.Random(seed)
    with empty_folder() as folder:
        bits = Ledger(canonical_ledger(folder)).bits(fraction, draw)
    clean = draw.sample(range(CLEAN_LEDGERS), round(fraction * CLEAN_LEDGERS))
    if only is not None:
        name, _, bit = only.rpartition("@")
        bits, clean = ([], [int(bit)]) if name == "clean" else ([(name, int(bit))], [])
    draw.shuffle(bits)
    wrong_flips, said = in_processes(flip_all, bits)
    flipped_s = time.monotonic() - started
    wrong_alarms, held = in_processes(partial(alarms, seed=seed), clean)
    for case, lines in wrong_flips + wrong_alarms:
        result.fail(case, seed, lines)
    result.cases = len(bits) + len(clean)
    result.distinct = len(set(bits)) + len(clean)
    result.seconds = time.monotonic() - started
    result.detail = (
        f"{len(bits):,} bits flipped ({len(bits) / flipped_s:,.0f} a second), {listed(said)}; {len(clean):,} "
        f"ledgers in which nothing is wrong, of {listed(held)} in all"
    )
    return result
