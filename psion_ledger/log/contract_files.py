"""Contracts that are too large for an event: files in the run's folder, and the list of them that is declared."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from psion_ledger.digest import canonical_json, sha256
from psion_ledger.errors import ContractRefused, Unreadable, UsageError
from psion_ledger.log import files

FOLDER = "contracts"
PART_BYTES_MAX = 64 << 20
PARTS_MAX = 100_000
FileContract = Literal["sequence_index", "document_index", "order_files"]
PATH = re.compile(r"contracts/(sequence_index|document_index|order_files)-([0-9a-f]{16})\.(parquet|npy|u4|u8)")


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a contract: its path in the run's folder, its bytes, its rows, and the first id or position in it.
    `sha256` is hex."""

    path: str
    bytes: int
    rows: int
    first: int
    sha256: str


def add_files(run: Path, role: FileContract, parts: Iterable[tuple[bytes, int]], suffix: str = "parquet") -> str:
    """Keep the files of a contract, each given as (bytes, rows), in the run's folder, durably; return the list of them
    as the exact JSON that is declared. Raises UsageError for files that no reader would take, Unreadable where another
    file stands in the place of one."""
    listed, first = list[Part](), 0
    with files.reported(run):
        files.make_folder(run / FOLDER)
        for data, rows in parts:
            if len(data) > PART_BYTES_MAX:
                raise UsageError(
                    f"run {run.name}: a part of its {role} has {len(data):,} bytes, and readers take at most "
                    f"{PART_BYTES_MAX:,}: write fewer rows into each part"
                )
            digest = sha256(data).hex()
            name = f"{FOLDER}/{role}-{digest[:16]}.{suffix}"
            part = Part(path=name, bytes=len(data), rows=rows, first=first, sha256=digest)
            _check(role, len(listed), part, first)
            scratch = files.scratch_path(run)
            files.write_durable(scratch, data)
            if not files.publish(scratch, run / name) and files.measure(run, name, len(data))[1] != digest:
                raise Unreadable(f"{run / name}: stands where a file of the {role} belongs; move it away")
            listed.append(part)
            first += rows
        _check_count(role, len(listed))
        files.sync_folder(run)
    return canonical_json(msgspec.to_builtins(listed)).decode()


def parts_of(role: str, document: str) -> list[Part]:
    """The files that a declared list names. Raises ContractRefused for a list that none of ours is."""
    try:
        parts = msgspec.json.decode(document, type=list[Part])
    except (ValueError, RecursionError) as error:
        raise ContractRefused(f"{role}#: not a list of files: {error}; declare it anew") from None
    _check_count(role, len(parts))
    first = 0
    for number, part in enumerate(parts):
        _check(role, number, part, first)
        first += part.rows
    return parts


def _check_count(role: str, files_there: int) -> None:
    if not 0 < files_there <= PARTS_MAX:
        raise ContractRefused(f"{role}#: {files_there:,} files; a contract has 1 to {PARTS_MAX:,}")


def _check(role: str, number: int, part: Part, first: int) -> None:
    """Raise ContractRefused for a part that does not continue the ones before it, through `first`."""
    match = PATH.fullmatch(part.path)
    if match is None or match[1] != role or not part.sha256.startswith(match[2]):
        raise ContractRefused(f"{role}#/{number}/path: {part.path!r} is not named after its contract and digest")
    if re.fullmatch(r"[0-9a-f]{64}", part.sha256) is None:
        raise ContractRefused(f"{role}#/{number}/sha256: {part.sha256!r} is no sha256 in hex")
    if part.first != first or not 0 < part.rows < 1 << 62 or not 0 < part.bytes <= PART_BYTES_MAX:
        expected = f"1 row or more from {first} on, in at most {PART_BYTES_MAX:,} bytes"
        raise ContractRefused(
            f"{role}#/{number}: {part.rows:,} rows from {part.first}, in {part.bytes:,} bytes; expected {expected}"
        )
