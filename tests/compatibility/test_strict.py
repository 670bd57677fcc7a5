"""The strict reading: what the original accepts and a ledger must not, each by its code and its JSON pointer."""

import json

import msgspec
import pytest

from psion_ledger.receipts import decode_receipt
from psion_ledger.receipts.strict import Documents, strict_findings
from tests.compatibility import (
    BASES,
    fixture_documents,
    inputs_of,
    put,
    sealed,
    text_of,
    upstream_documents,
)
from tests.compatibility.full import FULL, TEXT
from tests.documents import changed, needs_upstream

FULL_DOCUMENTS = msgspec.structs.replace(fixture_documents(), receipt=TEXT)
AT = "receipt#"
LINEAGE, EXECUTION = "/checkpoint_lineage", "/delivered_execution"
PROMOTED, BASE = f"{LINEAGE}/promoted_checkpoint", f"{LINEAGE}/base_checkpoint"
STARTED = FULL.checkpoint_lineage.promoted_checkpoint.started_at_ms
DURABLE = FULL.checkpoint_lineage.promoted_checkpoint.durable_at_ms
Changes = dict[str, object]
Row = tuple[str, str, str, str]


def rows(texts: Documents) -> list[Row]:
    return [(f.code, f.pointer, f.expected, f.actual) for f in strict_findings(texts)]


def resealed(changes: Changes) -> bytes:
    """The full receipt with these values, and every digest as the original's algorithm gives it."""
    return text_of(sealed(changed(FULL, changes)))


def removed(pointer: str) -> bytes:
    return text_of(sealed(decode_receipt(put(TEXT, pointer, msgspec.UNSET))))


def accepted_with(receipt: bytes) -> list[Row]:
    """The findings of a receipt that the original accepts."""
    texts = msgspec.structs.replace(FULL_DOCUMENTS, receipt=receipt)
    assert inputs_of(texts).verdict(texts.stage_config, receipt) == ("ok", "ok")
    return rows(texts)


def test_a_receipt_with_all_that_one_can_have_has_no_finding() -> None:
    """It, and the fixture's own, which is what the changes below start from."""
    assert accepted_with(TEXT) == []
    assert accepted_with(fixture_documents().receipt) == []


@needs_upstream
@pytest.mark.parametrize("base", BASES)
def test_the_originals_documents_have_no_finding(base: str) -> None:
    """Its canonical inputs, with each of the four receipts."""
    assert rows(upstream_documents(base)) == []


# ---- Receipts that the original accepts ----


def test_a_checkpoint_that_is_not_durable() -> None:
    """Promoted or base: nobody can hand it on."""
    for at in (PROMOTED, BASE):
        expected = [("NotDurable", f"{AT}{at}/durable_at_ms", "when it became durable", "absent")]
        assert accepted_with(removed(f"{at}/durable_at_ms")) == expected
        assert accepted_with(put(TEXT, f"{at}/durable_at_ms", None)) == expected


def test_a_clock_that_was_set_back_condemns_no_checkpoint() -> None:
    """It was durable, by the wall clock, before it was started."""
    assert accepted_with(resealed({f"{PROMOTED}/durable_at_ms": STARTED - 1})) == []


def test_a_checkpoint_without_a_step() -> None:
    """Optional in the original."""
    assert accepted_with(removed(f"{PROMOTED}/step")) == [
        ("StepMissing", f"{AT}{PROMOTED}/step", "the step that it stands at", "absent")
    ]


@pytest.mark.parametrize("later", [0, 1])
def test_a_base_that_is_not_older_than_what_was_promoted(later: int) -> None:
    """By step, and equal is not older; by no clock, which may have been wrong."""
    assert DURABLE is not None
    changes: Changes = {f"{BASE}/step": 40 + later}
    step = ("BaseNotOlder", f"{AT}{BASE}/step", "before 40", str(40 + later))
    assert accepted_with(resealed(changes)) == [step]
    changes |= {f"{BASE}/started_at_ms": STARTED + later, f"{BASE}/durable_at_ms": DURABLE + later}
    assert accepted_with(resealed(changes)) == [step]


def test_a_base_that_is_what_was_promoted() -> None:
    """The same stream or the same weights."""
    promoted = FULL.checkpoint_lineage.promoted_checkpoint
    for name in ("stream_id", "object_digest"):
        value = getattr(promoted, name)
        assert accepted_with(resealed({f"{BASE}/{name}": value})) == [
            ("BaseNotOlder", f"{AT}{BASE}/{name}", "another than the promoted one's", value)
        ]


def test_a_replay_that_was_not_exact() -> None:
    """The original has a word for it in the digest, and accepts it."""
    assert accepted_with(resealed({"/replay_receipt/exact_replay_observed": False})) == [
        ("ReplayNotExact", f"{AT}/replay_receipt/exact_replay_observed", "true", "false")
    ]


HASHED_TEXTS = [
    "/summary", "/replay_receipt/receipt_id", "/replay_receipt/summary", f"{LINEAGE}/receipt_id",
    f"{LINEAGE}/promoted_checkpoint_label", f"{PROMOTED}/stream_id", f"{PROMOTED}/object_digest", f"{BASE}/stream_id",
    f"{BASE}/object_digest", f"{PROMOTED}/manifest_digest", f"{PROMOTED}/writer_node_id", f"{PROMOTED}/checkpoint_ref",
    f"{EXECUTION}/cluster_execution/cluster_id",
]  # fmt: skip


@pytest.mark.parametrize("pointer", HASHED_TEXTS)
def test_a_separator_in_an_identity(pointer: str) -> None:
    """Digests join fields by a `|` that nothing escapes; it may hide a field behind another."""
    expected = [("SeparatorInIdentity", f"{AT}{pointer}", "no `|`", "a|b")]
    assert accepted_with(resealed({pointer: "a|b"})) == expected


def test_a_separator_in_a_detail_hides_nothing() -> None:
    """No digest covers it."""
    details = ["/source_family_reports/0/detail", "/accelerator_execution/detail"]
    assert accepted_with(resealed(dict.fromkeys(details, "a|b"))) == []


@pytest.mark.parametrize("pointer", [
    f"{PROMOTED}/stream_id", f"{PROMOTED}/object_digest", f"{PROMOTED}/manifest_digest",
    f"{PROMOTED}/cluster_state_digest", f"{PROMOTED}/topology_digest", f"{PROMOTED}/writer_node_id",
    f"{BASE}/object_digest", f"{BASE}/manifest_digest", f"{EXECUTION}/cluster_execution/topology_digest",
    f"{EXECUTION}/cluster_execution/cluster_state_digest",
])  # fmt: skip
@pytest.mark.parametrize("empty", ["", " \u3000"])
def test_an_empty_digest_or_identity(pointer: str, empty: str) -> None:
    """The original asks only some fields to say something."""
    expected = [("MissingField", f"{AT}{pointer}", "text that is not white space", empty)]
    assert accepted_with(resealed({pointer: empty})) == expected


def test_a_share_above_the_policys_cap() -> None:
    """Of train tokens; the original consults no cap. Validation has none."""
    shares = {f"/source_family_reports/{n}/token_share_bps_within_split": share for n, share in ((1, 6157), (2, 3843))}
    pointer = f"{AT}/source_family_reports/1/token_share_bps_within_split"
    assert accepted_with(resealed({**shares})) == [("ShareAboveCap", pointer, "at most 6156", "6157")]
    shares = {f"/source_family_reports/{n}/token_share_bps_within_split": share for n, share in ((3, 10_000), (4, 0))}
    assert accepted_with(resealed({**shares})) == []


def test_an_id_that_stands_twice() -> None:
    """A source of a row, a device, a shard."""
    source = FULL.source_family_reports[1].source_ids[0]
    assert accepted_with(resealed({"/source_family_reports/1/source_ids/-": source})) == [
        ("DuplicateEntry", f"{AT}/source_family_reports/1/source_ids/3", "each name once", source)
    ]
    device = json.loads(TEXT)["delivered_execution"]["selected_devices"][0]
    assert accepted_with(resealed({f"{EXECUTION}/selected_devices/-": device})) == [
        ("DuplicateEntry", f"{AT}{EXECUTION}/selected_devices/2", "each name once", "cuda:0")
    ]
    at = f"{EXECUTION}/execution_topology/assignments"
    assert accepted_with(resealed({f"{at}/1/shard_id": 0})) == [
        ("DuplicateEntry", f"{AT}{at}/1", "each name once", "0")
    ]


def test_free_memory_above_the_total() -> None:
    """In bytes; equal is not above."""
    at = f"{EXECUTION}/selected_devices/1/free_memory_bytes"
    assert accepted_with(resealed({at: 2**34 + 1})) == [
        ("FreeMemoryAboveTotal", f"{AT}{at}", f"at most {2**34}", str(2**34 + 1))
    ]
    assert accepted_with(resealed({at: 2**34})) == []


def test_an_accelerator_on_a_cpu_backend() -> None:
    """The claim itself, and the devices that go with it."""
    cpu: Changes = {f"{EXECUTION}/runtime_backend": "cpu", f"{EXECUTION}/execution_topology/effective_backend": "cpu"}
    claim = ("AcceleratorOnCpu", f"{AT}/accelerator_execution", "absent on a cpu backend", "present")
    devices = [
        ("AcceleratorOnCpu", f"{AT}{EXECUTION}/selected_devices/{n}/{name}", expected, actual)
        for n in (0, 1)
        for name, expected, actual in (
            ("performance_class", "reference", "discrete_accelerator"),
            ("memory_class", "host_only", "dedicated_device"),
        )
    ]
    assert accepted_with(resealed(cpu)) == [*devices, claim]


def test_an_accelerator_without_an_accelerator_among_the_devices() -> None:
    """The backend is not a cpu's, every device is."""
    changes = {f"{EXECUTION}/selected_devices/{n}/performance_class": "reference" for n in (0, 1)}
    assert accepted_with(resealed({**changes})) == [
        ("AcceleratorOnCpu", f"{AT}/accelerator_execution", "an accelerator among the devices", "none")
    ]


def test_an_accelerator_that_did_not_run() -> None:
    """A report of one that says so itself."""
    at = "/accelerator_execution/accelerator_backed"
    assert accepted_with(resealed({at: False})) == [("AcceleratorNotBacked", f"{AT}{at}", "true", "false")]


def test_more_steps_than_the_checkpoint_has() -> None:
    """The promoted checkpoint stands at step 40."""
    at = "/accelerator_execution/optimizer_steps_completed"
    assert accepted_with(resealed({at: 41})) == [
        ("StepsBeyondCheckpoint", f"{AT}{at}", "at most the checkpoint's 40", "41")
    ]


def test_a_topology_that_does_not_fit_its_devices() -> None:
    """Its kind, the devices that it names, and where they are."""
    at = f"{EXECUTION}/execution_topology"
    assert accepted_with(resealed({f"{at}/kind": "single_device"})) == [
        ("TopologyMismatch", f"{AT}{at}/kind", "fits 2 assignments", "single_device")
    ]
    one = json.loads(TEXT)["delivered_execution"]["execution_topology"]["assignments"][:1]
    assert accepted_with(resealed({f"{at}/assignments": one})) == [
        ("TopologyMismatch", f"{AT}{at}/kind", "fits 1 assignments", "replicated")
    ]
    device = f"{at}/assignments/0/device"
    assert accepted_with(resealed({f"{device}/stable_device_id": "cuda:7"})) == [
        ("DeviceNotSelected", f"{AT}{device}/stable_device_id", "a selected device", "cuda:7")
    ]
    assert accepted_with(resealed({f"{device}/topology_key": "0000:07:00.0"})) == [
        ("FieldMismatch", f"{AT}{device}/topology_key", "0000:00:00.0", "0000:07:00.0")
    ]


def test_a_stage_that_is_not_the_runs_first() -> None:
    """The stage program names stages by run, number and kind; a pretrain stage is the first."""
    texts = msgspec.structs.replace(
        FULL_DOCUMENTS,
        stage_config=put(FULL_DOCUMENTS.stage_config, "/stage_id", "another"),
        receipt=resealed({"/stage_id": "another"}),
    )
    assert inputs_of(texts).verdict(texts.stage_config, texts.receipt) == ("ok", "ok")
    expected = ("StageIdMismatch", f"{AT}/stage_id", "fixture-stage-1-pretrain", "another")
    assert rows(texts) == [expected]


# ---- Receipts and configs that the original refuses ----


def test_the_originals_own_verdict_is_a_finding() -> None:
    """With every other fault beside it, not the first alone."""
    receipt = put(put(TEXT, "/summary", "x"), f"{PROMOTED}/durable_at_ms", msgspec.UNSET)
    assert rows(msgspec.structs.replace(FULL_DOCUMENTS, receipt=receipt)) == [
        ("ReceiptDigestMismatch", AT, "ok", "ReceiptDigestMismatch"),
        ("NotDurable", f"{AT}{PROMOTED}/durable_at_ms", "when it became durable", "absent"),
    ]


def test_every_fault_of_a_config_is_found() -> None:
    """The original names the first."""
    config = put(FULL_DOCUMENTS.stage_config, "/model_id", "x")
    config = put(config, "/objective_config/max_context_tokens", 33)
    model_id = FULL.model_id
    assert rows(msgspec.structs.replace(FULL_DOCUMENTS, stage_config=config)) == [
        ("FieldMismatch", "stage_config#", "ok", "FieldMismatch"),
        ("FieldMismatch", "receipt#", "ok", "FieldMismatch"),
        ("FieldMismatch", "stage_config#/model_id", model_id, "x"),
        ("ContextLengthMismatch", "stage_config#/objective_config/max_context_tokens", "32", "33"),
    ]
