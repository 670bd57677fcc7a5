"""A receipt's text is compared with what its ledger gives: field by field, byte by byte."""

import json
from typing import Any

import pytest

from psion_ledger.ledger import Run
from psion_ledger.receipts import PretrainStageReceipt, derive_receipt
from psion_ledger.receipts.verify import compare
from tests.receipts.forging import put, resealed
from tests.receipts.good_receipt import pointers

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
