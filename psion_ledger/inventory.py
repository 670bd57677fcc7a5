"""A record itself as tables: its files, the links of its manifest, the ranges of its streams, what is not sealed."""

from typing import Any

import msgspec
import pyarrow as pa

from psion_ledger.log.frame import first_link
from psion_ledger.reading import LedgerFile, Record

_FILES_SCHEMA = pa.schema(
    [
        ("path", pa.string()), ("entry", pa.int64()), ("kind", pa.string()), ("stream", pa.string()),
        ("first_seq", pa.int64()), ("last_seq", pa.int64()), ("bytes_expected", pa.int64()),
        ("bytes_actual", pa.int64()), ("sha256_expected", pa.string()), ("sha256_actual", pa.string()),
    ]
)  # fmt: skip
_LINKS_SCHEMA = pa.schema(
    [("number", pa.int64()), ("path", pa.string()), ("expected", pa.string()), ("actual", pa.string())]
)
_RANGES_SCHEMA = pa.schema(
    [
        ("stream", pa.string()), ("entry", pa.int64()), ("first_seq", pa.int64()), ("last_seq", pa.int64()),
        ("link_before", pa.string()), ("link_after", pa.string()), ("first_link", pa.string()),
        ("events", pa.int64()),
    ]
)  # fmt: skip
_TAILS_SCHEMA = pa.schema(
    [
        ("path", pa.string()), ("stream", pa.string()), ("first_seq", pa.int64()), ("damaged_seq", pa.int64()),
        ("durable_through", pa.int64()), ("damage", pa.string()), ("tampered", pa.bool_()),
    ]
)  # fmt: skip
_UNNAMED_SCHEMA = pa.schema(
    [("path", pa.string()), ("stream", pa.string()), ("first_seq", pa.int64()), ("last_seq", pa.int64())]
)
_CLAIMS_SCHEMA = pa.schema([("attempt", pa.int64()), ("file", pa.string()), ("sha256", pa.string())])
_FAULTS_SCHEMA = pa.schema([("file", pa.string()), ("reason", pa.string())])


def _rows(schema: pa.Schema, values: list[Any]) -> pa.Table:
    """Structs as an Arrow table: their attributes under the schema's names."""
    return pa.table([[getattr(v, name) for v in values] for name in schema.names], schema=schema)


class _Range(msgspec.Struct, frozen=True, kw_only=True):
    stream: str
    entry: int | None
    first_seq: int
    last_seq: int
    link_before: str
    link_after: str
    first_link: str
    events: int


def _ranges(record: Record) -> list[_Range]:
    """Every sealed and unsealed range, with the link that its stream must begin with."""
    nonce = bytes.fromhex(record.claim.nonce)
    sealed = [
        _Range(
            stream=e.stream, entry=e.number, first_seq=e.first_seq, last_seq=e.last_seq, link_before=e.link_before,
            link_after=e.link_after, first_link=first_link(record.claim.run_id, e.stream, nonce).hex(),
            events=sum(file.rows for file in e.files),
        )
        for e in record.manifest.entries
        if e.type == "seal"  # A compaction moves no border: the ranges, and their order, stay those that were sealed.
    ]  # fmt: skip
    unsealed = [
        _Range(
            stream=t.stream, entry=None, first_seq=t.first_seq, last_seq=t.first_seq + t.events - 1,
            link_before=t.link_before.hex(), link_after=t.link_after.hex(),
            first_link=first_link(record.claim.run_id, t.stream, nonce).hex(), events=t.events,
        )
        for t in record.tails
        if t.events
    ]  # fmt: skip
    return sealed + unsealed


class _JournalTail(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    stream: str
    first_seq: int
    damaged_seq: int | None
    durable_through: int | None
    damage: str | None
    tampered: bool


def _journal_tails(record: Record) -> list[_JournalTail]:
    tails = [(tail, tail.damage) for tail in record.tails]
    return [
        _JournalTail(
            path=tail.path, stream=tail.stream, first_seq=tail.first_seq,
            damaged_seq=None if damage is None else damage.seq,
            durable_through=None if damage is None else damage.durable_through,
            damage=None if damage is None else damage.what,
            tampered=damage is not None and damage.tampered,
        )
        for tail, damage in tails
    ]  # fmt: skip


class _Link(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    path: str
    expected: str
    actual: str


def _links(record: Record) -> list[_Link]:
    links = [
        _Link(number=e.number, path=f"manifest/{e.number}.json", expected="holds", actual="holds")
        for e in record.manifest.entries
    ]
    if (broken := record.manifest.broken) is not None:
        links.append(_Link(number=broken.number, path=broken.path, expected=broken.expected, actual=broken.actual))
    return links


def tables(record: Record, contract_files: list[LedgerFile]) -> dict[str, pa.Table]:
    """By the names that the laws of integrity know them by."""
    return {
        "ledger_files": _rows(_FILES_SCHEMA, record.files + contract_files),
        "manifest_links": _rows(_LINKS_SCHEMA, _links(record)),
        "stream_ranges": _rows(_RANGES_SCHEMA, _ranges(record)),
        "journal_tails": _rows(_TAILS_SCHEMA, _journal_tails(record)),
        "unnamed_segments": _rows(_UNNAMED_SCHEMA, record.rolled_back),
        "attempt_claims": _rows(_CLAIMS_SCHEMA, record.claims),
        "attempt_faults": _rows(_FAULTS_SCHEMA, record.attempts),
        "run_identity": pa.table({"run_id": [record.claim.run_id], "nonce": [record.claim.nonce]}),
    }
