"""The changes that the original accepts although their meaning changed, made to a receipt that a real ledger gives."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from psion_ledger.errors import ContractRefused
from psion_ledger.ledger import open_run
from psion_ledger.receipts import decode_receipt, derive_receipt, digests, verify_receipt
from psion_ledger.receipts.verify import compare
from tests.documents import UPSTREAM, needs_upstream

ROOT = Path(__file__).resolve().parents[2]
LEDGER = ROOT / "fixtures" / "ledger"
RECEIPT = (ROOT / "fixtures" / "psion" / "pretrain" / "psion_pretrain_stage_receipt_v1.json").read_bytes()
GONE = object()
Change = tuple[tuple[str, ...], Any]


def changes(base: Any, other: Any, at: tuple[str, ...] = ()) -> Iterator[Change]:
    """The leaves in which two JSON values differ: where, and the new value (GONE: not there any more)."""
    if isinstance(base, dict) and isinstance(other, dict):
        for key in [*base, *(key for key in other if key not in base)]:
            yield from changes(base.get(key, GONE), other.get(key, GONE), (*at, key))
    elif isinstance(base, list) and isinstance(other, list) and len(base) == len(other):
        for place, (one, two) in enumerate(zip(base, other, strict=True)):
            yield from changes(one, two, (*at, str(place)))
    elif base is GONE or other is GONE or type(base) is not type(other) or base != other:
        yield at, other


def applied(receipt: Any, change: Change) -> bool:
    """Make a change where its path exists; whether it changed anything."""
    (*parents, last), value = change
    target = receipt
    for step in parents:
        if isinstance(target, list) and step.isdigit() and int(step) < len(target):
            target = target[int(step)]
        elif isinstance(target, dict) and step in target:
            target = target[step]
        else:
            return False
    if isinstance(target, list):
        if not last.isdigit() or int(last) >= len(target) or target[int(last)] == value:
            return False
        target[int(last)] = value
        return True
    if not isinstance(target, dict) or target.get(last, GONE) == value:
        return False
    if value is GONE:
        del target[last]
    else:
        target[last] = value
    return True


def resealed(text: bytes) -> bytes | None:
    """The text with every digest of the original recomputed, as one who knows how would; None when it is no receipt."""
    try:
        receipt = decode_receipt(text)
    except ContractRefused:
        return None
    replay = receipt.replay_receipt
    replay = msgspec.structs.replace(replay, replay_digest=digests.replay_digest(replay))
    lineage = receipt.checkpoint_lineage
    lineage = msgspec.structs.replace(lineage, checkpoint_lineage_digest=digests.checkpoint_lineage_digest(lineage))
    receipt = msgspec.structs.replace(receipt, replay_receipt=replay, checkpoint_lineage=lineage)
    return msgspec.json.encode(msgspec.structs.replace(receipt, receipt_digest=digests.receipt_digest(receipt)))


def cases() -> list[tuple[str, str, list[Change]]]:
    """Path, operation and changed leaves of every such case."""
    bases = {path.stem: json.loads(path.read_bytes()) for path in (UPSTREAM / "bases").glob("base_*.json")}
    with duckdb.connect() as con:
        rows = con.sql(
            f"select base, path, op, receipt_json from '{UPSTREAM / 'verdicts.parquet'}' where config_verdict = 'ok' "
            "and receipt_verdict = 'ok' and not same_meaning and document = 'receipt'"
        ).fetchall()
    return [(path, op, list(changes(bases[f"base_{base}"], json.loads(text)))) for base, path, op, text in rows]


@needs_upstream
def test_derivation_finds_every_change_that_the_original_accepts() -> None:
    """Each is made by path to the fixture's receipt, with its digests as they stand and recomputed."""
    with open_run(LEDGER, "fixture") as run:
        derived = derive_receipt(run)
    missed, made = [], 0
    for path, op, leaves in cases():
        receipt = json.loads(RECEIPT)
        done = [applied(receipt, leaf) for leaf in leaves]
        if not any(done):
            continue
        made += 1
        text = json.dumps(receipt, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass")
        texts = [text] if (sealed := resealed(text)) is None else [text, sealed]
        missed += [(path, op) for changed in texts if not compare(derived, changed)]
    assert missed == []
    assert made > 1000


@needs_upstream
@pytest.mark.parametrize("nth", range(0, 1000, 125))
def test_verify_finds_a_change_that_the_original_accepts(nth: int) -> None:
    """The same through the ledger: what was never recorded is derived as of now."""
    receipt = json.loads(RECEIPT)
    found = [case for case in cases() if any(applied(json.loads(RECEIPT), leaf) for leaf in case[2])]
    for leaf in found[nth][2]:
        applied(receipt, leaf)
    with open_run(LEDGER, "fixture") as run:
        verification = verify_receipt(run, json.dumps(receipt, indent=2).encode())
    assert (verification.recorded, bool(verification.differences)) == (False, True)
