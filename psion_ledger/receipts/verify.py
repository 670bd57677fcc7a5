"""Re-derive and compare: a receipt holds when its basis gives it again, byte for byte in meaning."""

import json
from pathlib import Path
from typing import Any

import msgspec

from psion_ledger.contracts import encode_document
from psion_ledger.contracts.codec import decode_struct
from psion_ledger.digest import sha256
from psion_ledger.errors import CannotDecide
from psion_ledger.events import ReceiptRecorded
from psion_ledger.ledger import Run
from psion_ledger.log import Writer, manifest
from psion_ledger.ordered import is_followed
from psion_ledger.reading import read
from psion_ledger.receipts.derive import derive_receipt
from psion_ledger.receipts.documents import SCHEMA_VERSION, PretrainStageReceipt
from psion_ledger.receipts.templates import DERIVATION_VERSION


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A field that is not what the ledger gives; `pointer` is a JSON pointer (RFC 6901)."""

    code: str
    pointer: str
    expected: str
    actual: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """`recorded` is false for a receipt that this ledger never recorded; it was then derived as of now."""

    sha256: str
    recorded: bool
    basis_entries: int
    differences: list[Difference]


def decode_receipt(text: str | bytes) -> PretrainStageReceipt:
    """A receipt from its JSON text; raises ContractRefused for malformed JSON and fields that do not belong."""
    return decode_struct(PretrainStageReceipt, SCHEMA_VERSION, "receipt", text)


def _not_exact(run: Run) -> CannotDecide:
    if not is_followed(run):
        how = run.command(f"psion-ledger audit {run.run_id}")
        return CannotDecide(
            f"run {run.run_id}: no receipt: its batches do not follow the order of its contracts, or that cannot "
            f"be derived: `{how}` says which"
        )
    how = run.command(f"psion-ledger replay {run.run_id} --record")
    return CannotDecide(f"run {run.run_id}: no receipt without an exact replay, and none that differs: `{how}`")


def record_receipt(run_folder: Path, writer: Writer) -> ReceiptRecorded:
    """Derive the receipt from the sealed entries alone, record it through `writer`, and return what was recorded.

    Raises CannotDecide when the entries give none, or when no whole replay has equalled training: a receipt that
    the original would refuse is not recorded.
    """
    manifest.settle(run_folder)
    basis = len(read(run_folder).manifest.entries)
    with Run(read(run_folder, as_of=basis)) as run:
        receipt = derive_receipt(run)
        if not receipt.replay_receipt.exact_replay_observed:
            raise _not_exact(run)
        document = encode_document(receipt)
        head = run.record.manifest.head()
    event = ReceiptRecorded(
        schema_version=SCHEMA_VERSION,
        sha256=sha256(document.encode()),
        document=document,
        basis_entries=basis,
        basis_head=head,
        derivation_version=DERIVATION_VERSION,
    )
    writer.emit(event)
    return event


def verify_receipt(run: Run, text: bytes) -> Verification:
    """Hold a receipt against its ledger: as of the basis that it was recorded with, else as of now.

    Raises CannotDecide when the ledger gives none.
    """
    own = sha256(text)
    basis = run.first(
        "select basis_entries, basis_head, derivation_version from receipt_recorded where sha256 = ? "
        "order by attempt, rank, seq limit 1",
        [own],
    )
    if basis is None:
        differences = compare(derive_receipt(run), text)
        return Verification(
            sha256=own.hex(),
            recorded=False,
            basis_entries=len(run.record.manifest.entries),
            differences=differences,
        )
    entries, head, derivation = basis
    if derivation > DERIVATION_VERSION:
        raise CannotDecide(
            f"run {run.run_id}: a receipt of derivation {derivation}; this knows {DERIVATION_VERSION}: upgrade"
        )
    differences = _against_basis(run, text, entries, head)
    return Verification(sha256=own.hex(), recorded=True, basis_entries=entries, differences=differences)


def _against_basis(run: Run, text: bytes, entries: int, head: bytes) -> list[Difference]:
    there = len(run.record.manifest.entries)
    if entries > there:
        return [_difference("BasisMissing", "/", f"{entries} manifest entries", f"{there} entries")]
    with Run(read(run.record.folder, as_of=entries)) as then:
        actual = then.record.manifest.head()
        if actual != head:
            return [_difference("BasisHeadMismatch", "/", head.hex(), actual.hex())]
        try:
            derived = derive_receipt(then)
        except CannotDecide as error:
            return [_difference("NotDerivable", "/", "a receipt", str(error))]
    return compare(derived, text)


def compare(derived: PretrainStageReceipt, text: bytes) -> list[Difference]:
    """Every field in which a receipt's text differs from the one derived, and any other way of spelling it."""
    expected = encode_document(derived)
    try:
        said = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        return [_difference("Malformed", "/", "JSON in UTF-8", str(error))]
    found = _differences(msgspec.json.decode(expected), said, "")
    if not found and expected.encode() != text:
        found = [_difference("Spelling", "/", "the canonical spelling of the same values", "another spelling")]
    return found


def _difference(code: str, pointer: str, expected: object, actual: object) -> Difference:
    return Difference(code=code, pointer=pointer, expected=str(expected), actual=str(actual))


def _differences(expected: Any, actual: Any, pointer: str) -> list[Difference]:
    if isinstance(expected, dict) and isinstance(actual, dict):
        keys = [*expected, *(key for key in actual if key not in expected)]
        return [
            difference
            for key in keys
            for difference in _differences(
                expected.get(key, _ABSENT), actual.get(key, _ABSENT), f"{pointer}/{_step(key)}"
            )
        ]
    if isinstance(expected, list) and isinstance(actual, list):
        length = max(len(expected), len(actual))
        padded = (values + [_ABSENT] * (length - len(values)) for values in (expected, actual))
        return [
            difference
            for place, (one, other) in enumerate(zip(*padded, strict=True))
            for difference in _differences(one, other, f"{pointer}/{place}")
        ]
    if type(expected) is type(actual) and expected == actual:
        return []
    return [_difference("FieldMismatch", pointer or "/", _shown(expected), _shown(actual))]


def _step(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


class _Absent:
    def __str__(self) -> str:
        return "absent"


_ABSENT = _Absent()


def _shown(value: object) -> str:
    return str(value) if isinstance(value, (str, _Absent)) else json.dumps(value, ensure_ascii=False)
