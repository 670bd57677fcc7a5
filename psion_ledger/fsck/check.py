"""Every file of a run, held against what the claim and the manifest promise: re-derived, nothing stored is trusted.

Where an audit asks whether the run's claims hold, this asks whether the bytes do, file by file, and goes on after the
first fault. `deep` also encodes every sealed event again from its columns and recomputes links and roots.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from psion_ledger import heads
from psion_ledger.errors import CannotDecide, Inaccessible, LedgerError, Unreadable
from psion_ledger.fsck import contracts, journals
from psion_ledger.fsck.finding import HARMLESS, UNDECIDED, Finding
from psion_ledger.log import claim, contract_files, files, find_run, manifest, unnamed
from psion_ledger.log.frame import first_link

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SCHEMA_VERSION = "psion_ledger.fsck.v1"
# What has its place by its name alone; segments are named by entries.
_NAMED = re.compile(
    r"CLAIM|(attempts|manifest)/\d+\.json|journal/[^/]+/\d{12}\.wal|heads/[^/]+|receipts/.*"
    rf"|{contract_files.PATH.pattern}"
)


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """FAIL when something was changed or is missing, UNPROVEN when a crash could have done it all, else PASS."""

    run_id: str
    deep: bool
    entries: int
    files: int
    journals: int
    heads: int
    findings: list[Finding]

    @property
    def verdict(self) -> Literal["PASS", "FAIL", "UNPROVEN"]:
        codes = {finding.code for finding in self.findings}
        if codes - set(UNDECIDED) - set(HARMLESS):
            return "FAIL"
        return "UNPROVEN" if codes & set(UNDECIDED) else "PASS"

    @property
    def exit_code(self) -> int:
        return {"PASS": 0, "FAIL": 1, "UNPROVEN": 3}[self.verdict]


def fsck(ledger: Path, run_id: str, *, deep: bool = False, key: "Ed25519PublicKey | None" = None) -> Checked:
    """Check a run's files. Raises NoSuchRun, BadRunId; NewerFormat, LimitHit, Inaccessible for what it cannot judge."""
    try:
        folder = find_run(ledger, run_id)
        claimed, claim_sha256 = claim.read_claim(folder)
    except Inaccessible:
        raise
    except Unreadable as error:
        found = [Finding(code="claim_damaged", file="CLAIM", detail=f"{error}; nothing that rests on it was checked")]
        return Checked(run_id=run_id, deep=deep, entries=0, files=0, journals=0, heads=0, findings=found)
    for _ in range(2):
        # The manifest is read last: what is sealed or signed meanwhile is in it.
        there = unnamed.listed(folder)
        scanned = list(journals.scans(folder, claimed))
        notes = sorted((folder / "heads").glob("*"))
        known = manifest.read(folder, claim_sha256)
        missing = list(_segments(folder, known))
        if all(finding.code != "file_missing" for finding in missing):
            break  # Else a compaction may have replaced it, so look once more.
    findings = [
        *_attempts(folder, claimed, known),
        *_manifest(known),
        *missing,
        *contracts.check(folder, known, scanned),
        *_streams(claimed, known),
        *journals.check(claimed, known, scanned),
        *_heads(folder, claimed, known, notes, key),
        *_rolled_back(folder, there, known),
        *_unnamed(folder, known),
    ]
    if deep and not missing:
        findings += _deep(folder, known)
    return Checked(
        run_id=run_id,
        deep=deep,
        entries=len(known.entries),
        files=sum(len(entry.files) for entry in known.current()),
        journals=len(scanned),
        heads=len(notes),
        findings=findings,
    )


def _attempts(folder: Path, claimed: claim.Claim, known: manifest.Manifest) -> Iterator[Finding]:
    numbers = {int(p.stem) for p in (folder / "attempts").glob("*.json") if p.stem.isdecimal()}
    numbers |= {entry.attempt for entry in known.entries if entry.role == "train" and entry.rank == 0}
    last = max(numbers, default=0)
    for number in range(1, last + 1):
        name = f"attempts/{number}.json"
        try:
            if not os.path.lexists(folder / name):
                yield Finding(code="attempt_missing", file=name, detail=f"attempt {last} is there")
                return
            claim.read_attempt(folder, number, claimed)
        except Inaccessible:
            raise
        except CannotDecide as error:
            yield Finding(code="attempt_damaged", file=name, detail=str(error))


def _manifest(known: manifest.Manifest) -> Iterator[Finding]:
    if (broken := known.broken) is not None:
        detail = f"expected {broken.expected}, found {broken.actual}; later entries were not checked"
        yield Finding(code="manifest_broken", file=broken.path, detail=detail)


def _segments(folder: Path, known: manifest.Manifest) -> Iterator[Finding]:
    standing = {entry.number for entry in known.current()}
    for entry in known.entries:
        for file in entry.files:
            bytes_actual, sha256_actual = files.measure(folder, file.path, file.bytes)
            if sha256_actual == file.sha256:
                continue
            if bytes_actual is None and entry.number not in standing:
                continue  # Pruned: a compacted entry holds its events.
            yield Finding(
                code="file_missing" if bytes_actual is None else "file_changed",
                file=file.path,
                stream=entry.stream,
                seq_first=entry.first_seq,
                seq_last=entry.last_seq,
                detail=f"entry {entry.number} has sha256 {file.sha256}, found {sha256_actual or 'no regular file'}",
            )


def _streams(claimed: claim.Claim, known: manifest.Manifest) -> Iterator[Finding]:
    """The sealed ranges of each stream, in the order of the manifest: one chain from the stream's first link."""
    nonce = bytes.fromhex(claimed.nonce)
    ends: dict[str, tuple[int, str]] = {}
    for entry in (entry for entry in known.entries if entry.type == "seal"):
        seq, link = ends.get(entry.stream, (-1, first_link(claimed.run_id, entry.stream, nonce).hex()))
        if (entry.first_seq, entry.link_before) != (seq + 1, link):
            yield Finding(
                code="stream_broken",
                file=f"manifest/{entry.number}.json",
                stream=entry.stream,
                seq_first=entry.first_seq,
                seq_last=entry.last_seq,
                detail=f"expected seq {seq + 1}, link {link}; found seq {entry.first_seq}, link {entry.link_before}",
            )
        ends[entry.stream] = (entry.last_seq, entry.link_after)


def _heads(
    folder: Path,
    claimed: claim.Claim,
    known: manifest.Manifest,
    notes: list[Path],
    key: "Ed25519PublicKey | None",
) -> Iterator[Finding]:
    """Each note against the manifest's own tree; its signature only under the key that the caller pins."""
    tree = heads.Tree(known.leaf_hashes)
    own = heads.origin(claimed.run_id, claimed.nonce)
    for path in notes:
        name = f"heads/{path.name}"
        try:
            data = files.read_regular(path, heads.NOTE_BYTES_MAX)
            head = heads.unverified(data).head if key is None else heads.verify(data, key)
        except Inaccessible:
            raise
        except (heads.NoteRefused, LedgerError, FileNotFoundError) as error:
            yield Finding(code="head_damaged", file=name, detail=str(error))
            continue
        if head.origin != own or path.name != f"{head.size}.note":
            detail = f"a head of {head.origin} at {head.size} entries; expected {own}, under its size"
            yield Finding(code="head_damaged", file=name, detail=detail)
        elif head.size > tree.size:
            if known.broken is None:
                detail = f"a head of {head.size} entries, and the manifest has {tree.size}: it was rolled back"
                yield Finding(code="head_contradicts", file=name, detail=detail)
        elif tree.root(head.size) != head.root:
            detail = f"root {head.root.hex()} at {head.size} entries, and the manifest has {tree.root(head.size).hex()}"
            yield Finding(code="head_contradicts", file=name, detail=detail)


def _rolled_back(folder: Path, there: list[str], known: manifest.Manifest) -> Iterator[Finding]:
    """Segments whose entry was taken away: no crash leaves them."""
    if known.broken is None:
        for segment in unnamed.rolled_back(folder, there, known):
            yield Finding(
                code="entry_missing",
                file=segment.path,
                stream=segment.stream,
                seq_first=segment.first_seq,
                seq_last=segment.last_seq,
                detail="no entry names it, and its journal is gone: the manifest was rolled back",
            )


def _unnamed(folder: Path, known: manifest.Manifest) -> Iterator[Finding]:
    """Files that a crash left behind, or that somebody put there: nothing reads them."""
    named = {file.path for entry in known.entries for file in entry.files}
    prefix = f"{folder}/"
    there = (f"{above}/{name}".removeprefix(prefix) for above, _, names in os.walk(folder) for name in names)
    for name in sorted(name for name in there if name not in named and not _NAMED.fullmatch(name)):
        if name.startswith("tmp/"):
            yield Finding(code="leftover", file=name, detail="was being written when its process ended")
        elif known.broken is None:
            yield Finding(code="orphan", file=name, detail="nothing names it and nothing reads it")


def _deep(folder: Path, known: manifest.Manifest) -> Iterator[Finding]:
    from psion_ledger.log import reread

    for entry in known.current():
        if why := reread.fault(folder, known, entry):
            yield Finding(
                code="columns_differ",
                file=f"manifest/{entry.number}.json",
                stream=entry.stream,
                seq_first=entry.first_seq,
                seq_last=entry.last_seq,
                detail=why,
            )
