"""Receipts that are derived from scripts, for the tests of what is in them."""

import json
from pathlib import Path
from typing import Any

from psion_ledger import events, open_run
from psion_ledger.contracts import encode_document
from psion_ledger.receipts import PretrainStageReceipt, derive_receipt
from tests.corpora import real_contracts
from tests.emitted import checkpoint_id, ended, promoted
from tests.ledgers import RANK0, RUN_ID, Script, beginning, close, training, write_ledger

CONTRACTS = real_contracts()
LAST = 10  # The place of the first of the five losses measured on the promoted weights, after step 4.
CUDA = events.Device(
    stable_device_id="cuda:0", backend="cuda", name="a card", total_memory_bytes=80, free_memory_bytes=70,
    topology_key="0000:01:00.0",
)  # fmt: skip


def trained() -> Script:
    """As good_run up to the end of its stream, without replays and what follows."""
    last = CONTRACTS.sampling_plan.horizon_steps
    steps = training(CONTRACTS, 1, range(1, last + 1), checkpoint_id(1, 0))
    return [*beginning(CONTRACTS), *steps, (RANK0, promoted(1, last)), (RANK0, ended(last)), (RANK0, close)]


def receipt_of(ledger: Path, script: Script, *, strict: bool = True) -> PretrainStageReceipt:
    write_ledger(ledger, script, strict=strict)
    with open_run(ledger, RUN_ID) as run:
        return derive_receipt(run)


def as_json(receipt: PretrainStageReceipt) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode_document(receipt))
    return found
