"""Permission bits bind everybody but root: for a while, this process is somebody else."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from psion_ledger import answering
from psion_ledger.ledger import Run
from psion_ledger.reading import Record

NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root becomes nobody, who owns no file here; anybody else stays who he is."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


class AnsweredHere:
    """In the place of a sandbox, whose Python only root may start here: its work is done by the caller."""

    def __init__(self, record: Record, *, despite_damage: bool) -> None:
        self._run = Run(record, despite_damage=despite_damage)

    def ask(self, query: str, seconds_max: float) -> pa.Table:
        con = answering.connection(self._run)
        try:
            return pa.ipc.open_stream(answering.rows(con, self._run, query)).read_all()
        finally:
            con.close()

    def close(self) -> None:
        self._run.close()


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder that others come to, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
