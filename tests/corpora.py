"""The small run's corpus: shards and their index, the contracts that promise them, and the order of the sequences."""

import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from psion_ledger.contracts import Contracts, PlanFamily
from psion_ledger.contracts.codec import encode_document
from psion_ledger.digest import sha256
from psion_ledger.log.indexes import SEQUENCE_INDEX_SCHEMA
from psion_ledger.orders import Order, derive
from tests.documents import SEQUENCE_TOKENS, SOURCES, changed, corpus_of, policy_of, small_contracts


def tokens_of(sequence_id: int) -> list[int]:
    """The 32 token ids of a sequence: no two sequences have the same."""
    return [(sequence_id * 7 + place * 3) % 509 for place in range(SEQUENCE_TOKENS)]


def token_digest(sequence_ids: list[int]) -> bytes:
    ids = [token for sequence_id in sequence_ids for token in tokens_of(sequence_id)]
    return sha256(struct.pack(f"<{len(ids)}I", *ids))


def shard_bytes(family: PlanFamily) -> bytes:
    """A shard file: little-endian uint16."""
    ids = [t for i in range(family.first_sequence_id, family.end_sequence_id) for t in tokens_of(i)]
    return struct.pack(f"<{len(ids)}H", *ids)


def write_shards(folder: Path, contracts: Contracts) -> Path:
    """The corpus's shard files."""
    folder.mkdir(parents=True, exist_ok=True)
    for family in contracts.sampling_plan.families:
        (folder / f"{family.shard_ids[0]}.bin").write_bytes(shard_bytes(family))
    return folder


def index_rows(contracts: Contracts) -> list[dict[str, Any]]:
    """The sequence index: every four sequences of a family are one document."""
    return [
        {
            "sequence_id": sequence_id,
            "split_name": family.split_name,
            "source_family_id": family.source_family_id,
            "tokens": SEQUENCE_TOKENS,
            "token_sha256": token_digest([sequence_id]),
            "documents": [_document(family.split_name, family.source_family_id, sequence_id)],
        }
        for family in contracts.sampling_plan.families
        for sequence_id in range(family.first_sequence_id, family.end_sequence_id)
    ]


def _document(split: str, family: str, sequence_id: int) -> dict[str, Any]:
    sources = SOURCES[family]
    return {
        "source_id": sources[sequence_id // 4 % len(sources)],
        "document_id": f"{split}/{family}/{sequence_id // 4}",
        "first_token": sequence_id % 4 * SEQUENCE_TOKENS,
        "tokens": SEQUENCE_TOKENS,
    }


def parquet_of(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink)
    return bytes(sink.getvalue())


def index_bytes(rows: list[dict[str, Any]]) -> bytes:
    return parquet_of(rows, SEQUENCE_INDEX_SCHEMA)


def index_parts(rows: list[dict[str, Any]]) -> list[tuple[bytes, int]]:
    """The index in two files, as a larger one would be."""
    half = len(rows) // 2
    return [(index_bytes(part), len(part)) for part in (rows[:half], rows[half:]) if part]


def spelled(listed: Any) -> str:
    """A list of files as it is declared; a text stands for itself."""
    return listed if isinstance(listed, str) else json.dumps(listed)


def real_contracts(**sizes: Any) -> Contracts:
    """`small_contracts` whose shard digests are those of the files that go with them."""
    contracts = small_contracts(**sizes)
    digests: dict[str, object] = {}
    for place, shard in enumerate(corpus_of(contracts).shards):
        family = next(f for f in contracts.sampling_plan.families if shard.shard_id in f.shard_ids)
        digests[f"/shards/{place}/shard_digest"] = f"sha256:{sha256(shard_bytes(family)).hex()}"
    return msgspec.structs.replace(contracts, tokenized_corpus=changed(corpus_of(contracts), digests))


_ORDERS: dict[tuple[str, str], Order] = {}


def order_of(contracts: Contracts) -> Order:
    """The contracts' order; it takes a tenth of a second to make, so tests share it."""
    key = (encode_document(policy_of(contracts)), encode_document(contracts.sampling_plan))
    if key not in _ORDERS:
        _ORDERS[key] = derive(contracts)
    return _ORDERS[key]


_IDS: dict[tuple[int, int, int], tuple[int, ...]] = {}


def ids_between(order: Order, first: int, end: int) -> tuple[int, ...]:
    """Most scripts train the same positions, and deriving them took half of their tests' time."""
    key = (id(order), first, end)  # `_ORDERS` keeps each one.
    if key not in _IDS:
        _IDS[key] = tuple(order.sequence_ids(first, end).tolist())
    return _IDS[key]
