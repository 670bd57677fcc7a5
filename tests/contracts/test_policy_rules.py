"""What a sampling policy must hold by itself: each test breaks one rule of the small policy."""

import pytest

from psion_ledger.contracts.finding import ContractFinding
from psion_ledger.contracts.sampling_policy import rules
from tests.documents import changed, small_policy

F = ContractFinding
AT = "sampling_policy#"
WEIGHTS = f"{AT}/source_family_weights"
CAPS = f"{AT}/source_contribution_caps"
CLASSES = f"{AT}/content_class_token_share_report"
THRESHOLDS = f"{AT}/regression_thresholds"
REGION = {
    "source_id": "json",
    "document_id": "json:decoder",
    "section_id": "1",
    "downweight_multiplier_bps": 5000,
    "maximum_region_token_share_bps": 100,
    "rationale": "It repeats itself.",
}

CASES: dict[str, tuple[dict[str, object], list[ContractFinding]]] = {
    "schema_version": (
        {"/schema_version": "v2"},
        [F("SchemaVersionMismatch", f"{AT}/schema_version", "psion.sampling_policy.v1", "v2")],
    ),
    "blank_rationale": (
        {"/source_family_weights/0/rationale": ""},
        [F("MissingField", f"{WEIGHTS}/0/rationale", "text that is not white space", "")],
    ),
    "weight_total": (
        {"/source_family_weights/0/sampling_weight_bps": 3999},
        [F("ShareTotalMismatch", WEIGHTS, "10000", "9999")],
    ),
    "weight_of_nothing": (
        {
            "/source_family_weights/0/sampling_weight_bps": 0,
            "/source_family_weights/1/sampling_weight_bps": 10_000,
        },
        [F("InvalidBpsValue", f"{WEIGHTS}/0/sampling_weight_bps", "1 to 10000", "0")],
    ),
    "family_weighed_twice": (
        {
            "/source_family_weights/0/source_family_id": "library_docstrings",
        },
        [F("DuplicateEntry", f"{WEIGHTS}/1", "each name once", "library_docstrings")],
    ),
    "family_cap": (
        {"/source_family_weights/0/maximum_family_token_share_bps": 10_001},
        [F("InvalidBpsValue", f"{WEIGHTS}/0/maximum_family_token_share_bps", "0 to 10000", "10001")],
    ),
    "source_cap": (
        {"/source_contribution_caps/2/maximum_source_token_share_bps": 10_001},
        [F("InvalidBpsValue", f"{CAPS}/2/maximum_source_token_share_bps", "0 to 10000", "10001")],
    ),
    "source_capped_twice": (
        {"/source_contribution_caps/2/source_id": "json"},
        [F("DuplicateEntry", f"{CAPS}/2", "each name once", "json")],
    ),
    "region_multiplier_of_nothing": (
        {"/repetitive_region_controls/-": {**REGION, "downweight_multiplier_bps": 0}},
        [
            F(
                "InvalidBpsValue",
                f"{AT}/repetitive_region_controls/0/downweight_multiplier_bps",
                "1 to 10000",
                "0",
            )
        ],
    ),
    "region_multiplier_above_one": (
        {"/repetitive_region_controls/-": {**REGION, "downweight_multiplier_bps": 10_001}},
        [
            F(
                "InvalidBpsValue",
                f"{AT}/repetitive_region_controls/0/downweight_multiplier_bps",
                "1 to 10000",
                "10001",
            )
        ],
    ),
    "region_share": (
        {"/repetitive_region_controls/-": {**REGION, "maximum_region_token_share_bps": 10_001}},
        [
            F(
                "InvalidBpsValue",
                f"{AT}/repetitive_region_controls/0/maximum_region_token_share_bps",
                "0 to 10000",
                "10001",
            )
        ],
    ),
    "class_missing": (
        {
            "/content_class_token_share_report": [
                {"content_class": "prose", "observed_token_share_bps": 6000},
                {"content_class": "code", "observed_token_share_bps": 4000},
            ]
        },
        [F("CoverageMismatch", CLASSES, "spec_text", "absent")],
    ),
    "class_reported_twice": (
        {"/content_class_token_share_report/-": {"content_class": "code", "observed_token_share_bps": 0}},
        [F("DuplicateEntry", f"{CLASSES}/3", "each name once", "code")],
    ),
    "class_total": (
        {"/content_class_token_share_report/0/observed_token_share_bps": 5999},
        [F("ShareTotalMismatch", CLASSES, "10000", "9999")],
    ),
    "class_above_its_families_caps": (
        {
            "/content_class_token_share_report/0/observed_token_share_bps": 7001,
            "/content_class_token_share_report/2/observed_token_share_bps": 2999,
        },
        [
            F(
                "ShareAboveCap",
                f"{CLASSES}/0/observed_token_share_bps",
                "at most 7000, the caps of its families together",
                "7001",
            )
        ],
    ),
    "class_without_a_family": (
        {
            "/content_class_token_share_report/0/observed_token_share_bps": 5999,
            "/content_class_token_share_report/1/observed_token_share_bps": 1,
        },
        [
            F(
                "ShareAboveCap",
                f"{CLASSES}/1/observed_token_share_bps",
                "at most 0, the caps of its families together",
                "1",
            )
        ],
    ),
    "code_above_its_ceiling": (
        {"/maximum_code_token_ratio_bps": 3999},
        [
            F(
                "ShareAboveCap",
                f"{CLASSES}/2/observed_token_share_bps",
                "at most 3999, the maximum code token ratio",
                "4000",
            )
        ],
    ),
    "code_ceiling": (
        {"/maximum_code_token_ratio_bps": 10_001},
        [F("InvalidBpsValue", f"{AT}/maximum_code_token_ratio_bps", "0 to 10000", "10001")],
    ),
    "threshold_missing": (
        {"/regression_thresholds/4/regression_kind": "tradeoff_reasoning"},
        [
            F("DuplicateEntry", f"{THRESHOLDS}/4", "each name once", "tradeoff_reasoning"),
            F("CoverageMismatch", THRESHOLDS, "coding_fluency", "absent"),
        ],
    ),
    "threshold": (
        {"/regression_thresholds/0/maximum_regression_bps": 10_001},
        [F("InvalidBpsValue", f"{THRESHOLDS}/0/maximum_regression_bps", "0 to 10000", "10001")],
    ),
}


def test_a_whole_policy_is_accepted() -> None:
    """The small policy, which every case below starts from; a sound region; code exactly at its ceiling."""
    assert rules(small_policy()) == []
    assert rules(changed(small_policy(), {"/maximum_code_token_ratio_bps": 4000})) == []
    assert rules(changed(small_policy(), {"/repetitive_region_controls/-": REGION})) == []


@pytest.mark.parametrize("name", CASES)
def test_a_broken_rule_is_found(name: str) -> None:
    """One change, and exactly the findings that it deserves."""
    changes, expected = CASES[name]
    assert expected == rules(changed(small_policy(), changes))


def test_an_observed_share_outside_basis_points_is_found() -> None:
    """More than everything: outside the range, above the cap, and the total with it."""
    at = f"{CLASSES}/0/observed_token_share_bps"
    expected = [
        F("InvalidBpsValue", at, "0 to 10000", "10001"),
        F("ShareAboveCap", at, "at most 7000, the caps of its families together", "10001"),
        F("ShareTotalMismatch", CLASSES, "10000", "14001"),
    ]
    changes: dict[str, object] = {"/content_class_token_share_report/0/observed_token_share_bps": 10_001}
    assert expected == rules(changed(small_policy(), changes))
