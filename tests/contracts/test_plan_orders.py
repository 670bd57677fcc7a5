"""What a plan says of its order: each kind is known by something else, and says nothing of another."""

import pytest

from psion_ledger.contracts.finding import ContractFinding
from psion_ledger.contracts.plan_rules import rules
from tests.documents import changed, small_plan

F = ContractFinding
AT = "sampling_plan#"
BLANK = "text that is not white space"
GIVEN = "given where the order is derived"
Changes = dict[str, object]

ORDERS: dict[str, tuple[Changes, list[ContractFinding]]] = {
    "derived_by_no_name": ({"/name": None}, [F("OrderMismatch", "/name", GIVEN, "None")]),
    "derived_in_no_version": ({"/version": None}, [F("OrderMismatch", "/version", GIVEN, "None")]),
    "derived_from_no_seed": ({"/seed": None}, [F("OrderMismatch", "/seed", GIVEN, "None")]),
    "derived_for_a_reason": ({"/why": "so"}, [F("OrderMismatch", "/why", "absent where the order is derived", "so")]),
    "a_seed_of_65_bits": ({"/seed": 2**64}, [F("InvalidCount", "/seed", f"at most {2**64 - 1}", str(2**64))]),
    "a_parameter_twice": (
        {"/parameters": [{"name": name, "value": 1} for name in ("a", "b", "b")]},
        [F("DuplicateEntry", "/parameters/2", "each name once", "b")],
    ),
    "parameters_out_of_order": (
        {"/parameters": [{"name": name, "value": 1} for name in ("b", "a")]},
        [F("FamilyOrderMismatch", "/parameters", "['a', 'b']", "['b', 'a']")],
    ),
    "a_blank_parameter": (
        {"/parameters": [{"name": "", "value": True}]},
        [F("MissingField", "/parameters/0/name", BLANK, "")],
    ),
    "in_files_by_a_name": (
        {"/kind": "materialised"},
        [
            F("OrderMismatch", f"/{name}", "absent where the order is materialised", told)
            for name, told in (("name", "psion.weighted_cycle"), ("version", "1"), ("seed", "7"))
        ],
    ),
    "in_files_for_a_reason": (
        {"/kind": "materialised", "/name": None, "/version": None, "/seed": None, "/why": "so"},
        [F("OrderMismatch", "/why", "absent where the order is materialised", "so")],
    ),
    "not_declared_for_no_reason": (
        {"/kind": "undeclared", "/name": None, "/version": None, "/seed": None},
        [F("OrderMismatch", "/why", "given where the order is undeclared", "None")],
    ),
    "not_declared_by_a_name": (
        {"/kind": "undeclared", "/version": None, "/seed": None, "/why": "so"},
        [F("OrderMismatch", "/name", "absent where the order is undeclared", "psion.weighted_cycle")],
    ),
    "not_declared_with_parameters": (
        {
            "/kind": "undeclared",
            "/name": None,
            "/version": None,
            "/seed": None,
            "/why": "so",
            "/parameters": [{"name": "a", "value": [1, 2]}],
        },
        [F("OrderMismatch", "/parameters", "none", "1")],
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_says_what_its_kind_is_known_by_and_nothing_else(name: str) -> None:
    """Of the three kinds, each lacking something, and each with something of another."""
    changes, expected = ORDERS[name]
    found = rules(changed(small_plan(), {f"/order{at}": value for at, value in changes.items()}))
    assert [(f.code, f"{AT}/order{f.pointer}", f.expected, f.actual) for f in expected] == [
        (f.code, f.pointer, f.expected, f.actual) for f in found
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"/kind": "materialised", "/name": None, "/version": None, "/seed": None},
        {"/kind": "undeclared", "/name": None, "/version": None, "/seed": None, "/why": "so"},
        {"/seed": 2**64 - 1, "/parameters": [{"name": "a", "value": "x"}, {"name": "b", "value": False}]},
    ],
)
def test_an_order_of_each_kind_is_accepted(changes: Changes) -> None:
    """In files, not declared, and derived with the largest seed and parameters."""
    assert rules(changed(small_plan(), {f"/order{at}": value for at, value in changes.items()})) == []


def test_sequences_without_ids_have_no_derived_order() -> None:
    """Nothing says which sequence an id would be."""
    expected = [F("OrderMismatch", f"{AT}/order/kind", "undeclared, where sequences have no ids", "derived")]
    assert expected == rules(changed(small_plan(), {"/unit": "content"}))
    undeclared = {"/kind": "undeclared", "/name": None, "/version": None, "/seed": None, "/why": "so"}
    changes: Changes = {"/unit": "content", **{f"/order{at}": value for at, value in undeclared.items()}}
    assert rules(changed(small_plan(), changes)) == []
