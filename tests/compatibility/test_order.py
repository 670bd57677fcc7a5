"""The original's checks in its order: of two broken ones, the earlier is the verdict."""

import json
from typing import Any, NamedTuple

import pytest

from tests.compatibility import fixture_documents, fixture_inputs, put
from tests.compatibility.full import TEXT as RECEIPT

CONFIG = fixture_documents().stage_config
MISSING, FIELD, BPS, DELIVERED = "MissingField", "FieldMismatch", "InvalidBpsValue", "InvalidDeliveredExecution"
ROW = "/source_family_reports/1"
REPLAY, LINEAGE, EXECUTION = "/replay_receipt", "/checkpoint_lineage", "/delivered_execution"


class Break(NamedTuple):
    """A value that one check refuses, and the name that it gives; `rank` is the check's place in the order."""

    rank: int
    document: str
    pointer: str
    value: Any
    verdict: str


def _breaks() -> list[Break]:
    row = json.loads(RECEIPT)["source_family_reports"][1]
    known = {"model_id", "model_descriptor_digest", "tokenizer_binding_digest", "dataset_identity"}
    six = (*sorted(known, key=list(json.loads(CONFIG)).index), "sampling_policy_id", "sampling_policy_version")
    objective = "/objective_config"
    config: list[list[tuple[str, Any, str]]] = [
        [("/schema_version", "", MISSING), ("/schema_version", "v2", "SchemaVersionMismatch")],
        [("/run_id", " ", MISSING)],
        [("/stage_id", "", MISSING)],
        [("/stage_kind", "rl", "StageKindMismatch")],
        *([(f"/{name}", "", MISSING), (f"/{name}", "x", FIELD)] for name in six),
        [(f"{objective}/label_smoothing_bps", 10_001, BPS)],
        [(f"{objective}/tokenizer_binding_digest", "", MISSING), (f"{objective}/tokenizer_binding_digest", "x", FIELD)],
        [(f"{objective}/dataset_identity", "", MISSING), (f"{objective}/dataset_identity", "x", FIELD)],
        [(f"{objective}/max_context_tokens", 33, "ContextLengthMismatch")],
    ]
    receipt: list[list[tuple[str, Any, str]]] = [
        [("/schema_version", "", MISSING), ("/schema_version", "v2", "SchemaVersionMismatch")],
        [("/run_id", "", MISSING), ("/run_id", "x", FIELD)],
        [("/stage_id", "", MISSING), ("/stage_id", "x", FIELD)],
        [("/stage_kind", "rl", "StageKindMismatch")],
        *([(f"/{name}", "", MISSING), (f"/{name}", "x", FIELD)] for name in six),
        [("/objective_config/label_smoothing_bps", 1, "ObjectiveConfigMismatch")],
        # The checks of a row; the first row that fails one is named, whatever the rows behind it hold.
        [(f"{ROW}/split_name", "", MISSING)],
        [(f"{ROW}/source_family_id", "\u3000", MISSING)],
        [(f"{ROW}/detail", "", MISSING)],
        [(f"{ROW}/split_name", "unknown", "UnknownSplitName")],
        [(f"{ROW}/split_kind", "custom", "SplitKindMismatch")],
        [(f"{ROW}/source_family_id", "unknown", "UnknownSourceFamilyForSplit")],
        [(f"{ROW}/source_ids", [], MISSING)],
        [(f"{ROW}/source_ids", [*row["source_ids"], "x"], "UnknownSourceIdForFamily")],
        [(f"{ROW}/token_share_bps_within_split", 10_001, BPS)],
        [(f"{ROW}/sequence_share_bps_within_split", 10_001, BPS)],
        [("/source_family_reports/2", row, "DuplicateSourceFamilyReportRow")],
        [("/source_family_reports", json.loads(RECEIPT)["source_family_reports"][:-1], "SourceFamilyCoverageMismatch")],
        [(f"{ROW}/token_share_bps_within_split", 1, "InvalidSplitShareTotal")],
        [(f"{ROW}/sequence_share_bps_within_split", 1, "InvalidSplitShareTotal")],
        [(f"{REPLAY}/receipt_id", "", MISSING)],
        [(f"{REPLAY}/summary", "", MISSING)],
        [(f"{REPLAY}/stable_dataset_identity", "", MISSING), (f"{REPLAY}/stable_dataset_identity", "x", FIELD)],
        [
            (f"{REPLAY}/iteration_mode", "single_pass", "ReplayContractMismatch"),
            (f"{REPLAY}/shard_ordering", "manifest_order", "ReplayContractMismatch"),
            (f"{REPLAY}/deterministic_shuffle_seed", 8, "ReplayContractMismatch"),
        ],
        [(f"{REPLAY}/successful_replays", 0, "MissingSuccessfulReplay")],
        [(f"{REPLAY}/replay_digest", "x", "ReplayDigestMismatch")],
        [(f"{LINEAGE}/receipt_id", "", MISSING)],
        [(f"{LINEAGE}/promoted_checkpoint_label", "", MISSING)],
        [(f"{LINEAGE}/model_id", "", MISSING), (f"{LINEAGE}/model_id", "x", FIELD)],
        [(f"{LINEAGE}/model_descriptor_digest", "", MISSING), (f"{LINEAGE}/model_descriptor_digest", "x", FIELD)],
        [(f"{LINEAGE}/promoted_checkpoint/checkpoint_family", "", MISSING)],
        [(f"{LINEAGE}/base_checkpoint/checkpoint_family", "x", "CheckpointFamilyMismatch")],
        [(f"{LINEAGE}/checkpoint_lineage_digest", "x", "CheckpointLineageDigestMismatch")],
        [(f"{EXECUTION}/runtime_backend", "", MISSING)],
        [(f"{EXECUTION}/selected_devices", [], DELIVERED)],
        [(f"{EXECUTION}/execution_topology/effective_backend", "cpu", DELIVERED)],
        [("/accelerator_execution/detail", "", MISSING)],
        [("/accelerator_execution/optimizer_steps_completed", 0, DELIVERED)],
        [("/accelerator_execution/mean_step_latency_ms", 0, DELIVERED)],
        [(EXECUTION, None, DELIVERED)],
        [("/summary", "", MISSING)],
        [("/receipt_digest", "x", "ReceiptDigestMismatch")],
    ]
    checks = [("config", check) for check in config] + [("receipt", check) for check in receipt]
    return [
        Break(rank, document, pointer, value, verdict)
        for rank, (document, check) in enumerate(checks)
        for pointer, value, verdict in check
    ]


BREAKS = _breaks()


def verdict(*breaks: Break) -> tuple[str, str]:
    texts = {"config": CONFIG, "receipt": RECEIPT}
    for broken in breaks:
        texts[broken.document] = put(texts[broken.document], broken.pointer, broken.value)
    return fixture_inputs().verdict(texts["config"], texts["receipt"])


def named(broken: Break) -> tuple[str, str]:
    """A config that fails is the receipt's verdict too."""
    return (broken.verdict if broken.document == "config" else "ok", broken.verdict)


@pytest.mark.parametrize("broken", BREAKS, ids=lambda b: f"{b.document}{b.pointer}-{b.verdict}")
def test_each_broken_check_is_named(broken: Break) -> None:
    """One value alone."""
    assert named(broken) == verdict(broken)


def test_of_two_broken_checks_the_earlier_is_named() -> None:
    """Every two values that stand at different places and are refused by different names."""
    wrong = {
        (first.document, first.pointer, second.document, second.pointer): (named(first), found)
        for first in BREAKS
        for second in BREAKS
        if first.rank < second.rank and first.verdict != second.verdict and _apart(first, second)
        if (found := verdict(first, second)) != named(first)
    }
    assert wrong == {}


def _apart(first: Break, second: Break) -> bool:
    """Neither value is inside the other's."""
    return first.document != second.document or not (
        f"{first.pointer}/".startswith(f"{second.pointer}/") or f"{second.pointer}/".startswith(f"{first.pointer}/")
    )


@pytest.mark.parametrize("space", ["\t", "\n", "\x0b", "\x0c", "\r", " ", "\x85", "\xa0", "\u1680", "\u2000", "\u200a",
                                   "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"], ids=ascii)  # fmt: skip
def test_white_space_is_an_empty_field(space: str) -> None:
    """Unicode's White_Space, alone or repeated."""
    assert verdict(Break(0, "receipt", "/summary", space, "")) == ("ok", "MissingField")
    assert verdict(Break(0, "receipt", "/summary", f"{space} {space}", "")) == ("ok", "MissingField")


@pytest.mark.parametrize("mark", ["\x1c", "\x1d", "\x1e", "\x1f", "\u180e", "\u200b", "\u2060", "\ufeff"], ids=ascii)
def test_what_only_looks_empty_is_a_field(mark: str) -> None:
    """Python's strip() would take the first four; the original does not."""
    assert verdict(Break(0, "receipt", "/summary", mark, "")) == ("ok", "ReceiptDigestMismatch")
