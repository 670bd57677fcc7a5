"""The completion stream: where a run is ended, after all that trained has. One process wins it, by its name."""

import os
import socket
from pathlib import Path
from typing import Literal

from psion_ledger import __version__, events, log
from psion_ledger.errors import UsageError, WriterBusy
from psion_ledger.log.liveness import live_holder
from psion_ledger.log.names import completion_number, completion_stream


def open_completion(run: Path, attempt: int) -> log.Writer:
    """Begin the next completion stream. All that it rests on must be sealed; it pins where each stream ended.

    Raises WriterBusy when another process completes the run, WriterFailed when it cannot be written.
    """
    opened = events.StreamOpened(
        role="complete", attempt=attempt, rank=0, host=socket.gethostname(), pid=os.getpid(), code_version=__version__,
        attempt_sha256=log.attempt_sha256(run, attempt), previous=log.completion_ends(run, attempt),
    )  # fmt: skip
    for path in sorted((run / "journal").glob("c.*/*.wal")):
        if (holder := live_holder(path)) is not None:
            raise WriterBusy(f"run {run.name}: {holder} completes it just now; wait until it has ended")
    number = 1 + max((completion_number(path.name) or 0 for path in (run / "journal").glob("c.*")), default=0)
    try:
        return log.open_writer(run, opened, stream=completion_stream(number))
    except UsageError as error:
        raise WriterBusy(f"run {run.name}: another process completes it just now ({error})") from error


def finish_run(writer: log.Writer, outcome: Literal["completed", "ended_early"], reason: str | None = None) -> None:
    """Record the end of the run, and close the stream."""
    writer.emit(events.RunFinished(outcome=outcome, reason=reason))
    writer.close()
