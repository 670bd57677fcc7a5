"""The files that contracts name, held against the events that declared them."""

import re
from collections.abc import Iterator
from pathlib import Path

from psion_ledger.errors import CannotDecide, Inaccessible
from psion_ledger.fsck.finding import Finding
from psion_ledger.fsck.journals import Declared, Scanned
from psion_ledger.log import files, manifest

_KIND = "contract_declared"
_INDEX = re.compile(r"contracts/sequence_index-([0-9a-f]{16})\.parquet")


def check(folder: Path, known: manifest.Manifest, scanned: list[Scanned]) -> Iterator[Finding]:
    """Each sequence index under its name, which has the first half of its digest, and each that was declared."""
    for path in sorted((folder / "contracts").glob("*")):
        name = path.relative_to(folder).as_posix()
        match = _INDEX.fullmatch(name)
        digest = None if match is None else files.measure(folder, name)[1]
        if match is not None and (digest is None or not digest.startswith(match[1])):
            detail = f"its name says sha256 {match[1]}..., found {digest or 'no regular file'}"
            yield Finding(code="index_changed", file=name, detail=detail)
    unsealed = [contract for journal in scanned for contract in journal.contracts]
    for contract in [*_sealed(folder, known), *unsealed]:
        if _INDEX.fullmatch(contract.path) is not None and files.measure(folder, contract.path) == (None, None):
            yield Finding(
                code="index_missing", file=contract.path, stream=contract.stream, seq_first=contract.seq,
                seq_last=contract.seq, detail=f"declared with sha256 {contract.sha256}; no regular file is there",
            )  # fmt: skip


def _sealed(folder: Path, known: manifest.Manifest) -> Iterator[Declared]:
    """From the segments that hold; of one that does not, another check speaks."""
    from psion_ledger.log import reread, verified

    for entry in known.current():
        for file in (file for file in entry.files if file.kind == _KIND):
            try:
                rows = (
                    verified.tables(folder, [reread.promised(entry, file)])
                    .select(["seq", "path", "sha256"])
                    .to_pylist()
                )
            except Inaccessible:
                raise
            except CannotDecide:
                continue
            for row in rows:
                if row["path"] is not None:
                    yield Declared(path=row["path"], sha256=row["sha256"].hex(), stream=entry.stream, seq=row["seq"])
