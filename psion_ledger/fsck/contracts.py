"""The files that contracts name, held against the events that declared them."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from psion_ledger.errors import CannotDecide, Inaccessible
from psion_ledger.fsck.finding import Finding
from psion_ledger.fsck.journals import Declared, Scanned, declared
from psion_ledger.log import contract_files, files, manifest

_KIND = "contract_declared"
_NAMED = contract_files.PATH


def check(folder: Path, known: manifest.Manifest, scanned: list[Scanned]) -> Iterator[Finding]:
    """Each file of a contract under its name, which has the first digits of its digest, and each that was declared."""
    promises = [*_sealed(folder, known), *(contract for journal in scanned for contract in journal.contracts)]
    sizes = {contract.path: contract.bytes for contract in promises}
    names = [path.relative_to(folder).as_posix() for path in sorted((folder / contract_files.FOLDER).glob("*"))]
    measured = {name: files.measure(folder, name, sizes.get(name)) for name in names if _NAMED.fullmatch(name)}
    for name, (_, digest) in measured.items():
        if not _is_named_after(name, digest):
            detail = f"its name is not that of its digest: found {digest or 'no regular file'}"
            yield Finding(code="index_changed", file=name, detail=detail)
    for contract in promises:
        finding = partial(
            Finding, file=contract.path, stream=contract.stream, seq_first=contract.seq, seq_last=contract.seq
        )
        promised = f"declared with sha256 {contract.sha256}, {contract.bytes:,} bytes"
        there, digest = measured.get(contract.path, (None, None))
        if there is None:
            yield finding(code="index_missing", detail=f"{promised}; no regular file is there")
        elif (there, digest) != (contract.bytes, contract.sha256) and _is_named_after(contract.path, digest):
            yield finding(code="index_changed", detail=f"{promised}; found {digest}, {there:,} bytes")


def _is_named_after(name: str, sha256: str | None) -> bool:
    match = _NAMED.fullmatch(name)
    return match is not None and sha256 is not None and sha256.startswith(match[2])


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
