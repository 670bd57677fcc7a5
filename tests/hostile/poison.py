"""A run whose every free text is hostile: all that an event or a contract may say, names of files, and its place."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from psion_ledger import events, heads, log
from psion_ledger.contracts import DOCUMENTS, Contracts, DocumentRole, decode_document
from psion_ledger.digest import sha256
from psion_ledger.errors import ContractRefused
from psion_ledger.reading import read
from tests.corpora import index_rows
from tests.heads.samples import KEY
from tests.ledgers import COMPLETION, RUN_ID, Script, close, seal, trained_run, write_ledger

# Colours, a title, a C1 control, a bidi override, a line separator, a zero width, DEL, a tag beyond the basic plane,
# a carriage return, a line, a tabulator, Rich's markup, and what a spreadsheet would run.
EVIL = "=a\x1b[31m\x1b]0;x\x07\x9b31m\u202e\u2028\u200b\x7f\U000e0041\r\n\t[bold]x[/bold]\u00e9"
NAME = EVIL.replace("/", "|")
# The name of a key has no blank and no control.
EVIL_WORD = "evil\u202e\u200b\U000e0041"
Path_ = tuple[int | str, ...]


def leaves(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Where the texts of nested lists and maps are."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, (dict, list)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(part, (*path, key))


def at(value: Any, path: Path_) -> Any:
    for key in path:
        value = value[key]
    return value


def poisoned_document(role: DocumentRole, text: str, evil: str) -> str:
    """Every text of it that the contract's own types let be any."""
    document = json.loads(text)
    for path in leaves(document):
        held = at(document, path[:-1])
        before = held[path[-1]]
        held[path[-1]] = before + evil
        try:
            decode_document(role, json.dumps(document))
        except ContractRefused:
            held[path[-1]] = before
    return json.dumps(document, ensure_ascii=False)


def poisoned(event: events.Event, evil: str) -> events.Event:
    """The same event; a text that is not one of a few stays the beginning of a hostile one."""
    if isinstance(event, events.ContractDeclared):
        # A list of files has no free text.
        role = next(role for role in DOCUMENTS if role == event.contract_role)
        text = poisoned_document(role, event.document, evil)
        return msgspec.structs.replace(event, document=text, sha256=sha256(text.encode()))
    values = msgspec.msgpack.decode(msgspec.msgpack.encode(event))
    for path in leaves(values):
        held = at(values, path[:-1])
        before = held[path[-1]]
        held[path[-1]] = before + evil
        try:
            msgspec.msgpack.decode(msgspec.msgpack.encode(values), type=events.Event)
        except msgspec.ValidationError:
            held[path[-1]] = before
    made: events.Event = msgspec.msgpack.decode(msgspec.msgpack.encode(values), type=events.Event)
    return made


def poisoned_index(contracts: Contracts, evil: str) -> list[dict[str, Any]]:
    rows = index_rows(contracts)
    for row in rows:
        for path in leaves(row):
            held = at(row, path[:-1])
            held[path[-1]] += evil
    return rows


def poisoned_run(contracts: Contracts, evil: str) -> Script:
    """One that trained to its end, with a recorded receipt; every text of it is hostile."""
    receipt = {"schema_version": "psion.pretrain_stage_receipt.v1", "run_id": RUN_ID, "summary": evil, evil: [evil]}
    recorded = events.ReceiptRecorded(
        schema_version="psion.pretrain_stage_receipt.v1", sha256=bytes(32), basis_entries=1, basis_head=bytes(32),
        document=json.dumps(receipt, ensure_ascii=False), derivation_version=1,
    )  # fmt: skip
    script: Script = []
    for stream, step in trained_run(contracts, rows=poisoned_index(contracts, evil)):
        if isinstance(step, events.RunFinished):
            script.append((stream, recorded))
        script.append((stream, step if callable(step) else poisoned(step, evil)))
    return [*script, (COMPLETION, close), (COMPLETION, seal)]


def write_poisoned(folder: Path, contracts: Contracts, evil: str = EVIL) -> Path:
    """The ledger, in a folder of a hostile name, signed beside a hostile signature; hostile names beside the run and
    within."""
    ledger = folder / NAME
    run = write_ledger(ledger, poisoned_run(contracts, evil), strict=False)
    note = heads.sign(own_head(run), KEY) + f"\u2014 {EVIL_WORD} AAAAAAAA\n".encode()
    log.keep_head(run, own_head(run).size, note)
    (ledger / f"no run{NAME}").mkdir()
    for name in ("heads", "contracts", "attempts", "manifest", "segments/step_completed", "tmp", "."):
        (run / name / f"more{NAME}").write_text(EVIL)
    return ledger


def own_head(run: Path) -> heads.Head:
    record = read(run)
    name = heads.origin(record.claim.run_id, record.claim.nonce)
    return heads.Head(origin=name, size=len(record.manifest.entries), root=record.manifest.head())
