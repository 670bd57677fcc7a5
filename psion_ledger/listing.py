"""The runs of a ledger, a line each, and where a reader keeps them.

To know a run's line its record is verified, which takes a while; so a line is kept in the reader's own cache folder,
with the time at which it was verified. It holds as long as no file of the run has another size or time of change. It is
shown as of its time, and never as verified now. Delete the folder at will.
"""

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from psion_ledger import __version__
from psion_ledger.errors import Damaged, LedgerError
from psion_ledger.inputs import read_input
from psion_ledger.log import created_at_ns, run_names

if TYPE_CHECKING:
    from psion_ledger.auditing import Audit
    from psion_ledger.ledger import Run

SCHEMA = "psion_ledger.runs_cache.v1"
# A file that changes twice within a tick of its file system's clock has one time of change.
SETTLED_S = 2.0
# Lists of heads and scratch files say nothing of a run.
_PASSED_OVER = ("heads", "tmp")


class SplitLoss(msgspec.Struct, frozen=True, kw_only=True):
    split_name: str
    loss_nats: float | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a whole audit of this reader's last said: of so many entries with this head (hex), when."""

    verdict: str
    level: str | None
    at_ns: int
    entries: int
    head: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One run in a list. Of one that is damaged or cannot be read there is no number; `problem` says why."""

    run: str
    nonce: str | None = None
    created_at_ns: int
    state: Literal["finished", "unfinished", "damaged", "unreadable"]
    problem: str | None = None
    started_at_ns: int | None = None
    model_id: str | None = None
    steps: int | None = None
    horizon_steps: int | None = None
    tokens: int | None = None
    losses: list[SplitLoss] = []
    attempts: int | None = None
    entries: int | None = None
    head: str | None = None
    as_of_ns: int
    verdict: Verdict | None = None


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The line of a run whose files had these names, sizes and times."""

    files_sha256: str
    line: Line


class _File(msgspec.Struct, kw_only=True):
    schema: str
    tool_version: str
    lines: dict[str, _Kept] = {}
    # By the run's nonce: another run of the same name has another.
    verdicts: dict[str, Verdict] = {}


def lines(ledger: Path, *, despite_damage: bool = False, fresh: bool = False) -> list[Line]:
    """The runs of a ledger, latest first. With `fresh` none is taken from the cache; despite damage none is kept."""
    path = _cache_path(ledger)
    kept = _read(path)
    found = []
    changed = False
    for run_id in run_names(ledger):
        files_sha256, changed_at_s = _fingerprint(ledger / run_id)
        known = kept.lines.get(run_id)
        if known is not None and known.files_sha256 == files_sha256 and not (fresh or despite_damage):
            found.append(known.line)
            continue
        now = time.time()
        line = _line(ledger, run_id, despite_damage=despite_damage)
        found.append(line)
        if line.problem is None and not despite_damage and changed_at_s < now - SETTLED_S:
            kept.lines[run_id] = _Kept(files_sha256=files_sha256, line=line)
            changed = True
    if changed:
        _write(path, kept)
    judged = [msgspec.structs.replace(line, verdict=kept.verdicts.get(line.nonce or "")) for line in found]
    return sorted(judged, key=lambda line: (-line.created_at_ns, line.run))


def keep_verdict(run: "Run", found: "Audit") -> None:
    """Remember what a whole audit said of a run, so that a list can show it, with its time. A reader whose cache cannot
    be written goes without."""
    path = _cache_path(run.record.folder.parent)
    kept = _read(path)
    kept.verdicts[run.record.claim.nonce] = Verdict(
        verdict=found.verdict, level=found.level, at_ns=time.time_ns(), entries=len(run.record.manifest.entries),
        head=run.record.manifest.head().hex(),
    )  # fmt: skip
    _write(path, kept)


def _line(ledger: Path, run_id: str, *, despite_damage: bool) -> Line:
    from psion_ledger import catalog
    from psion_ledger.ledger import open_run

    at_ns = time.time_ns()
    try:
        with open_run(ledger, run_id, despite_damage=despite_damage) as run:
            (row,) = run.rows(catalog.report("run_line"))
            claimed, manifest = run.record.claim, run.record.manifest
            damaged = [fault.file for fault in run.faults]
    except LedgerError as error:
        state: Literal["damaged", "unreadable"] = "damaged" if isinstance(error, Damaged) else "unreadable"
        created = created_at_ns(ledger / run_id)
        return Line(run=run_id, created_at_ns=created, state=state, problem=str(error), as_of_ns=at_ns)
    known: dict[str, object] = {
        **row,
        "run": run_id, "nonce": claimed.nonce, "created_at_ns": claimed.created_at_ns,
        "state": "finished" if row["finished"] else "unfinished",
        "problem": f"DAMAGED, NOT VERIFIED: {', '.join(damaged)}" if damaged else None,
        "entries": len(manifest.entries), "head": manifest.head().hex(), "as_of_ns": at_ns,
    }  # fmt: skip
    return msgspec.convert(known, Line)


def _fingerprint(run: Path) -> tuple[str, float]:
    """A digest of the names, sizes and times of change of a run's files, and the last of these times in seconds."""
    found = sorted(_stats(run))
    text = "\n".join(f"{name}\0{size}\0{changed_ns}" for name, size, changed_ns in found)
    last_ns = max((changed_ns for _, _, changed_ns in found), default=0)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest(), last_ns / 1e9


def _stats(run: Path) -> Iterator[tuple[str, int, int]]:
    folders = [("", str(run))]
    while folders:
        prefix, folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if not entry.is_dir(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        # When its bytes, its permissions or its name last changed; no tool sets that to another time.
                        yield name, status.st_size, status.st_ctime_ns
                    elif name not in _PASSED_OVER:
                        folders.append((f"{name}/", entry.path))
        except OSError as error:
            yield f"{prefix}: {error.strerror}", 0, time.time_ns()


def _cache_path(ledger: Path) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    name = hashlib.sha256(os.fsencode(os.path.realpath(ledger))).hexdigest()[:32]
    return Path(base) / "psion-ledger" / "runs" / f"{name}.json"


def _read(path: Path) -> _File:
    """What is kept; nothing, when it is of another version or cannot be read."""
    with contextlib.suppress(LedgerError, ValueError, RecursionError):
        found = msgspec.json.decode(read_input(path)[0], type=_File)
        if (found.schema, found.tool_version) == (SCHEMA, __version__):
            return found
    return _File(schema=SCHEMA, tool_version=__version__)


def _write(path: Path, kept: _File) -> None:
    """Whoever else writes at the same time wins or loses; either is a cache."""
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            scratch.write_bytes(msgspec.json.encode(kept))
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)
