"""Receipts that say something else than their ledger: changed in one field, sealed anew, recorded with any event."""

import json
from pathlib import Path
from typing import Any

import msgspec

from psion_ledger import events, log
from psion_ledger.contracts import encode_document
from psion_ledger.digest import sha256
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from psion_ledger.receipts import decode_receipt, derive_receipt, digests
from tests.documents import changed
from tests.ledgers import Mark


def put(text: bytes, pointer: str, value: Any) -> bytes:
    """The text with one leaf replaced, spelled as before."""
    document = json.loads(text)
    target = document
    *parents, last = pointer.removeprefix("/").split("/")
    for step in parents:
        target = target[int(step)] if isinstance(target, list) else target[step]
    target[int(last) if isinstance(target, list) else last] = value
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def resealed(text: bytes) -> bytes:
    """With every digest that the original's algorithm gives, as one who knows it would write them."""
    receipt = decode_receipt(text)
    replay = changed(receipt.replay_receipt, {"/replay_digest": digests.replay_digest(receipt.replay_receipt)})
    lineage = receipt.checkpoint_lineage
    lineage = changed(lineage, {"/checkpoint_lineage_digest": digests.checkpoint_lineage_digest(lineage)})
    receipt = msgspec.structs.replace(receipt, replay_receipt=replay, checkpoint_lineage=lineage)
    receipt = msgspec.structs.replace(receipt, receipt_digest=digests.receipt_digest(receipt))
    return encode_document(receipt).encode()


def forged(document: str | None = None, **changes: Any) -> Mark:
    """Records the true receipt with some of its event changed; another document has its own sha256."""

    def mark(folder: Path, writer: log.Writer) -> None:
        basis = len(read(folder).manifest.entries)
        with Run(read(folder, as_of=basis)) as opened:
            text = document if document is not None else encode_document(derive_receipt(opened))
            head = opened.record.manifest.head()
        true: dict[str, Any] = {
            "schema_version": "psion.pretrain_stage_receipt.v1", "sha256": sha256(text.encode()), "document": text,
            "basis_entries": basis, "basis_head": head, "derivation_version": 1,
        }  # fmt: skip
        writer.emit(events.ReceiptRecorded(**(true | changes)))

    return mark
