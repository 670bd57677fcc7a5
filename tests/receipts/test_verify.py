"""A receipt is held against its ledger: as of its basis, field by field, byte by byte."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from psion_ledger import events, log, open_run
from psion_ledger.contracts import encode_document
from psion_ledger.digest import sha256
from psion_ledger.errors import CannotDecide, Damaged
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from psion_ledger.receipts import (
    PretrainStageReceipt,
    Verification,
    decode_receipt,
    derive_receipt,
    digests,
    record_receipt,
    verify_receipt,
)
from psion_ledger.receipts.verify import compare
from psion_ledger.replay import record_replay
from tests.corpora import real_contracts, write_shards
from tests.documents import changed
from tests.ledgers import COMPLETION, RANK0, RUN_ID, Mark, Script, good_run, opened, record, seal, write_ledger
from tests.receipts.good_receipt import pointers

CONTRACTS = real_contracts()
REPLAY = "/replay_receipt"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ledger = tmp_path_factory.mktemp("good")
    write_ledger(ledger, good_run(CONTRACTS))
    return ledger


@pytest.fixture(scope="module")
def run(good: Path) -> Iterator[Run]:
    with open_run(good, RUN_ID) as opened:
        yield opened


@pytest.fixture(scope="module")
def text(run: Run) -> bytes:
    """The exact text that was recorded."""
    row = run.first("select document from receipt_recorded")
    assert row is not None
    document: str = row[0]
    return document.encode()


def found(verification: Verification) -> list[tuple[str, str, str, str]]:
    return [(d.code, d.pointer, d.expected, d.actual) for d in verification.differences]


def test_a_recorded_receipt_holds_as_of_its_basis(run: Run, text: bytes) -> None:
    """It names its event's basis: the entries that were sealed before it was derived."""
    verification = verify_receipt(run, text)
    assert (verification.recorded, verification.differences, verification.basis_entries) == (True, [], 3)
    assert sha256(text).hex() == verification.sha256


def test_a_receipt_is_recorded_with_its_basis(good: Path, run: Run, text: bytes) -> None:
    """Its digest, the number of entries, and the tree head over them."""
    row = run.first(
        "select schema_version, sha256, basis_entries, basis_head, derivation_version from receipt_recorded"
    )
    head = read(good / RUN_ID, as_of=3).manifest.head()
    assert ("psion.pretrain_stage_receipt.v1", sha256(text), 3, head, 1) == row


def test_a_receipt_rests_on_sealed_entries_alone(tmp_path: Path) -> None:
    """A replay whose stream is not sealed yet is not in it, though it is in the record."""
    script = good_run(CONTRACTS)
    between = next(n for n, (stream, _) in enumerate(script) if stream == "v.second")
    script = [*script[:between], (RANK0, seal), *script[between:]]
    at = [n for n, (_, step) in enumerate(script) if getattr(step, "__name__", "") == "seal"][2]
    recorded: list[events.ReceiptRecorded] = []

    def keep(folder: Path, writer: log.Writer) -> None:
        recorded.append(record_receipt(folder, writer))

    write_ledger(tmp_path, [*script[:at], (COMPLETION, opened(role="complete")), (COMPLETION, keep)])
    replays = decode_receipt(recorded[0].document).replay_receipt.successful_replays
    assert (replays, recorded[0].basis_entries) == (1, 2)
    with open_run(tmp_path, RUN_ID) as run:
        assert derive_receipt(run).replay_receipt.successful_replays == 2


def test_a_receipt_that_was_never_recorded_is_derived_as_of_now(run: Run, text: bytes) -> None:
    """It says so: the whole manifest is its basis."""
    other = text.replace(b"small-final", b"small-other")
    verification = verify_receipt(run, other)
    entries = len(run.record.manifest.entries)
    assert (False, entries, sha256(other).hex()) == (
        verification.recorded, verification.basis_entries, verification.sha256,
    )  # fmt: skip
    pointer = "/checkpoint_lineage/promoted_checkpoint_label"
    assert [("FieldMismatch", pointer, "small-final", "small-other")] == found(verification)


OTHER_NAMES = {
    "pretrain": "rl", "train": "test", "held_out": "test", "validation": "test", "repeat": "single_pass",
    "deterministic_shuffle": "manifest_order", "single_device": "replicated", "reference": "discrete_accelerator",
    "host_only": "dedicated_device",
}  # fmt: skip


def other(pointer: str, value: Any) -> Any:
    """Another value of the same type; another name where only some are allowed."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    enumerated = pointer.rsplit("/", 1)[-1].endswith(("kind", "mode", "ordering", "class"))
    return OTHER_NAMES.get(value, value + "x") if enumerated else value + "x"


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


@pytest.fixture(scope="module")
def derived(run: Run) -> PretrainStageReceipt:
    return derive_receipt(run)


def test_every_changed_field_is_named(derived: PretrainStageReceipt, text: bytes) -> None:
    """Leaf by leaf: exactly its pointer, what the ledger gives and what the receipt says."""
    leaves = pointers(json.loads(text))
    expected = {
        pointer: [("FieldMismatch", pointer, shown(value), shown(other(pointer, value)))]
        for pointer, value in leaves.items()
    }
    actual = {
        pointer: [
            (d.code, d.pointer, d.expected, d.actual)
            for d in compare(derived, put(text, pointer, other(pointer, value)))
        ]
        for pointer, value in leaves.items()
    }  # fmt: skip
    assert (100, expected) == (len(leaves), actual)


def shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


SINGLE_VALUED = {
    "/schema_version", "/objective_config/objective_kind", "/objective_config/loss_normalization",
    "/delivered_execution/execution_topology/assignments/0/partition/kind",
}  # fmt: skip
SEALS = {
    "/replay_receipt/replay_digest", "/checkpoint_lineage/checkpoint_lineage_digest", "/receipt_digest",
}  # fmt: skip


def test_every_changed_field_is_named_under_recomputed_digests(derived: PretrainStageReceipt, text: bytes) -> None:
    """The change is found by itself; besides it only digests differ, and never another field."""
    unnamed = {}
    for pointer, value in pointers(json.loads(text)).items():
        if pointer in SINGLE_VALUED | SEALS:
            continue
        named = {d.pointer for d in compare(derived, resealed(put(text, pointer, other(pointer, value))))}
        if pointer not in named or not named <= {pointer} | SEALS:
            unnamed[pointer] = named
    assert unnamed == {}


def test_a_digest_alone_cannot_be_resealed(text: bytes) -> None:
    """The test's own sealing gives the derived receipt's digests back."""
    assert text == resealed(text)


@pytest.mark.parametrize("pointer", [
    "/delivered_execution", "/checkpoint_lineage/promoted_checkpoint/durable_at_ms", "/receipt_digest",
    "/objective_config/max_context_tokens",
])  # fmt: skip
def test_a_field_that_is_left_out_is_absent(derived: PretrainStageReceipt, text: bytes, pointer: str) -> None:
    """Named by its own pointer, whether it is required or not."""
    document = json.loads(text)
    target = document
    *parents, last = pointer.removeprefix("/").split("/")
    for step in parents:
        target = target[step]
    del target[last]
    differences = compare(derived, json.dumps(document, indent=2).encode() + b"\n")
    assert [(pointer, "absent")] == [(d.pointer, d.actual) for d in differences]


ADDED = [
    ("/accelerator_execution", {"accelerator_backed": True, "optimizer_steps_completed": 4, "mean_step_latency_ms": 1,
                                "detail": "d"}),
    ("/delivered_execution/cluster_execution", None),
    ("/checkpoint_lineage/base_checkpoint", None),
    ("/note", "unknown"),
    ("/source_family_reports/0/note", 10**40),
]  # fmt: skip


@pytest.mark.parametrize(("pointer", "value"), ADDED, ids=lambda value: str(value)[:20])
def test_a_field_that_is_put_in_is_named(derived: PretrainStageReceipt, text: bytes, pointer: str, value: Any) -> None:
    """One that is known, one that is null, and one that nobody knows."""
    differences = compare(derived, put(text, pointer, value))
    assert [(pointer, "absent", shown(value))] == [(d.pointer, d.expected, d.actual) for d in differences]


def test_a_pointer_is_escaped(derived: PretrainStageReceipt, text: bytes) -> None:
    """RFC 6901: `~` and `/` in a key."""
    document = json.loads(text) | {"a/b~c": 1}
    (difference,) = compare(derived, json.dumps(document, indent=2).encode() + b"\n")
    assert difference.pointer == "/a~1b~0c"


def test_rows_are_compared_by_place(derived: PretrainStageReceipt, text: bytes) -> None:
    """One row left out, one put behind."""
    document = json.loads(text)
    rows = document["source_family_reports"]
    for changed_rows, expected in (
        (rows[:-1], [("/source_family_reports/4", "absent")]),
        ([*rows, {}], [("/source_family_reports/5", "{}")]),
    ):
        differences = compare(derived, json.dumps(document | {"source_family_reports": changed_rows}).encode())
        assert expected == [(d.pointer, d.actual) for d in differences]


@pytest.mark.parametrize("spelling", ["compact", "sorted", "no newline", "duplicate key", "minus zero", "exponent"])
def test_another_spelling_is_found(derived: PretrainStageReceipt, text: bytes, spelling: str) -> None:
    """The same values in other bytes: a receipt is recorded by the sha256 of its exact ones."""
    document = json.loads(text)
    spelled = {
        "compact": json.dumps(document).encode(),
        "sorted": json.dumps(document, indent=2, sort_keys=True).encode() + b"\n",
        "no newline": text.rstrip(),
        "duplicate key": text.replace(b'  "run_id"', b'  "run_id": "another",\n  "run_id"'),
        "minus zero": text.replace(b'"label_smoothing_bps": 0', b'"label_smoothing_bps": -0'),
        "exponent": text.replace(b'"max_context_tokens": 32', b'"max_context_tokens": 32.0'),
    }[spelling]
    (difference,) = compare(derived, spelled)
    expected = (
        ("FieldMismatch", "/objective_config/max_context_tokens") if spelling == "exponent" else ("Spelling", "/")
    )
    assert expected == (difference.code, difference.pointer)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b'{"run_id": "\\ud800"}', b"nan"])
def test_what_is_no_json_is_malformed(derived: PretrainStageReceipt, data: bytes) -> None:
    """A finding, not an exception."""
    (difference,) = compare(derived, data)
    assert (difference.code, difference.pointer) == ("Malformed", "/")


@pytest.mark.parametrize("data", [b"[]", b"1", b"null", b'"text"'])
def test_json_that_is_no_object_differs_as_a_whole(derived: PretrainStageReceipt, data: bytes) -> None:
    """At the root."""
    (difference,) = compare(derived, data)
    assert (difference.code, difference.pointer) == ("FieldMismatch", "/")


# --- recorded, and not what the ledger gives ---------------------------------------------------------------------


def until_record(mark: Mark) -> Script:
    """The good run with `mark` where it records its receipt, and nothing after it."""
    script = good_run(CONTRACTS)
    return [*script[: script.index((COMPLETION, record))], (COMPLETION, mark)]


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


def verified(ledger: Path, text: bytes) -> Verification:
    with open_run(ledger, RUN_ID) as opened:
        return verify_receipt(opened, text)


def test_a_recorded_receipt_that_the_basis_does_not_give_is_named(tmp_path: Path, text: bytes) -> None:
    """To record it, with every digest recomputed, does not make it true."""
    lie = resealed(put(text, "/source_family_reports/1/mean_next_token_loss_milli", 1))
    write_ledger(tmp_path, until_record(forged(lie.decode())))
    verification = verified(tmp_path, lie)
    assert (verification.recorded, verification.basis_entries) == (True, 3)
    assert [d.pointer for d in verification.differences] == [
        "/source_family_reports/1/mean_next_token_loss_milli",
        "/receipt_digest",
    ]


def test_a_basis_of_another_head_is_found(tmp_path: Path, text: bytes) -> None:
    """The event names a head that its entries do not have: nothing is derived from them."""
    write_ledger(tmp_path, until_record(forged(basis_head=bytes(32))))
    head = read(tmp_path / RUN_ID, as_of=3).manifest.head().hex()
    assert [("BasisHeadMismatch", "/", "00" * 32, head)] == found(verified(tmp_path, text))


def test_a_basis_of_fewer_entries_has_another_head(tmp_path: Path, text: bytes) -> None:
    """The head names all three, the number one."""
    folder = write_ledger(tmp_path, until_record(forged(basis_entries=1)))
    heads = [read(folder, as_of=entries).manifest.head().hex() for entries in (3, 1)]
    assert [("BasisHeadMismatch", "/", *heads)] == found(verified(tmp_path, text))


def first_entry_alone(document: str) -> Mark:
    def mark(folder: Path, writer: log.Writer) -> None:
        head = read(folder, as_of=1).manifest.head()
        forged(document, basis_entries=1, basis_head=head)(folder, writer)

    return mark


def test_what_a_basis_does_not_hold_yet_is_not_in_its_receipt(tmp_path: Path, text: bytes) -> None:
    """The head is the first entry's own: the two replays came later, and the receipt that counts them differs."""
    write_ledger(tmp_path, until_record(first_entry_alone(text.decode())))
    verification = verified(tmp_path, text)
    assert [(d.pointer, d.expected, d.actual) for d in verification.differences][:2] == [
        ("/replay_receipt/successful_replays", "0", "2"),
        ("/replay_receipt/exact_replay_observed", "false", "true"),
    ]
    assert {"/replay_receipt/replay_digest", "/replay_receipt/summary", "/receipt_digest"} == {
        d.pointer for d in verification.differences[2:]
    }


def test_a_basis_that_gives_no_receipt_is_found(tmp_path: Path, text: bytes) -> None:
    """As of no entry at all there is nothing to derive from."""
    empty = sha256(b"")
    write_ledger(tmp_path, until_record(forged(basis_entries=0, basis_head=empty)))
    (difference,) = verified(tmp_path, text).differences
    assert (difference.code, difference.pointer, difference.expected) == ("NotDerivable", "/", "a receipt")
    assert "no stage config is declared" in difference.actual


def roll_back(folder: Path, entries_total: int) -> None:
    """Take the entries from this number on away, with their segments: only a kept head could tell."""
    for entry in read(folder).manifest.entries[entries_total:]:
        (folder / f"manifest/{entry.number}.json").unlink()
        for file in entry.files:
            (folder / file.path).unlink()


def test_a_basis_that_is_gone_is_found(tmp_path: Path, text: bytes) -> None:
    """The manifest was cut back to its first entry; the event is still in the unsealed tail."""
    folder = write_ledger(tmp_path, until_record(forged()))
    roll_back(folder, 1)
    assert found(verified(tmp_path, text)) == [("BasisMissing", "/", "3 manifest entries", "1 entries")]


def test_a_manifest_cut_behind_the_basis_forgets_the_receipt(tmp_path: Path, text: bytes) -> None:
    """The entry that held the event is gone, with the journal sealed into it: it counts as never recorded."""
    folder = write_ledger(tmp_path, good_run(CONTRACTS))
    roll_back(folder, 3)
    verification = verified(tmp_path, text)
    assert (verification.recorded, verification.basis_entries, verification.differences) == (False, 3, [])


def test_a_manifest_cut_before_the_replays_forgets_them_too(tmp_path: Path, text: bytes) -> None:
    """As of now there are none."""
    folder = write_ledger(tmp_path, good_run(CONTRACTS))
    roll_back(folder, 1)
    verification = verified(tmp_path, text)
    assert (verification.recorded, verification.basis_entries) == (False, 1)
    assert ("/replay_receipt/successful_replays", "0") in [(d.pointer, d.expected) for d in verification.differences]


def test_a_broken_manifest_gives_no_basis(tmp_path: Path, text: bytes) -> None:
    """Its first entry changed: nothing can rest on the record, and the file is named."""
    folder = write_ledger(tmp_path, good_run(CONTRACTS))
    (folder / "manifest/0.json").write_bytes(b"{}")
    with pytest.raises(Damaged) as refused:
        verified(tmp_path, text)
    assert refused.value.file == "manifest/0.json"


def test_a_later_derivation_asks_for_an_upgrade(tmp_path: Path, text: bytes) -> None:
    """What it means is not known here."""
    write_ledger(tmp_path, until_record(forged(derivation_version=2)))
    with pytest.raises(CannotDecide, match="a receipt of derivation 2; this knows 1: upgrade"):
        verified(tmp_path, text)


def test_a_later_replay_changes_no_recorded_verdict(tmp_path: Path) -> None:
    """It is in the ledger and not in the basis; only what is derived as of now counts it."""
    folder = write_ledger(tmp_path / "ledger", good_run(CONTRACTS))
    shards = write_shards(tmp_path / "corpus", CONTRACTS)
    with open_run(tmp_path / "ledger", RUN_ID) as opened:
        row = opened.first("select document from receipt_recorded")
    assert row is not None
    before = verified(tmp_path / "ledger", row[0].encode())
    record_replay(folder, shards, "0")
    assert before == verified(tmp_path / "ledger", row[0].encode())
    assert (before.recorded, before.differences) == (True, [])
    with open_run(tmp_path / "ledger", RUN_ID) as opened:
        now = derive_receipt(opened)
        assert now.replay_receipt.successful_replays == 3
        verification = verify_receipt(opened, encode_document(now).encode())
    assert (verification.recorded, verification.differences) == (False, [])
