"""Receipts: documents derived from the record, their digests, and the check that they still follow."""

from psion_ledger.receipts.derive import derive_receipt
from psion_ledger.receipts.documents import PretrainStageReceipt
from psion_ledger.receipts.verify import (
    Difference,
    Verification,
    decode_receipt,
    record_receipt,
    verify_receipt,
)

__all__ = [
    "Difference",
    "PretrainStageReceipt",
    "Verification",
    "decode_receipt",
    "derive_receipt",
    "record_receipt",
    "verify_receipt",
]
