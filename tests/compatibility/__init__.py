"""How the original's documents are read: its measured verdicts, and documents of our own to change.

What is in ../shared (`tests.documents.UPSTREAM`) is read where it lies. Tests that need no measured verdict take
the committed fixture's documents, so that they run without it.
"""

import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow.parquet as pq

from psion_ledger.contracts import encode_document
from psion_ledger.receipts import PretrainStageReceipt, digests
from psion_ledger.receipts.compatibility import OriginalInputs
from psion_ledger.receipts.strict import Documents
from tests.documents import UPSTREAM, changed

BASES = ("plain", "with_base_checkpoint", "cuda", "cuda_topology")
SEALS = ("/replay_receipt/replay_digest", "/checkpoint_lineage/checkpoint_lineage_digest", "/receipt_digest")
FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "psion" / "pretrain"


def upstream(name: str) -> bytes:
    return (UPSTREAM / name).read_bytes()


def upstream_documents(base: str = "plain") -> Documents:
    """The canonical inputs, with one of the receipts that the measured changes start from."""
    return Documents(
        stage_config=upstream("bases/base_config.json"),
        receipt=upstream(f"bases/base_{base}.json"),
        model_descriptor=upstream("psion_compact_decoder_pilot_descriptor_v1.json"),
        tokenized_corpus=upstream("psion_tokenized_corpus_manifest_v1.json"),
        sampling_policy=upstream("psion_sampling_policy_manifest_v1.json"),
    )


def inputs_of(texts: Documents) -> OriginalInputs:
    return OriginalInputs(
        model_descriptor=texts.model_descriptor,
        tokenized_corpus=texts.tokenized_corpus,
        sampling_policy=texts.sampling_policy,
    )


class Case(NamedTuple):
    """A changed document and what the original says of it; `receipt` is what was given beside a changed config."""

    name: str
    base: str
    document: str
    path: str
    op: str
    note: str
    config: bytes
    receipt: bytes
    verdicts: tuple[str, str]
    same_meaning: bool

    @property
    def accepted_with_another_meaning(self) -> bool:
        return self.verdicts == ("ok", "ok") and not self.same_meaning


def cases(places: Iterable[int] | None = None) -> Iterator[Case]:
    """The measured cases, all of them or those at some places of the file."""
    table = pq.read_table(UPSTREAM / "verdicts.parquet")
    if places is not None:
        table = table.take(list(places))
    for batch in table.to_batches(max_chunksize=1000):
        for row in batch.to_pylist():
            yield Case(
                name=row["case"],
                base=row["base"],
                document=row["document"],
                path=row["path"],
                op=row["op"],
                note=row["note"] or "",
                config=row["config_json"].encode(),
                receipt=row["receipt_json"].encode(),
                verdicts=(row["config_verdict"], row["receipt_verdict"]),
                same_meaning=row["same_meaning"],
            )


def sampled(most: int, *strata: str, accepted: bool = False) -> list[int]:
    """Up to `most` places of the file for each combination of these columns, spread evenly; always the same.

    `accepted` leaves those that the original takes although their meaning changed.
    """
    columns = {*strata, "config_verdict", "receipt_verdict", "same_meaning"}
    found: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(pq.read_table(UPSTREAM / "verdicts.parquet", columns=sorted(columns)).to_pylist()):
        passed = row["config_verdict"] == row["receipt_verdict"] == "ok"
        if not accepted or (passed and not row["same_meaning"]):
            found.setdefault(tuple(row[name] for name in strata), []).append(place)
    return sorted(place for stratum in found.values() for place in _spread(stratum, min(most, len(stratum))))


def _spread(places: list[int], count: int) -> set[int]:
    return {places[n * (len(places) - 1) // max(1, count - 1)] for n in range(count)}


# ---- Documents of our own ----


def fixture_documents() -> Documents:
    """The committed fixture's: a cpu run with a topology."""
    names = {
        "stage_config": "psion_pretrain_stage_config_v1",
        "receipt": "psion_pretrain_stage_receipt_v1",
        "model_descriptor": "psion_compact_decoder_descriptor_v1",
        "tokenized_corpus": "psion_tokenized_corpus_manifest_v1",
        "sampling_policy": "psion_sampling_policy_manifest_v1",
    }
    return Documents(**{role: (FIXTURES / f"{name}.json").read_bytes() for role, name in names.items()})


def sealed(receipt: PretrainStageReceipt) -> PretrainStageReceipt:
    """With every digest that the original's algorithm gives."""
    replay, lineage, whole = SEALS
    receipt = changed(receipt, {replay: digests.replay_digest(receipt.replay_receipt)})
    receipt = changed(receipt, {lineage: digests.checkpoint_lineage_digest(receipt.checkpoint_lineage)})
    return changed(receipt, {whole: digests.receipt_digest(receipt)})


def text_of(document: msgspec.Struct) -> bytes:
    """Its canonical text."""
    return encode_document(document).encode()


def put(text: bytes, pointer: str, value: Any) -> bytes:
    """A document's text with the value at a JSON pointer replaced; msgspec.UNSET removes it."""
    document = json.loads(text)
    target = document
    *parents, last = pointer.removeprefix("/").split("/")
    for step in parents:
        target = target[int(step)] if isinstance(target, list) else target[step]
    key: Any = int(last) if isinstance(target, list) else last
    if value is msgspec.UNSET:
        del target[key]
    else:
        target[key] = value
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


@functools.cache
def fixture_inputs() -> OriginalInputs:
    return inputs_of(fixture_documents())
