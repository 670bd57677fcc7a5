"""What a sampling plan must hold by itself: each test breaks one rule of the small plan."""

import json

import pytest

from psion_ledger.contracts import SamplingPlan, decode_document, encode_document
from psion_ledger.contracts.finding import ContractFinding
from psion_ledger.contracts.plan_rules import rules
from psion_ledger.errors import ContractRefused
from tests.documents import changed, small_plan

F = ContractFinding
AT = "sampling_plan#"
BATCH = f"{AT}/batch/schedule"
FAMILIES = f"{AT}/families"
SETS = f"{AT}/evaluation_sets"
BLANK = "text that is not white space"

Changes = dict[str, object]
CASES: dict[str, tuple[Changes, list[ContractFinding]]] = {
    "schema_version": (
        {"/schema_version": "v2"},
        [F("SchemaVersionMismatch", f"{AT}/schema_version", "psion_ledger.sampling_plan.v1", "v2")],
    ),
    "blank_order": (
        {"/order/name": "\u2003"},
        [F("MissingField", f"{AT}/order/name", BLANK, "\u2003")],
    ),
    "no_horizon": (
        {"/horizon_steps": 0},
        [F("InvalidCount", f"{AT}/horizon_steps", "at least 1", "0")],
    ),
    "a_pass_without_an_end": (
        {"/passes/end": "short_batch"},
        [F("MissingField", f"{AT}/passes/sequences", "the length of a pass", "absent")],
    ),
    "no_size_of_a_batch": (
        {"/batch/schedule": []},
        [F("BatchScheduleMismatch", BATCH, "first steps that begin with 1 and rise", "none")],
    ),
    "sizes_from_the_second_step_on": (
        {"/batch/schedule/0/first_step": 2},
        [F("BatchScheduleMismatch", BATCH, "first steps that begin with 1 and rise", "2")],
    ),
    "two_sizes_of_one_step": (
        {"/batch/schedule/-": {"first_step": 1, "sequences": 4}},
        [F("BatchScheduleMismatch", BATCH, "first steps that begin with 1 and rise", "1, 1")],
    ),
    "sizes_out_of_order": (
        {"/batch/schedule": [{"first_step": n, "sequences": n} for n in (1, 3, 2)]},
        [F("BatchScheduleMismatch", BATCH, "first steps that begin with 1 and rise", "1, 3, 2")],
    ),
    "two_skips_before_one_step": (
        {"/planned_skips": [{"before_step": 2, "sequences": 1}] * 2},
        [F("BatchScheduleMismatch", f"{AT}/planned_skips", "each step once, in order", "2, 2")],
    ),
    "skips_out_of_order": (
        {"/planned_skips": [{"before_step": n, "sequences": 1} for n in (3, 2)]},
        [F("BatchScheduleMismatch", f"{AT}/planned_skips", "each step once, in order", "3, 2")],
    ),
    "a_split_of_two_kinds": (
        {"/families/2/split_kind": "test", "/evaluation_sets/2/evaluation_set": "train"},
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
            "/evaluation_sets/4/end_sequence_id": 100,
        },
        [F("SequenceRangeMismatch", f"{FAMILIES}/4/first_sequence_id", "92", "93")],
    ),
    "an_overlap_of_ranges": (
        {"/families/4/first_sequence_id": 91, "/families/4/end_sequence_id": 99},
        [F("SequenceRangeMismatch", f"{FAMILIES}/4/first_sequence_id", "92", "91")],
    ),
    "set_outside_its_family": (
        {"/evaluation_sets/0/first_sequence_id": 10, "/evaluation_sets/0/end_sequence_id": 17},
        [F("SequenceRangeMismatch", f"{SETS}/0", "inside [0, 16)", "[10, 17)")],
    ),
    "set_before_its_family": (
        {"/evaluation_sets/1/first_sequence_id": 15, "/evaluation_sets/1/end_sequence_id": 22},
        [F("SequenceRangeMismatch", f"{SETS}/1", "inside [16, 56)", "[15, 22)")],
    ),
    "set_that_ends_before_it_begins": (
        {"/evaluation_sets/1/first_sequence_id": 23, "/evaluation_sets/1/end_sequence_id": 22},
        [
            F("SequenceRangeMismatch", f"{SETS}/1", "inside [16, 56)", "[23, 22)"),
            F("CountMismatch", f"{SETS}/1/sequences", "0", "4"),
        ],
    ),
    "set_size": (
        {"/evaluation_sets/1/sequences": 5},
        [F("CountMismatch", f"{SETS}/1/sequences", "4", "5")],
    ),
    "set_of_another_stride": (
        {"/evaluation_sets/1/stride": 1},
        [F("CountMismatch", f"{SETS}/1/sequences", "7", "4")],
    ),
    "empty_set": (
        {"/evaluation_sets/1/sequences": 0, "/evaluation_sets/1/end_sequence_id": 16},
        [F("InvalidCount", f"{SETS}/1/sequences", "at least 1", "0")],
    ),
    "set_of_another_name": (
        {"/evaluation_sets/1/evaluation_set": "train"},
        [F("FieldMismatch", f"{SETS}/1/evaluation_set", "train_probe", "train")],
    ),
    "set_twice": (
        {
            "/evaluation_sets/-": {
                "evaluation_set": "held_out",
                "split_name": "held_out",
                "source_family_id": "held_out_modules",
                "first_sequence_id": 4,
                "end_sequence_id": 8,
                "stride": 1,
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
                "source_family_id": "ghost",
                "first_sequence_id": 0,
                "end_sequence_id": 4,
                "stride": 1,
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


@pytest.mark.parametrize(
    "changes",
    [
        {"/batch": {}},
        {"/batch/schedule": [{"first_step": n, "sequences": n} for n in (1, 2, 9)]},
        {"/planned_skips": [{"before_step": n, "sequences": 3} for n in (1, 4)]},
        {"/passes": {"sequences": 64, "end": "short_batch"}},
        {"/evaluations": None, "/checkpoints": None, "/evaluation_sets": []},
    ],
)
def test_what_a_trainer_does_not_promise_it_need_not(changes: Changes) -> None:
    """No sizes, sizes that ramp up, skips, passes that end in a short batch, and no evaluation at all."""
    assert rules(changed(small_plan(), changes)) == []


SAMPLED: Changes = {f"/evaluation_sets/1/{name}": None for name in ("first_sequence_id", "end_sequence_id", "stride")}


def test_a_set_may_be_sampled() -> None:
    """Then only its size is promised."""
    assert rules(changed(small_plan(), SAMPLED)) == []


@pytest.mark.parametrize("name", ["first_sequence_id", "end_sequence_id", "stride"])
@pytest.mark.parametrize("alone", [False, True])
def test_a_set_is_declared_or_sampled_and_nothing_between(name: str, alone: bool) -> None:
    """One of first, end and stride alone, or the other two without it."""
    row = small_plan().evaluation_sets[1]
    given: Changes = {**SAMPLED, f"/evaluation_sets/1/{name}": getattr(row, name)}
    changes: Changes = given if alone else {f"/evaluation_sets/1/{name}": None}
    expected = [F("MissingField", f"{SETS}/1", "first, end and stride, or none of them", "some of them")]
    assert expected == rules(changed(small_plan(), changes))


def test_a_family_need_not_be_measured() -> None:
    """Its loss is not promised."""
    plan = small_plan()
    assert rules(changed(plan, {"/evaluation_sets": plan.evaluation_sets[:-1]})) == []


@pytest.mark.parametrize("changes", [{"/sequence_tokens": None}, {"/unit": "window"}])
def test_tokens_are_counted_only_of_rows_of_one_length(changes: Changes) -> None:
    """Else the index says how many there are; windows overlap."""
    assert rules(changed(small_plan(), {**changes, "/families/1/tokens": 1281})) == []


def test_windows_have_a_length_and_end_inside_their_family() -> None:
    """A window more than the tokens hold is found, and so is a plan without the windows' length."""
    plan = changed(small_plan(), {"/unit": "window"})
    family = plan.families[1]
    assert rules(changed(plan, {"/families/1/tokens": family.sequences + 31})) == []
    assert rules(changed(plan, {"/families/1/tokens": family.sequences + 30})) == [
        F(
            "CountMismatch", f"{FAMILIES}/1/sequences",
            f"at most {family.sequences - 1} windows in {family.sequences + 30} tokens", str(family.sequences),
        )
    ]  # fmt: skip
    assert rules(changed(plan, {"/sequence_tokens": None})) == [
        F("MissingField", f"{AT}/sequence_tokens", "the length of a window", "absent")
    ]


@pytest.mark.parametrize(
    "pointer",
    [
        "/sequence_tokens", "/batch/micro_batch_sequences", "/batch/schedule/0/sequences",
        "/batch/schedule/0/first_step", "/planned_skips/0/sequences", "/planned_skips/0/before_step",
        "/passes/sequences", "/evaluation_sets/0/stride", "/evaluations/every_steps",
    ],
)  # fmt: skip
def test_nothing_is_no_number_of_what_there_must_be(pointer: str) -> None:
    """A document with a zero there is refused as it is read, and its place is named."""
    whole: SamplingPlan = changed(
        small_plan(), {"/passes/sequences": 64, "/planned_skips": [{"before_step": 1, "sequences": 1}]}
    )
    raw = json.loads(encode_document(whole))
    *parents, last = pointer.removeprefix("/").split("/")
    target = raw
    for step in parents:
        target = target[int(step)] if isinstance(target, list) else target[step]
    target[last] = 0
    with pytest.raises(ContractRefused, match="Expected `int` >= 1"):
        decode_document("sampling_plan", json.dumps(raw))


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


def test_a_family_listed_twice_is_found() -> None:
    """The last family once more, over ids of its own, is not a second family."""
    plan = small_plan()
    again = changed(plan.families[-1], {"/first_sequence_id": 100, "/end_sequence_id": 108})
    measured = changed(plan, {"/families/-": again, "/evaluation_sets/4/first_sequence_id": 100})
    name = "validation/library_docstrings"
    expected = [F("FamilyOrderMismatch", f"{FAMILIES}/5", f"after {name}, each once", name)]
    assert expected == rules(changed(measured, {"/evaluation_sets/4/end_sequence_id": 107}))


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
