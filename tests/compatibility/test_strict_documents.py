"""The strict reading of the other documents, of texts as texts, and of the measured changes."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from psion_ledger.contracts import decode_document, model_descriptor_digest
from psion_ledger.receipts import decode_receipt, strict
from psion_ledger.receipts.strict import Documents
from tests.compatibility import cases, inputs_of, put, sampled, text_of, upstream_documents
from tests.compatibility.full import TEXT
from tests.compatibility.test_strict import AT, BASE, EXECUTION, FULL_DOCUMENTS, LINEAGE, PROMOTED, Row, resealed, rows
from tests.documents import changed, needs_upstream

EMPTY_SPLIT = {
    "split_name": "train", "kind": "train", "shard_ids": [], "source_family_ids": [], "sequence_count": 0,
    "token_count": 0,
}  # fmt: skip
CORPUS, POLICY = "tokenized_corpus#", "sampling_policy#"
INPUTS: dict[str, tuple[str, str, object, list[Row]]] = {
    "a corpus split twice": (
        "tokenized_corpus", "/splits/-", EMPTY_SPLIT,
        [
            ("UnknownSourceFamilyForSplit", "receipt#", "ok", "UnknownSourceFamilyForSplit"),
            ("DuplicateEntry", f"{CORPUS}/splits/3", "each name once", "train"),
        ],
    ),
    "a corpus source twice": (
        "tokenized_corpus", "/source_family_bindings/0/source_ids/-", "field_notes/field_notes_0",
        [("DuplicateEntry", f"{CORPUS}/source_family_bindings/0/source_ids/3", "each name once",
        "field_notes/field_notes_0")],
    ),
    "a corpus count": (
        "tokenized_corpus", "/splits/0/token_count", 1,
        [("CountMismatch", f"{CORPUS}/splits/0/token_count", "640", "1")],
    ),
    "a corpus of another tokenizer": (
        "tokenized_corpus", "/tokenizer/vocab_size", 1,
        [("FieldMismatch", "model_descriptor#/tokenizer_binding/vocab_size", "1", "320")],
    ),
    "a corpus with an empty digest": (
        "tokenized_corpus", "/shards/0/shard_digest", "",
        [("MissingField", f"{CORPUS}/shards/0/shard_digest", "text that is not white space", "")],
    ),
    "a policy's weights": (
        "sampling_policy", "/source_family_weights/0/sampling_weight_bps", 1,
        [("ShareTotalMismatch", f"{POLICY}/source_family_weights", "10000", "4345")],
    ),
    "a policy's families": (
        "sampling_policy", "/source_family_weights/0/source_family_id", "x",
        [
            ("SourceFamilyCoverageMismatch", f"{POLICY}/source_family_weights", "field_notes", "absent"),
            ("SourceFamilyCoverageMismatch", f"{POLICY}/source_family_weights", "absent", "x"),
        ],
    ),
    "a policy's source caps": (
        "sampling_policy", "/source_contribution_caps/0/source_id", "x",
        [
            ("CoverageMismatch", f"{POLICY}/source_contribution_caps", "field_notes/field_notes_0", "absent"),
            ("CoverageMismatch", f"{POLICY}/source_contribution_caps", "absent", "x"),
        ],
    ),
    "a policy's content classes": (
        "sampling_policy", "/content_class_token_share_report/1/content_class", "prose",
        [
            ("DuplicateEntry", f"{POLICY}/content_class_token_share_report/1", "each name once", "prose"),
            ("CoverageMismatch", f"{POLICY}/content_class_token_share_report", "spec_text", "absent"),
        ],
    ),
    "a policy of another packing": (
        "sampling_policy", "/packing_policy_version", "v2",
        [("FieldMismatch", f"{POLICY}/packing_policy_version", "v1", "v2")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("role", "pointer", "value", "expected"), INPUTS.values(), ids=INPUTS)
def test_an_input_that_fails_its_own_rules(role: Any, pointer: str, value: object, expected: list[Row]) -> None:
    """Corpus and policy: no digest of theirs is in the config, so the original accepts nearly all of it."""
    document = changed(decode_document(role, getattr(FULL_DOCUMENTS, role)), {pointer: value})
    assert rows(msgspec.structs.replace(FULL_DOCUMENTS, **{role: text_of(document)})) == expected


def test_a_descriptor_that_fails_its_own_rules() -> None:
    """Under a config and a receipt that are bound to it by its new digest."""
    descriptor = decode_document("model_descriptor", FULL_DOCUMENTS.model_descriptor)
    count = descriptor.parameter_count_estimate
    descriptor = changed(descriptor, {"/parameter_count_estimate": 1, "/config/block/attention/kv_head_count": 2})
    digest = model_descriptor_digest(descriptor)
    bound = {"/model_descriptor_digest": digest, f"{LINEAGE}/model_descriptor_digest": digest}
    texts = msgspec.structs.replace(
        FULL_DOCUMENTS,
        model_descriptor=text_of(descriptor),
        stage_config=put(FULL_DOCUMENTS.stage_config, "/model_descriptor_digest", digest),
        receipt=resealed({**bound}),
    )
    assert inputs_of(texts).verdict(texts.stage_config, texts.receipt) == ("ok", "ok")
    assert rows(texts) == [
        ("FieldMismatch", "model_descriptor#/config/block/attention/kv_head_count", "4", "2"),
        ("FieldMismatch", "model_descriptor#/parameter_count_estimate", str(count), "1"),
    ]


# ---- Texts ----


@pytest.mark.parametrize("role", Documents.__struct_fields__)
def test_a_key_that_stands_twice(role: str) -> None:
    """In any of the five; readers differ on which of the two counts."""
    text = getattr(FULL_DOCUMENTS, role)
    twice = text.replace(b'"schema_version"', b'"schema_version": "first", "schema_version"', 1)
    found = rows(msgspec.structs.replace(FULL_DOCUMENTS, **{role: twice}))
    assert ("DuplicateKey", f"{role}#/schema_version", "once", "2 times") in found
    assert {code for code, *_ in found} <= {"DuplicateKey", "Malformed", "parse", "not_run"}


def test_keys_that_stand_twice_are_named_by_their_pointers() -> None:
    """Where they stand, escaped (RFC 6901), and how often; also where the original does not look."""
    extra = b'{"a/b~": [0, {"c": 1, "c": 2, "c": 3}], "\\ud800": 1, "\\ud800": 2, "a/b~": 0}'
    found = rows(msgspec.structs.replace(FULL_DOCUMENTS, receipt=b'{"x": ' + extra + b"," + TEXT[1:]))
    assert found == [
        ("DuplicateKey", "receipt#/x/a~1b~0", "once", "2 times"),
        ("DuplicateKey", "receipt#/x/\\ud800", "once", "2 times"),
        ("DuplicateKey", "receipt#/x/a~1b~0/1/c", "once", "3 times"),
        ("Malformed", "receipt#", "its own schema", found[-1][3]),
    ]
    assert "not JSON in UTF-8" in found[-1][3]


SPELLINGS = {
    "an unknown key": (TEXT.replace(b'"run_id"', b'"x": 0, "run_id"', 1), f"{AT}/x"),
    "a struct as an array": (
        put(TEXT, "/accelerator_execution", [True, 40, 20, "It ran."]),
        f"{AT}/accelerator_execution",
    ),
    "an enum as an object": (put(TEXT, "/stage_kind", {"pretrain": None}), f"{AT}/stage_kind"),
    "an integer of more than 64 bits": (put(TEXT, f"{PROMOTED}/step", -1), f"{AT}{PROMOTED}/step"),
    "another version": (put(TEXT, "/schema_version", "v2"), f"{AT}/schema_version"),
    "no JSON": (TEXT[:-3], AT),
}


@pytest.mark.parametrize(("receipt", "pointer"), SPELLINGS.values(), ids=SPELLINGS)
def test_a_receipt_that_is_not_in_its_own_schema(receipt: bytes, pointer: str) -> None:
    """Some of these the original reads; our documents have one way to say a thing."""
    (code, at, expected, actual) = rows(msgspec.structs.replace(FULL_DOCUMENTS, receipt=receipt))[-1]
    assert (code, at, expected) == ("Malformed", pointer, "its own schema")
    assert actual.startswith(f"{pointer}: ")


@pytest.mark.parametrize("role", ["model_descriptor", "tokenized_corpus", "sampling_policy"])
def test_an_input_that_cannot_be_read(role: str) -> None:
    """Neither by the original nor by us: two findings at its role, and nothing about the rest."""
    found = rows(msgspec.structs.replace(FULL_DOCUMENTS, **{role: b"{}"}))
    assert [(code, at, expected) for code, at, expected, _ in found] == [
        ("Malformed", f"{role}#", "a document that the original reads"),
        ("Malformed", f"{role}#/schema_version", "its own schema"),
    ]


def test_every_code_of_the_strict_reading_is_tried() -> None:
    """Those that its module lists as its own."""
    listed = re.search(r"verdict names: ([^.]*)\.", strict.__doc__ or "")
    assert listed is not None
    codes = set(re.split(r",\s+", listed[1]))
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_strict*.py")]
    asserted = {code for text in texts for code in re.findall(r'\("(\w+)", ', text)}
    assert codes - asserted == set()
    assert len(codes) == 14


# ---- The measured changes ----

# What issue and README name, by note; each has cases that the original accepts.
NAMED_NOTES = {
    "promoted_checkpoint_not_durable": "NotDurable",
    "base_newer_than_promoted": "BaseNotOlder",
    "replay_not_exact": "ReplayNotExact",
    "backend_cpu_all": "AcceleratorOnCpu",
    "backend_cpu_with_accelerator": "AcceleratorOnCpu",
    "empty_stream_and_object": "MissingField",
    "share_extreme_tokens_10000_0": "ShareAboveCap",
    "source_ids_repeat_same_id_many": "DuplicateEntry",
    "steps_exceed_checkpoint_step": "StepsBeyondCheckpoint",
    "collision_base_stream_object_shift": "SeparatorInIdentity",
    "collision_device_in_backend": "SeparatorInIdentity",
    "collision_drop_topology_into_device": "SeparatorInIdentity",
    "collision_hide_accelerator_in_device_id": "SeparatorInIdentity",
    "collision_hide_accelerator_in_summary": "SeparatorInIdentity",
    "collision_hide_base_in_label": "SeparatorInIdentity",
    "collision_hide_executions_in_summary": "SeparatorInIdentity",
    "collision_shift_pipe_lineage_receipt_id_family": "SeparatorInIdentity",
    "collision_two_devices_in_one": "SeparatorInIdentity",
}
# The same for single values: whatever the original accepts there, by path and operation.
NAMED_PATHS = {
    ("/replay_receipt/exact_replay_observed", "set"): "ReplayNotExact",
    ("/accelerator_execution/accelerator_backed", "set"): "AcceleratorNotBacked",
    (f"{PROMOTED}/durable_at_ms", "remove"): "NotDurable",
    (f"{PROMOTED}/durable_at_ms", "set_type"): "NotDurable",
    (f"{BASE}/durable_at_ms", "remove"): "NotDurable",
    (f"{PROMOTED}/step", "remove"): "StepMissing",
    (f"{PROMOTED}/step", "set_type"): "StepMissing",
    (f"{EXECUTION}/selected_devices", "list_dup"): "DuplicateEntry",
    (f"{EXECUTION}/selected_devices", "list_dup_adjacent"): "DuplicateEntry",
    ("/source_family_reports/0/source_ids", "list_dup"): "DuplicateEntry",
    ("/source_family_reports/1/source_ids", "list_dup"): "DuplicateEntry",
    (f"{EXECUTION}/execution_topology/kind", "set_enum"): "TopologyMismatch",
    (f"{EXECUTION}/execution_topology/assignments", "list_drop"): "TopologyMismatch",
    (f"{EXECUTION}/execution_topology/assignments/0/device/stable_device_id", "set"): "DeviceNotSelected",
    ("/run_id", "set"): "StageIdMismatch",
    ("/stage_id", "set"): "StageIdMismatch",
}


@needs_upstream
def test_what_the_original_accepts_and_should_not_is_found_among_the_measured_changes() -> None:
    """Every accepted case of these notes and paths, by the code that says what is wrong with it."""
    texts, found, missed = upstream_documents(), set(), []
    for case in cases(sampled(100_000, "note", accepted=True)):
        named = {case.note: NAMED_NOTES.get(case.note), (case.path, case.op): NAMED_PATHS.get((case.path, case.op))}
        for key, code in named.items():
            if code is None:
                continue
            changes = msgspec.structs.replace(texts, stage_config=case.config, receipt=case.receipt)
            found.add(key)
            if code not in {code for code, *_ in rows(changes)}:
                missed.append((case.name, key))
    assert missed == []
    assert found == NAMED_NOTES.keys() | NAMED_PATHS.keys()


@needs_upstream
def test_a_smuggled_separator_is_found_among_the_measured_changes() -> None:
    """Every accepted change that put a `|` into a text that is no detail."""
    texts, count = upstream_documents(), 0
    for case in cases(sampled(100_000, "note", accepted=True)):
        receipt = decode_receipt(case.receipt) if b"|" in case.receipt else None
        if receipt is not None and "|" in re.sub(r'"detail":"[^"]*"', "", msgspec.json.encode(receipt).decode()):
            count += 1
            found = rows(msgspec.structs.replace(texts, stage_config=case.config, receipt=case.receipt))
            assert "SeparatorInIdentity" in {code for code, *_ in found}, case.name
    assert count == 110
