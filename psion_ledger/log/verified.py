"""Files of a record, read only as the bytes that were promised: each opening reads a file whole, hashes those very
bytes and decodes them from memory. Nothing that changes on disk after the hash, or between two openings, is read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from psion_ledger.digest import sha256
from psion_ledger.errors import Damaged, LedgerError
from psion_ledger.log import files
from psion_ledger.log.screen import screen


class Promised(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file as the record promises it. `path` is relative to the run's folder, `sha256` is hex; `rows` is
    null where nothing says how many there are."""

    path: str
    sha256: str
    rows: int | None
    schema: pa.Schema


def read(run: Path, promised: Promised) -> pa.Buffer:
    """The file's bytes, hashed and screened. Raises Damaged when they are not the promised ones, Unreadable or LimitHit
    when they are and must not be decoded."""
    try:
        data = files.read_regular(run / promised.path, files.SEGMENT_BYTES_MAX)
    except FileNotFoundError:
        raise Damaged(run, promised.path, "it is missing") from None
    actual = sha256(data).hex()
    if actual != promised.sha256:
        raise Damaged(run, promised.path, f"expected sha256 {promised.sha256}, found {actual}")
    buffer = pa.py_buffer(data)
    screen(buffer, str(run / promised.path), promised.schema, promised.rows)
    return buffer


def tables(run: Path, promised: Sequence[Promised]) -> pa.Table:
    """The rows of files of one schema, in their order, in memory."""
    return pa.concat_tables([pq.read_table(pa.BufferReader(read(run, file))) for file in promised])


class VerifiedFiles(pafs.FileSystemHandler):
    """A file system that holds the promised files of a run and no other; every opening is hashed.

    A damaged file is opened as an empty one, which no Parquet reader takes; `damage` keeps the error that tells why.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._promised: dict[str, Promised] = {}
        self.damage: LedgerError | None = None

    def table(self, promised: Sequence[Promised]) -> pa.Table:
        return tables(self._run, promised)

    def dataset(self, promised: Sequence[Promised]) -> ds.Dataset:
        """Files of one schema, to be scanned as often as it is asked for."""
        self._promised.update({file.path: file for file in promised})
        paths = [file.path for file in promised]
        return ds.dataset(paths, schema=promised[0].schema, format="parquet", filesystem=pafs.PyFileSystem(self))

    def open_input_file(self, path: str) -> pa.NativeFile:
        try:
            return pa.BufferReader(read(self._run, self._promised[path]))
        except LedgerError as error:
            self.damage = error
            # Nothing is raised in a thread of Arrow: it would wait for the interpreter with a lock that a scan waits
            # for. Arrow refuses an empty file by itself, and the reader of the scan asks for `damage`.
            return pa.BufferReader(b"")

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def get_type_name(self) -> str:
        return "verified"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        there = pafs.FileType.File, pafs.FileType.NotFound
        return [pafs.FileInfo(path, there[path not in self._promised]) for path in paths]

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("the files of a record are only read, and by their names alone")

    get_file_info_selector = create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = _refuse
    delete_file = move = copy_file = open_output_stream = open_append_stream = _refuse
