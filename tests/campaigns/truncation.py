"""Truncation: a journal cut at every byte. Of a final journal the whole frames that are left are kept and the cut is
reported; one that has a successor was synced before it, so that every cut of it is tampering.

A case is the name of a journal below, and how many of its bytes are left.
"""

import random
import shutil
import time
from collections import Counter
from pathlib import Path

import msgspec

from psion_ledger import events, log
from psion_ledger.errors import CannotDecide, LedgerError
from psion_ledger.fsck import Checked, fsck
from psion_ledger.log import frame
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from tests.campaigns.canonical_run import batch, checkpoint, no_sync_thread
from tests.campaigns.parallel import Outcome, in_processes, listed
from tests.campaigns.recovery_checks import expected_rows, recovered_rows, tree_hash
from tests.campaigns.results import Result, empty_folder
from tests.campaigns.whole_ledgers import KINDS, kill, step_events
from tests.ledgers import RANK0, RUN_ID, opened
from tests.log.vocabulary import EXAMPLES

# The first journal of a stream, with every kind of event; one behind a sealed range, and one behind a journal.
FINAL = ("alone", "behind-sealed", "behind-journal")
# Journals with a successor: the first of a stream, and one in its middle.
LEFT = ("left-first", "left-middle")
Case = tuple[str, int]


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """A run with the journal that is to be cut, and every event that its stream was given."""

    run: Path
    journal: str
    first_seq: int
    header_end: int
    frame_ends: list[int]
    bytes_total: int
    events: list[events.Event]


def built(ledger: Path, name: str) -> Base:
    run = log.create_run(ledger, RUN_ID)
    log.claim_attempt(run)
    first, *more = _parts(name)
    given = [opened(), *first]
    with no_sync_thread():
        writer = log.open_writer(run, opened())
        for event in first:
            writer.emit(event)
        for part in more:
            writer.rotate()
            if name == "behind-sealed":
                seal_run(run)
            for event in part:
                writer.emit(event)
            given += part
        kill(writer)
    path = sorted(run.glob("journal/*/*"))[{"behind-journal": 1, "left-middle": 1}.get(name, 0)]
    scan = frame.Scan(path.read_bytes(), path)
    header_end = scan.end
    frame_ends = [scan.end for _ in scan]
    return Base(
        run=run, journal=path.relative_to(run).as_posix(), first_seq=scan.header.first_seq, header_end=header_end,
        frame_ends=frame_ends, bytes_total=scan.end, events=given,
    )  # fmt: skip


def _parts(name: str) -> list[list[events.Event]]:
    """The events of each journal of the stream, behind its first."""
    if name == "alone":
        return [[EXAMPLES[kind] for kind in KINDS]]
    # One frame of more than a page, and some above every watermark.
    longer = [*step_events(2), checkpoint(1, 2, None), batch(3, 0, sequences=300), *step_events(4)]
    return [step_events(1), longer, *([step_events(5)] if name == "left-middle" else [])]


def cut(base: Base, ledger: Path, bytes_left: int) -> Path:
    run = ledger / RUN_ID
    shutil.copytree(base.run, run)
    with open(run / base.journal, "r+b") as file:
        file.truncate(bytes_left)
    return run


def final_cut(base: Base, run: Path, bytes_left: int) -> list[str]:
    """What is wrong with what becomes of a cut final journal."""
    if bytes_left < base.header_end:
        return headless(base, run)
    kept = sum(end <= bytes_left for end in base.frame_ends)
    whole = [base.header_end, *base.frame_ends][kept]
    seq = base.first_seq + kept
    torn = whole < bytes_left
    expected = expected_rows(base.events[:seq])
    record = read(run)
    wrong = (
        []
        if recovered_rows(record).get(RANK0, []) == expected
        else ["as a reader finds it: other events than were whole"]
    )
    damage = [tail.damage for tail in record.tails if tail.damage is not None]
    where = [(found.seq, found.offset, found.tampered) for found in damage]
    if where != ([(seq, whole, False)] if torn else []):
        wrong.append(f"a reader is told of {damage}")
    wrong += _unlike(fsck(run.parent, RUN_ID), ("UNPROVEN", "journal_torn", base, seq) if torn else None)
    sealed = seal_run(run)
    said = [line.split(":")[:2] for line in sealed.torn]
    if said != ([[base.journal, f" cut at byte {whole} of {bytes_left}"]] if torn else []):
        wrong.append(f"sealing says {sealed.torn}")
    record = read(run)
    if recovered_rows(record).get(RANK0, []) != expected or record.tails:
        wrong.append("sealed: other events than were whole")
    before = tree_hash(run)
    if seal_run(run).entries or tree_hash(run) != before:
        wrong.append("sealing again changed bytes")
    return wrong + _unlike(fsck(run.parent, RUN_ID, deep=True), None)


def left_cut(base: Base, run: Path, bytes_left: int) -> list[str]:
    """What is wrong with what is said of a cut journal that has a successor."""
    if bytes_left < base.header_end:
        return headless(base, run)
    seq = base.first_seq + sum(end <= bytes_left for end in base.frame_ends)
    damage = [tail.damage for tail in read(run).tails if tail.path == base.journal]
    where = [(found.seq, found.tampered) for found in damage if found is not None]
    # A journal without an event is no tail; that its successor does not follow is what is left to be said.
    wrong = [] if where == [(seq, True)] else [f"a reader is told of {damage}"]
    wrong += _unlike(fsck(run.parent, RUN_ID), ("FAIL", "journal_tampered", base, seq))
    return wrong + untouched(base, run)


def headless(base: Base, run: Path) -> list[str]:
    """A header is synced before its journal has a name, so no crash cuts it."""
    wrong = _unlike(fsck(run.parent, RUN_ID), ("FAIL", "journal_unreadable", base, base.first_seq))
    try:
        wrong.append(f"a reader finds {len(read(run).tails)} tails")
    except CannotDecide as error:
        wrong += [] if base.journal in str(error) else [f"a reader is told: {error}"]
    return wrong + untouched(base, run)


def untouched(base: Base, run: Path) -> list[str]:
    """Sealing refuses, names the journal, and leaves it as it is, and everything behind it."""
    journals = {path: path.read_bytes() for path in run.glob("journal/*/*")}
    try:
        return [f"sealing went through: {seal_run(run)}"]
    except CannotDecide as error:
        named = [] if base.journal in str(error) else [f"sealing says: {error}"]
    behind = {p: data for p, data in journals.items() if p.is_file() and p.read_bytes() == data}
    gone = sorted(path.name for path in journals.keys() - behind.keys() if path.name >= Path(base.journal).name)
    return named + [f"sealing changed {name}" for name in gone]


def _unlike(found: Checked, expected: tuple[str, str, Base, int] | None) -> list[str]:
    if expected is None:
        return [] if (found.verdict, found.findings) == ("PASS", []) else [f"fsck: {found.verdict}, {found.findings}"]
    verdict, code, base, seq = expected
    said = [(f.code, f.stream, f.seq_first) for f in found.findings if f.file == base.journal]
    return [] if (found.verdict, said) == (verdict, [(code, RANK0, seq)]) else [f"fsck: {found.verdict}, {said}"]


def cut_all(cases: list[Case]) -> Outcome:
    wrong: list[tuple[str, list[str]]] = []
    counted = Counter[str]()
    with empty_folder() as bases:
        known = {name: built(bases / name, name) for name in {name for name, _ in cases}}
        for name, bytes_left in cases:
            with empty_folder() as ledger:
                run = cut(known[name], ledger, bytes_left)
                try:
                    found = (final_cut if name in FINAL else left_cut)(known[name], run, bytes_left)
                except (LedgerError, OSError, ValueError, AssertionError) as error:
                    found = [f"raised {type(error).__name__}: {error}"]
            counted[name] += 1
            if found:
                wrong.append((f"{name}@{bytes_left}", [f"{name}, {bytes_left} bytes left: {line}" for line in found]))
    return wrong, counted


def truncation(fraction: float = 1.0, seed: int = 1, only: str | None = None) -> Result:
    started = time.monotonic()
    result = Result(name="truncation")
    draw = random.Random(seed)
    with empty_folder() as bases:
        every = [
            (name, bytes_left)
            for name in (*FINAL, *LEFT)
            for base in [built(bases / name, name)]
            for bytes_left in range(base.bytes_total)
        ]
    cases = draw.sample(every, round(fraction * len(every)))
    if only is not None:
        name, _, bytes_left = only.partition("@")
        cases = [(name, int(bytes_left))]
    wrong, counted = in_processes(cut_all, cases)
    for case, lines in wrong:
        result.fail(case, seed, lines)
    result.cases = result.distinct = len(cases)
    result.seconds = time.monotonic() - started
    result.detail = f"Journals cut: {listed(counted)}"
    return result
