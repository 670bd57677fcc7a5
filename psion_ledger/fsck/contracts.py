"""The files that contracts name, held against the events that declared them."""

from collections.abc import Iterator
from pathlib import Path

from psion_ledger.errors import CannotDecide, Inaccessible
from psion_ledger.fsck.finding import Finding
from psion_ledger.fsck.journals import Declared, Scanned, declared
from psion_ledger.log import contract_files, files, manifest

_KIND = "contract_declared"


def check(folder: Path, known: manifest.Manifest, scanned: list[Scanned]) -> Iterator[Finding]:
    """Each file of a contract under its name, which has the first half of its digest, and each that was declared."""
    for path in sorted((folder / "contracts").glob("*")):
        name = path.relative_to(folder).as_posix()
        match = contract_files.PATH.fullmatch(name)
        digest = None if match is None else files.measure(folder, name)[1]
        if match is not None and (digest is None or not digest.startswith(match[2])):
            detail = f"its name says sha256 {match[2]}..., found {digest or 'no regular file'}"
            yield Finding(code="index_changed", file=name, detail=detail)
    unsealed = [contract for journal in scanned for contract in journal.contracts]
    for contract in [*_sealed(folder, known), *unsealed]:
        if files.measure(folder, contract.path) == (None, None):
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
                    .select(["seq", "contract_role", "document"])
                    .to_pylist()
                )
            except Inaccessible:
                raise
            except CannotDecide:
                continue
            for row in rows:
                yield from declared(row["contract_role"], row["document"], entry.stream, row["seq"])
