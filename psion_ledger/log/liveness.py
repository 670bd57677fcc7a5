"""Who writes a stream: each writer holds an exclusive lock on its journal, and death in any form frees it."""

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import NoReturn

from psion_ledger import events
from psion_ledger.errors import UsageError, WriterBusy
from psion_ledger.log import files, frame

OPENING_S_MAX = 1.0
# More than a header and the longest stream_opened take.
OPENING_BYTES_MAX = 1 << 20
# The time of a boot is given in whole seconds.
CLOCK_S = 2.0


def live_holder(path: Path) -> str | None:
    """Who holds a journal's lock, as its stream's first event says; None when its writer, or the file, is gone."""
    try:
        fd = files.open_regular(path)
    except FileNotFoundError:
        return None
    try:
        # Shared, so that two who look at once do not take each other for the writer.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _opener(path.with_name(f"{0:012}.wal"))
    finally:
        os.close(fd)
    return None


def is_gone(path: Path) -> bool:
    """Whether the process that opened a journal's stream has ended, though a copy of its descriptor keeps the lock: one
    in a child that it forked. Only the machine that it ran on can tell."""
    first = _first(path.with_name(f"{0:012}.wal"))
    if first is None or not isinstance(opened := first.event, events.StreamOpened):
        return False
    if opened.host != socket.gethostname() or not os.path.exists("/proc/self/stat"):
        return False  # Where there is no /proc, as on macOS, no process would be found in it.
    began_s = _process_began_s(opened.pid)
    # A process of this number that began after the stream did is another one.
    return began_s is None or began_s > first.recorded_at_ns / 1e9 + CLOCK_S


def _process_began_s(pid: int) -> float | None:
    """When a process of this machine began, by the wall clock; None when there is none that has not ended."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    except (FileNotFoundError, ProcessLookupError):
        return None
    ticks_since_boot = int(fields[18])
    return None if state in "ZX" else int(boot.split()[1]) + ticks_since_boot / os.sysconf("SC_CLK_TCK")


def _opener(path: Path) -> str:
    first = _first(path)
    if first is None:
        return "a process whose first journal is sealed already"
    opened = first.event
    return f"pid {opened.pid} on {opened.host}" if isinstance(opened, events.StreamOpened) else "a process"


def _first(path: Path) -> frame.Frame | None:
    """The first event of a stream; None when its first journal is sealed already, or does not begin with one."""
    try:
        return next((found for found, _ in frame.Scan(files.read_beginning(path, OPENING_BYTES_MAX), path)), None)
    except FileNotFoundError:
        return None


def refuse_existing(folder: Path) -> NoReturn:
    """Say why a stream whose journal folder exists cannot be opened: WriterBusy or UsageError."""
    if (holder := holder_of(folder)) is not None:
        raise WriterBusy(f"stream {folder.name}: another process writes it ({holder}); stop it or start a new attempt")
    raise UsageError(f"stream {folder.name} exists and its writer is gone: start a new attempt")


def holder_of(folder: Path) -> str | None:
    """Who writes the stream of a journal folder; None when its writer is gone. The folder comes before its first
    journal, so one that was made just now is waited for."""
    if time.time() - folder.stat().st_mtime < OPENING_S_MAX:
        _wait_for_journal(folder)
    return next((holder for path in sorted(folder.glob("*.wal")) if (holder := live_holder(path))), None)


def _wait_for_journal(folder: Path) -> None:
    """Another process has just made the folder: its journal comes next, if it lives."""
    give_up_at = time.monotonic() + OPENING_S_MAX
    while time.monotonic() < give_up_at and not any(folder.glob("*.wal")):
        time.sleep(0.01)


def refuse_if_live(run: Path) -> None:
    """Raise WriterBusy when any process still writes this run's journals."""
    for path in sorted((run / "journal").glob("*/*.wal")):
        if holder := live_holder(path):
            raise WriterBusy(f"run {run.name}: {holder} still writes stream {path.parent.name}; stop it first")
