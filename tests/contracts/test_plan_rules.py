"""What a sampling plan must hold by itself: each test breaks one rule of the small plan."""

import pytest

from psion_ledger.contracts.finding import ContractFinding
from psion_ledger.contracts.sampling_plan import rules
from tests.documents import changed, small_plan

F = ContractFinding
AT = "sampling_plan#"
FAMILIES = f"{AT}/families"
SETS = f"{AT}/evaluation_sets"

CASES: dict[str, tuple[dict[str, object], list[ContractFinding]]] = {
    "schema_version": (
        {"/schema_version": "v2"},
        [F("SchemaVersionMismatch", f"{AT}/schema_version", "psion_ledger.sampling_plan.v1", "v2")],
    ),
    "blank_sampler": (
        {"/sampler_name": "\u2003"},
        [F("MissingField", f"{AT}/sampler_name", "text that is not white space", "\u2003")],
    ),
    "no_horizon": (
        {"/horizon_steps": 0},
        [F("InvalidCount", f"{AT}/horizon_steps", "at least 1", "0")],
    ),
    "no_micro_step": (
        {"/micro_steps": 0},
        [F("InvalidCount", f"{AT}/micro_steps", "at least 1", "0")],
    ),
    "no_batch": (
        {"/global_batch_sequences": 0},
        [F("InvalidCount", f"{AT}/global_batch_sequences", "at least 1", "0")],
    ),
    "indivisible_batch": (
        {"/micro_steps": 3},
        [F("IndivisibleBatch", f"{AT}/global_batch_sequences", "a multiple of 3 micro steps", "8")],
    ),
    "a_split_of_two_kinds": (
        {
            "/families/2/split_kind": "test",
            "/evaluation_sets/2/split_kind": "test",
            "/evaluation_sets/2/evaluation_set": "train",
        },
        [F("SplitKindMismatch", f"{FAMILIES}/2/split_kind", "train", "test")],
    ),
    "family_tokens": (
        {"/families/1/tokens": 1281},
        [F("CountMismatch", f"{FAMILIES}/1/tokens", "1280", "1281")],
    ),
    "family_sequences": (
        {"/families/4/end_sequence_id": 101},
        [F("SequenceRangeMismatch", f"{FAMILIES}/4/end_sequence_id", "100", "101")],
    ),
    "a_shard_listed_twice": (
        {"/families/0/shard_ids/-": "held_out-held_out_modules-0000"},
        [
            F(
                "DuplicateEntry",
                f"{FAMILIES}/0/shard_ids/1",
                "each name once",
                "held_out-held_out_modules-0000",
            )
        ],
    ),
    "a_gap_between_ranges": (
        {
            "/families/4/first_sequence_id": 93,
            "/families/4/end_sequence_id": 101,
            "/evaluation_sets/4/first_sequence_id": 93,
            "/evaluation_sets/4/end_sequence_id": 97,
        },
        [F("SequenceRangeMismatch", f"{FAMILIES}/4/first_sequence_id", "92", "93")],
    ),
    "an_overlap_of_ranges": (
        {"/families/4/first_sequence_id": 91, "/families/4/end_sequence_id": 99},
        [F("SequenceRangeMismatch", f"{FAMILIES}/4/first_sequence_id", "92", "91")],
    ),
    "set_outside_its_family": (
        {"/evaluation_sets/0/first_sequence_id": 13, "/evaluation_sets/0/end_sequence_id": 17},
        [F("SequenceRangeMismatch", f"{SETS}/0", "inside [0, 16)", "[13, 17)")],
    ),
    "set_size": (
        {"/evaluation_sets/1/sequences": 5},
        [F("CountMismatch", f"{SETS}/1/sequences", "4", "5")],
    ),
    "empty_set": (
        {"/evaluation_sets/1/sequences": 0, "/evaluation_sets/1/end_sequence_id": 16},
        [F("InvalidCount", f"{SETS}/1/sequences", "at least 1", "0")],
    ),
    "set_of_another_name": (
        {"/evaluation_sets/1/evaluation_set": "train"},
        [F("FieldMismatch", f"{SETS}/1/evaluation_set", "train_probe", "train")],
    ),
    "set_of_another_kind": (
        {"/evaluation_sets/3/split_kind": "test"},
        [F("SplitKindMismatch", f"{SETS}/3/split_kind", "validation", "test")],
    ),
    "set_twice": (
        {
            "/evaluation_sets/-": {
                "evaluation_set": "held_out",
                "split_name": "held_out",
                "split_kind": "held_out",
                "source_family_id": "held_out_modules",
                "first_sequence_id": 4,
                "end_sequence_id": 8,
                "sequences": 4,
            }
        },
        [F("DuplicateEntry", f"{SETS}/5", "each name once", "held_out/held_out_modules")],
    ),
    "set_of_no_family": (
        {
            "/evaluation_sets/-": {
                "evaluation_set": "test",
                "split_name": "test",
                "split_kind": "test",
                "source_family_id": "ghost",
                "first_sequence_id": 0,
                "end_sequence_id": 4,
                "sequences": 4,
            }
        },
        [F("SourceFamilyCoverageMismatch", SETS, "absent", "test/ghost")],
    ),
}


def test_a_whole_plan_is_accepted() -> None:
    """The small plan, which every case below starts from, breaks nothing."""
    assert rules(small_plan()) == []


@pytest.mark.parametrize("name", CASES)
def test_a_broken_rule_is_found(name: str) -> None:
    """One change, and exactly the findings that it deserves."""
    changes, expected = CASES[name]
    assert expected == rules(changed(small_plan(), changes))


def test_a_family_without_an_evaluation_set_is_found() -> None:
    """Each family of each split is measured, or the receipt could not report it."""
    plan = small_plan()
    expected = [F("SourceFamilyCoverageMismatch", SETS, "validation/library_docstrings", "absent")]
    assert expected == rules(changed(plan, {"/evaluation_sets": plan.evaluation_sets[:-1]}))


def test_a_family_without_sequences_is_found() -> None:
    """An empty last family can be neither drawn nor measured."""
    changes: dict[str, object] = {
        "/families/4/end_sequence_id": 92,
        "/families/4/sequences": 0,
        "/families/4/tokens": 0,
        "/evaluation_sets/4/end_sequence_id": 92,
        "/evaluation_sets/4/sequences": 0,
    }
    expected = [
        F("InvalidCount", f"{FAMILIES}/4/sequences", "at least 1", "0"),
        F("InvalidCount", f"{SETS}/4/sequences", "at least 1", "0"),
    ]
    assert expected == rules(changed(small_plan(), changes))


def test_sequences_without_tokens_are_found() -> None:
    """A length of zero, with totals to match."""
    changes: dict[str, object] = {"/sequence_tokens": 0, **{f"/families/{i}/tokens": 0 for i in range(5)}}
    expected = [F("InvalidCount", f"{AT}/sequence_tokens", "at least 1", "0")]
    assert expected == rules(changed(small_plan(), changes))


def test_a_family_listed_twice_is_found() -> None:
    """The last family once more, over ids of its own, is not a second family."""
    plan = small_plan()
    again = changed(plan.families[-1], {"/first_sequence_id": 100, "/end_sequence_id": 108})
    measured = changed(plan, {"/families/-": again, "/evaluation_sets/4/first_sequence_id": 100})
    name = "validation/library_docstrings"
    expected = [F("FamilyOrderMismatch", f"{FAMILIES}/5", f"after {name}, each once", name)]
    assert expected == rules(changed(measured, {"/evaluation_sets/4/end_sequence_id": 104}))


def test_families_out_of_order_are_found() -> None:
    """Ids are dense, but over the families in another order than split and family."""
    plan = small_plan()
    swapped = changed(
        plan,
        {
            "/families/3/source_family_id": "library_docstrings",
            "/families/4/source_family_id": "library_code",
            "/evaluation_sets/3/source_family_id": "library_docstrings",
            "/evaluation_sets/4/source_family_id": "library_code",
        },
    )
    expected = [
        F(
            "FamilyOrderMismatch",
            f"{FAMILIES}/4",
            "after validation/library_docstrings, each once",
            "validation/library_code",
        )
    ]
    assert expected == rules(swapped)
