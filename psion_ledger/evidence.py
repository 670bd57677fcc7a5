"""What the laws need and SQL cannot compute, as relations: derived digests, contract checks, receipt checks, files.

Each relation is made when a law reads it. Evidence that is not at hand is said so, in words that tell what to pass.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import pyarrow as pa

from psion_ledger.contracts import (
    DOCUMENTS,
    ModelDescriptor,
    decode_base,
    decode_document,
    decode_model,
    model_descriptor_digest,
    tokenizer_binding_digest,
)
from psion_ledger.errors import CannotDecide, ContractRefused, LedgerError
from psion_ledger.ledger import Run, open_run
from psion_ledger.log import contract_files, files
from psion_ledger.log.reread import fault
from psion_ledger.ordered import SCHEMA as ORDER_SCHEMA
from psion_ledger.ordered import derived_order
from psion_ledger.orders import check_contracts
from psion_ledger.program import Program, advance, recorded_document, stage_events
from psion_ledger.receipts import verify_receipt
from psion_ledger.receipts.verify import decode_receipt
from psion_ledger.replay import REPLAYED_SCHEMA, declared_corpus_digest, replay_table
from psion_ledger.witness import Kept, hold

CHECKPOINT_BYTES_MAX = 1 << 43


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Where evidence outside the ledger is looked for; `corpus` is null when no replay is asked for, `kept` when no
    head was kept; `deep` asks for every sealed event to be encoded again."""

    artifacts: Path
    artifacts_given: bool = False
    corpus_given: bool = False
    corpus: Path | None
    kept: Kept | None = None
    deep: bool = False


class NotAtHand(msgspec.Struct, frozen=True, kw_only=True):
    """Why evidence is not there: not asked for, not found where it was looked for, or not to be made. `flag` is the
    option of an audit that brings it, null when it was given already or nothing does."""

    code: Literal["not_asked", "not_at_hand", "not_derivable"]
    reason: str
    flag: str | None


def _texts(*names: str) -> pa.Schema:
    return pa.schema([(name, pa.string()) for name in names])


_DIGESTS = _texts("model_descriptor_digest", "tokenizer_binding_digest", "tensor_layout_digest", "corpus_digest")
_CHECKS = _texts("role", "code", "pointer", "expected", "actual")
_FOUND = pa.schema([*_texts("pointer", "stream", "expected", "actual"), pa.field("event_seq", pa.int64())])
_REFUSALS = pa.schema([*_texts("code", "stream", "message"), pa.field("event_seq", pa.int64())])
_FILES = pa.schema([*_texts("path", "stream", "sha256_expected", "sha256_actual"), pa.field("event_seq", pa.int64())])

_KEPT = _texts("subject", "expected", "actual")
_REREAD = pa.schema([*_texts("subject", "stream", "expected", "actual"), pa.field("event_seq", pa.int64())])


def _table(schema: pa.Schema, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)


def derived_digests(run: Run, sources: Sources) -> pa.Table:
    """The digests that the declared descriptor and corpus have; no row while they are missing or malformed."""
    try:
        contracts = run.contracts
    except (CannotDecide, ContractRefused):
        return _DIGESTS.empty_table()
    model = contracts.model_descriptor
    row: dict[str, str | None] = dict.fromkeys(_DIGESTS.names)
    if isinstance(model, ModelDescriptor):
        row["model_descriptor_digest"] = model_descriptor_digest(model)
        row["tokenizer_binding_digest"] = tokenizer_binding_digest(model.tokenizer_binding)
        row["tensor_layout_digest"] = model.checkpoint_contract.tensor_layout_digest
    elif model is not None:
        row["tensor_layout_digest"] = model.digest
    if (corpus := contracts.token_data or contracts.tokenized_corpus) is not None:
        row["corpus_digest"] = declared_corpus_digest(corpus).hex()
    return _table(_DIGESTS, [row])


def _decode(role: str, text: str) -> None:
    """Raises ContractRefused for a text that is no contract of its role."""
    if role == "model_descriptor":
        decode_model(text)
    elif role == "base_checkpoint":
        decode_base(text)
    elif role in DOCUMENTS:
        decode_document(role, text)
    else:
        contract_files.parts_of(role, text)


def contract_checks(run: Run, sources: Sources) -> pa.Table:
    """Every rule of the contracts that does not hold; while one is missing, only what each says by itself."""
    rows: list[dict[str, Any]] = []
    for role, text in run.contracts_text.items():
        try:
            _decode(role, text)
        except ContractRefused as error:
            expected = "its schema" if role in DOCUMENTS else "its document, or the list of its files"
            said = {"pointer": f"{role}#", "expected": expected, "actual": str(error)}
            rows.append({"role": role, "code": "Malformed", **said})
    malformed = {row["role"] for row in rows} - set(get_args(contract_files.FileContract))
    if not malformed and "sampling_plan" in run.contracts_text:
        rows += [{"role": f.pointer.split("#")[0], **msgspec.to_builtins(f)} for f in check_contracts(run.contracts)]
    return _table(_CHECKS, rows)


def receipt_checks(run: Run, sources: Sources) -> pa.Table:
    """Every field of a recorded receipt that its basis does not give."""
    recorded = run.con.sql("select sha256, stream, seq from receipt_recorded order by attempt, rank, seq").fetchall()
    rows = []
    for sha, stream, seq in recorded:
        document = recorded_document(run, sha)
        where = {"stream": stream, "event_seq": seq}
        try:
            found = verify_receipt(run, document)
            if found.sha256 != sha.hex():
                rows.append({"pointer": "/", "expected": sha.hex(), "actual": found.sha256, **where})
            rows += [
                {"pointer": d.pointer, "expected": d.expected, "actual": d.actual, **where} for d in found.differences
            ]
        except LedgerError as error:
            rows.append({"pointer": "/", "expected": "a receipt that its basis gives", "actual": str(error), **where})
    return _table(_FOUND, rows)


def stage_refusals(run: Run, sources: Sources) -> pa.Table:
    """Every stage event that the stage program refuses; the fold goes on without it."""
    program = Program(run_id=run.run_id)
    rows = []
    for stream, seq, event in stage_events(run):
        try:
            program = advance(program, event)
        except LedgerError as error:
            code = getattr(error, "code", type(error).__name__)
            rows.append({"code": code, "stream": stream, "event_seq": seq, "message": str(error)})
    return _table(_REFUSALS, rows)


def checkpoint_files(run: Run, sources: Sources) -> pa.Table | NotAtHand:
    """The files of the kept checkpoints that are at hand, hashed as opaque bytes; why not, when none is. The promoted
    one is looked for whenever another is there."""
    run.relate(["kept_files"])
    kept = run.con.sql("select checkpoint_id, path, bytes, sha256, stream, seq, promoted from kept_files").fetchall()
    if not kept:
        return _FILES.empty_table()
    folder = sources.artifacts / run.run_id
    flag = None if sources.artifacts_given else "--artifacts DIR"
    absent = NotAtHand(code="not_at_hand", reason=f"no checkpoint's files are below {folder}", flag=flag)
    if not folder.is_dir():
        return absent
    found: dict[str, list[dict[str, Any]]] = {}
    wanted = {row[0] for row in kept if row[-1]}
    for checkpoint, path, size, sha256, stream, seq, _ in kept:
        row = {
            "path": path, "stream": stream, "event_seq": seq, "sha256_expected": sha256.hex(),
            "sha256_actual": files.measure(folder, path, size, CHECKPOINT_BYTES_MAX)[1],
        }  # fmt: skip
        found.setdefault(checkpoint, []).append(row)
    there = {name for name, rows in found.items() if any(row["sha256_actual"] is not None for row in rows)}
    if not there:
        return absent
    return _table(_FILES, [row for name in there | wanted for row in found[name]])


def base_run(run: Run, sources: Sources) -> pa.Table | NotAtHand:
    """What the ledger of the run that promoted the base says of it; why not, where that is not beside this one."""
    try:
        base = run.contracts.base_checkpoint
    except (CannotDecide, ContractRefused):
        base = None
    if base is None or base.run is None:
        return _KEPT.empty_table()
    promised, ledger = base.run, run.record.folder.parent
    try:
        with open_run(ledger, promised.run_id) as other:
            other.require_whole()
            found = other.first(
                "select document from receipt_recorded where lower(hex(sha256)) = ?", [promised.receipt_sha256]
            )
            differences = [] if found is None else verify_receipt(other, found[0].encode()).differences
    except LedgerError as error:
        reason = f"the run of the base is not at hand: {error}"
        return NotAtHand(code="not_at_hand", reason=reason, flag=None)
    said, reference = "never recorded", "none"
    if found is not None:
        said = "recorded, and given again" if not differences else f"its ledger gives another {differences[0].pointer}"
        promoted = decode_receipt(found[0]).checkpoint_lineage.promoted_checkpoint
        reference = msgspec.json.encode(promoted).decode()
    rows = [
        {"subject": "receipt", "expected": "recorded, and given again", "actual": said},
        {"subject": "reference", "expected": msgspec.json.encode(promised.reference).decode(), "actual": reference},
    ]
    return _table(_KEPT, rows)


def order_here(run: Run, sources: Sources) -> pa.Table | NotAtHand:
    """The sequence at each promised position, derived from the contracts alone."""
    try:
        return derived_order(run)
    except (CannotDecide, ContractRefused) as error:
        return NotAtHand(code="not_derivable", reason=f"no order could be derived: {error}", flag=None)


def replay_here(run: Run, sources: Sources) -> pa.Table | NotAtHand:
    """Order and content of every effective batch, re-derived from the contracts and the corpus's shards."""
    if sources.corpus is None:
        reason = "this audit did not derive it again from the corpus"
        return NotAtHand(code="not_asked", reason=reason, flag="--require replayed")
    if not sources.corpus.is_dir():
        flag = None if sources.corpus_given else "--require replayed --corpus DIR"
        return NotAtHand(code="not_at_hand", reason=f"the corpus is not at hand ({sources.corpus})", flag=flag)
    try:
        return replay_table(run, sources.corpus)
    except (CannotDecide, ContractRefused) as error:
        return NotAtHand(code="not_derivable", reason=f"the batches could not be derived again: {error}", flag=None)


def kept_heads(run: Run, sources: Sources) -> pa.Table | NotAtHand:
    """The head that somebody kept, and what this record is to it."""
    if sources.kept is None:
        reason = "no head that was kept outside was given"
        return NotAtHand(code="not_asked", reason=reason, flag="--expect-head NOTE --key PUB")
    found = hold(run.record, sources.kept)
    row = {"subject": f"head at {sources.kept.head.size}", "expected": found.expected, "actual": found.actual}
    return _table(_KEPT, [row])


def reread_entries(run: Run, sources: Sources) -> pa.Table | NotAtHand:
    """Every sealed range, encoded again from its columns."""
    if not sources.deep:
        return NotAtHand(code="not_asked", reason="the sealed events were not encoded again", flag="--deep")
    known, folder = run.record.manifest, run.record.folder
    rows = [
        {
            "subject": f"manifest/{entry.number}.json", "stream": entry.stream, "event_seq": entry.first_seq,
            "expected": "its links and roots", "actual": fault(folder, known, entry) or "its links and roots",
        }
        for entry in known.current()
    ]  # fmt: skip
    return _table(_REREAD, rows)


RELATIONS: dict[str, Callable[[Run, Sources], pa.Table | NotAtHand]] = {
    "derived_digests": derived_digests,
    "contract_checks": contract_checks,
    "receipt_checks": receipt_checks,
    "stage_refusals": stage_refusals,
    "checkpoint_files": checkpoint_files,
    "base_run": base_run,
    "derived_order": order_here,
    "replay_here": replay_here,
    "kept_heads": kept_heads,
    "reread_entries": reread_entries,
}
SCHEMAS = {
    "derived_digests": _DIGESTS, "contract_checks": _CHECKS, "receipt_checks": _FOUND, "stage_refusals": _REFUSALS,
    "checkpoint_files": _FILES,
    "base_run": _KEPT, "derived_order": ORDER_SCHEMA, "replay_here": REPLAYED_SCHEMA,
    "kept_heads": _KEPT, "reread_entries": _REREAD,
}  # fmt: skip
