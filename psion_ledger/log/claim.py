"""A run's genesis: its folder, its CLAIM, and the numbers of its attempts. Each is created once and never changed."""

import errno
import os
import re
import secrets
import socket
import stat
import time
from pathlib import Path
from typing import Literal

import msgspec

from psion_ledger.digest import sha256
from psion_ledger.errors import BadRunId, LedgerError, NewerFormat, NoSuchRun, Unreadable, UsageError
from psion_ledger.log import canonical, files, filesystem

FORMAT_VERSION = 1
_RUN_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The CLAIM file. `nonce` (16 bytes, hex) keeps two runs of one name apart."""

    format: Literal["psion-ledger"]
    format_version: int
    run_id: str
    nonce: str
    created_at_ns: int


class Attempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`attempts/<n>.json`: which process began training for the nth time. The run's id and nonce keep the attempts of
    two runs apart; ranks of one start find their attempt by its `launch_id`."""

    run_id: str
    nonce: str
    pid: int
    host: str
    boot_id: str
    started_at_ns: int
    launch_id: str | None = None


class _Version(msgspec.Struct):
    format_version: int


# A stream names a folder and files: no slash, no dot first, none after another, nothing that a terminal obeys.
STREAM = r"(?=.{1,127}\Z)[a-z](?:\.?[a-z0-9_-])*"


def check_stream(stream: str) -> str:
    if not re.fullmatch(STREAM, stream):
        raise UsageError(f"stream {stream!r}: use 1 to 127 of a-z, 0-9, '_', '-' and single dots, a letter first")
    return stream


def check_run_id(run_id: str) -> str:
    if not _RUN_ID.fullmatch(run_id) or ".." in run_id:
        raise BadRunId(
            f"run id {run_id!r}: use 1 to 64 of a-z, 0-9, '.', '_', '-', starting with a letter or digit, without '..'"
        )
    return run_id


def create_run(ledger: Path, run_id: str) -> Path:
    """Make the run's folder and CLAIM, durable on return; refused when the run exists."""
    run = ledger / check_run_id(run_id)
    with files.reported(run):
        for folder in (ledger, run, run / "attempts", run / "journal", run / "segments", run / "manifest"):
            files.make_folder(folder)
        filesystem.probe(run)
        scratch = files.scratch_path(run)
        claim = Claim(
            format="psion-ledger",
            format_version=FORMAT_VERSION,
            run_id=run_id,
            nonce=secrets.token_hex(16),
            created_at_ns=time.time_ns(),
        )
        files.write_durable(scratch, canonical.encode(claim)[0])
        if not files.publish(scratch, run / "CLAIM"):
            raise UsageError(f"run {run_id} exists in {ledger}: choose another id, or resume it")
        files.sync_above(run)
        return run


def find_run(ledger: Path, run_id: str) -> Path:
    run = ledger / check_run_id(run_id)
    if not _is_regular(run / "CLAIM"):
        if os.path.lexists(run / "CLAIM") or _has_entries(run):
            raise Unreadable(f"{run / 'CLAIM'}: missing, or not a regular file; restore it from a copy")
        raise NoSuchRun(f"no run {run_id} in {ledger}: `psion-ledger runs --ledger {ledger}` lists what is there")
    return run


def run_ids(ledger: Path) -> list[str]:
    """The runs of a ledger, latest claim first. Raises as `run_names`."""
    return sorted(run_names(ledger), key=lambda name: (-created_at_ns(ledger / name), name))


def run_names(ledger: Path) -> list[str]:
    """The runs of a ledger; a folder that lost its claim is one. Raises Unreadable."""
    try:
        names = [entry.name for entry in os.scandir(ledger) if _RUN_ID.fullmatch(entry.name)]
        if files.is_closed(ledger):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise files.inaccessible(ledger, error) from error
    return [name for name in names if _is_run(ledger / name)]


def created_at_ns(run: Path) -> int:
    """When a run was claimed; 0 when that cannot be read."""
    try:
        return read_claim(run)[0].created_at_ns
    except LedgerError:
        return 0


def _is_run(folder: Path) -> bool:
    """A folder that keeps us out may be one: whoever opens it says so."""
    return files.is_closed(folder) or os.path.lexists(folder / "CLAIM") or _has_entries(folder)


def _has_entries(run: Path) -> bool:
    return any((run / "manifest").glob("*.json"))


def _is_regular(path: Path) -> bool:
    """Raises Unreadable where a folder above keeps us out."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise files.inaccessible(path, error) from error


def read_claim(run: Path) -> tuple[Claim, bytes]:
    """The claim and the sha256 of its file, which entry 0 of the manifest names."""
    _refuse_folders(run)
    path = run / "CLAIM"
    try:
        data = files.read_regular(path)
        # The version comes first: what a later one added to a claim is no damage.
        version = msgspec.json.decode(data, type=_Version).format_version
        if version > FORMAT_VERSION and canonical.digest_holds(data):
            raise NewerFormat(f"{path}: format {version}; this version reads {FORMAT_VERSION}: upgrade")
        claim, _ = canonical.decode(data, Claim)
    except FileNotFoundError:
        raise NoSuchRun(f"{run}: no CLAIM, so no run") from None
    except files.UNDECODABLE as error:
        raise Unreadable(f"{path}: not a claim: {error}; restore it from a copy") from error
    if claim.run_id != run.name or not re.fullmatch(r"[0-9a-f]{32}", claim.nonce):
        raise Unreadable(f"{path}: claims run {claim.run_id!r}; the folder's name and the claim must agree")
    return claim, sha256(data)


def _refuse_folders(run: Path) -> None:
    """No folder of a run is a link, or keeps us out: to list one that does is to find nothing there."""
    for path in (run, *run.glob("*"), *run.glob("journal/*"), *run.glob("segments/*")):
        if path.is_symlink():
            raise Unreadable(f"{path}: a symbolic link, and none is followed; put what it points to in its place")
        if files.is_closed(path):
            raise files.inaccessible(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def claim_attempt(run: Path, launch_id: str | None = None) -> int:
    """Take the next attempt number, durably; rank 0 calls it once for each start of training, which other ranks know by
    `launch_id`."""
    claimed, _ = read_claim(run)
    owner = Attempt(
        run_id=claimed.run_id,
        nonce=claimed.nonce,
        pid=os.getpid(),
        host=socket.gethostname(),
        boot_id=_boot_id(),
        started_at_ns=time.time_ns(),
        launch_id=launch_id,
    )
    with files.reported(run):
        files.sync_above(run)
        attempt = 1
        while True:
            scratch = files.scratch_path(run)
            files.write_durable(scratch, canonical.encode(owner)[0])
            if files.publish(scratch, run / "attempts" / f"{attempt}.json"):
                return attempt
            attempt += 1


def attempt_sha256(run: Path, number: int) -> bytes:
    """The sha256 of an attempt's claim, which each of its streams names. Raises as `read_attempt`."""
    return read_attempt(run, number, read_claim(run)[0])[1]


def read_attempt(run: Path, number: int, claimed: Claim) -> tuple[Attempt, bytes]:
    """Which process claimed an attempt, and the sha256 of the file that says so. Raises Unreadable when it is missing,
    damaged or another run's."""
    path = run / "attempts" / f"{number}.json"
    try:
        data = files.read_regular(path)
        attempt, _ = canonical.decode(data, Attempt)
    except FileNotFoundError:
        raise Unreadable(f"{path}: missing") from None
    except files.UNDECODABLE as error:
        raise Unreadable(f"{path}: not an attempt's claim: {error}") from error
    if (attempt.run_id, attempt.nonce) != (claimed.run_id, claimed.nonce):
        raise Unreadable(f"{path}: an attempt of run {attempt.run_id}, nonce {attempt.nonce}")
    return attempt, sha256(data)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
