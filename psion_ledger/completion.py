"""The completion stream: where a run is ended, after all that trained has. One process wins it, by its name."""

import os
import socket
from pathlib import Path
from typing import Literal

from psion_ledger import __version__, events, log
from psion_ledger.errors import UsageError, WriterBusy
from psion_ledger.log import manifest
from psion_ledger.log.liveness import holder_of
from psion_ledger.log.names import completion_number, completion_stream


def open_completion(run: Path, attempt: int) -> log.Writer:
    """Begin the next completion stream; what a dead process left is sealed before. It pins where each stream that it
    rests on has ended.

    Raises WriterBusy when another process completes the run, or still trains it; UsageError when it is finished in this
    attempt; WriterFailed when it cannot be written.
    """
    # The number comes first: whoever begins a completion from now on takes it, and this one then fails.
    stream = completion_stream(1 + max(_numbers(run), default=0))
    sealed = {entry.stream for entry in _entries(run)}
    for folder in sorted((run / "journal").glob("[ct]*")):
        if folder.name in sealed and not any(folder.iterdir()):
            continue
        if (holder := holder_of(folder)) is not None:
            does = "completes it just now" if folder.name.startswith("c") else f"still writes {folder.name}"
            raise WriterBusy(f"run {run.name}: {holder} {does}; wait until it has ended")
    if any((run / "journal").glob("[ct]*/*.wal")):
        log.seal_in_child(run)
    if any(entry.attempt == attempt and _finishes(entry) for entry in _entries(run)):
        raise UsageError(f"run {run.name}: attempt {attempt} is finished already, and a run is finished once")
    opened = events.StreamOpened(
        role="complete", attempt=attempt, rank=0, host=socket.gethostname(), pid=os.getpid(), code_version=__version__,
        attempt_sha256=log.attempt_sha256(run, attempt), previous=log.completion_ends(run, attempt),
    )  # fmt: skip
    try:
        return log.open_writer(run, opened, stream=stream)
    except (UsageError, WriterBusy) as error:
        raise WriterBusy(f"run {run.name}: another process completes it just now; wait until it has ended") from error


def _numbers(run: Path) -> list[int]:
    """Of the completion streams that were begun. A copy of a ledger may lack the empty folders of sealed journals."""
    begun = [path.name for path in (run / "journal").glob("c.*")] + [entry.stream for entry in _entries(run)]
    return [number for name in begun if (number := completion_number(name)) is not None]


def _entries(run: Path) -> list[manifest.Entry]:
    return manifest.read(run, log.read_claim(run)[1]).entries


def _finishes(entry: manifest.Entry) -> bool:
    return entry.role == "complete" and any(file.kind == "run_finished" for file in entry.files)


def finish_run(writer: log.Writer, outcome: Literal["completed", "ended_early"], reason: str | None = None) -> None:
    """Record the end of the run, and close the stream."""
    writer.emit(events.RunFinished(outcome=outcome, reason=reason))
    writer.close()
