"""What holds for each order of the table: its parameters are checked, and however it is read it is the same."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psion_ledger.contracts import ContractFinding, Contracts
from psion_ledger.contracts.sampling_plan import Passes
from psion_ledger.orders import ORDERS, derive
from psion_ledger.orders.parameters import INTEGER_MAX
from tests.orders.plans import Value, contracts_of, train_family

AT = "sampling_plan#/order/parameters"
ENTRIES = 24
FAMILIES = [train_family("library_code", 0, 16), train_family("library_docstrings", 16, 8)]
MOSAIC: dict[str, Value] = {"shard_sizes": [5, 7, 12], "canonical_nodes": 2, "shuffle_block_size": 10}
EXAMPLES: dict[str, dict[str, Value]] = {
    "megatron.gpt": {"documents": 5, "epochs": 2, "samples_before_last": 15},
    **{f"mosaicml.{name}": MOSAIC for name in ("naive", "py1s", "py2s", "py1br", "py1e")},
    "numpy.pcg64_shuffle": {"chunk": 3, "first_pass": 1},
    "psion.weighted_cycle": {},
    "sequential": {},
    "torch.generator": {"draws_before": 2, "draws_a_pass": 48},
    "torch.randperm": {"seed_step": 1, "first_pass": 3},
    "torch.replacement": {"draws_before": 1},
}
PASSES = sorted(EXAMPLES.keys() - {"psion.weighted_cycle", "torch.replacement"})
# The least value of each number, and the types of the rest.
_TAIL: dict[str, Any] = {"tail": str, "block": 1}
_MOSAIC: dict[str, Any] = {**_TAIL, "shard_sizes": list, "canonical_nodes": 1, "shuffle_block_size": 2}
KNOWN: dict[str, dict[str, Any]] = {
    "megatron.gpt": {**_TAIL, "documents": 1, "epochs": 1, "samples_before_last": 0},
    **{name: _MOSAIC for name in EXAMPLES if name.startswith("mosaicml.")},
    "numpy.pcg64_shuffle": {**_TAIL, "chunk": 1, "first_pass": 0},
    "psion.weighted_cycle": {},
    "sequential": _TAIL,
    "torch.generator": {**_TAIL, "draws_before": 0, "draws_a_pass": -1, "state": str},
    "torch.randperm": {**_TAIL, "seed_step": 0, "first_pass": 0},
    "torch.replacement": {"draws_before": 0, "state": str},
}
REQUIRED = [("megatron.gpt", "documents"), ("megatron.gpt", "epochs")] + [
    (name, parameter) for name in EXAMPLES if name.startswith("mosaicml.") for parameter in MOSAIC
]
PARAMETERS = [(name, parameter) for name, known in KNOWN.items() for parameter in known]


def example(name: str, changes: dict[str, Value] | None = None, **plan: Any) -> Contracts:
    """The order with the parameters of its example, some of them changed."""
    seed = 0 if name == "sequential" else 7
    return contracts_of(name, ENTRIES, EXAMPLES[name] | (changes or {}), seed=seed, **({"families": FAMILIES} | plan))


def rules(contracts: Contracts) -> list[ContractFinding]:
    name = contracts.sampling_plan.order.name
    assert name is not None
    return ORDERS[name, "1"].rules(contracts)


def test_each_order_has_its_example_and_its_parameters_here() -> None:
    """An order that is added to the table is tested below, or this fails."""
    assert [sorted(EXAMPLES), sorted(KNOWN)] == [sorted(name for name, _ in ORDERS)] * 2
    assert {version for _, version in ORDERS} == {"1"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_breaks_no_rule(name: str) -> None:
    """Which every case below starts from."""
    assert rules(example(name)) == []


# --- parameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_parameter_that_an_order_does_not_know_is_found(name: str) -> None:
    """It means something to somebody, and would be passed over; those that are known are named."""
    known = ", ".join(sorted(KNOWN[name])) or "none"
    expected = ContractFinding("OrderMismatch", f"{AT}/ghost", f"one of {known}", "ghost")
    assert [expected] == rules(example(name, {"ghost": 1}))


@pytest.mark.parametrize(("name", "parameter"), REQUIRED)
def test_a_parameter_that_must_be_given_is_missed(name: str, parameter: str) -> None:
    """It has no default."""
    left = {key: value for key, value in EXAMPLES[name].items() if key != parameter}
    expected = ContractFinding("OrderMismatch", f"{AT}/{parameter}", "a value", "absent")
    assert [expected] == rules(contracts_of(name, ENTRIES, left, families=FAMILIES))


def test_no_other_parameter_must_be_given() -> None:
    """Each order without what it has a default for."""
    for name in EXAMPLES:
        left = {key: value for key, value in EXAMPLES[name].items() if (name, key) in REQUIRED}
        seed = 0 if name == "sequential" else 7
        assert rules(contracts_of(name, ENTRIES, left, seed=seed, families=FAMILIES)) == []


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_a_parameter_of_another_type_is_found(name: str, parameter: str) -> None:
    """Of the four types that JSON may give; true is no number."""
    kind = KNOWN[name][parameter]
    own = kind if isinstance(kind, type) else int
    wrong: list[Value] = [value for value in (True, 5, "5", [5]) if type(value) is not own]
    assert len(wrong) == 3
    for value in wrong:
        expected = ContractFinding("OrderMismatch", f"{AT}/{parameter}", own.__name__, type(value).__name__)
        assert [expected] == rules(example(name, {parameter: value}))


@pytest.mark.parametrize(("name", "parameter"), [p for p in PARAMETERS if isinstance(KNOWN[p[0]][p[1]], int)])
def test_a_number_that_is_too_small_or_too_large_is_found(name: str, parameter: str) -> None:
    """One below the least, and one more than 63 bits hold."""
    least: int = KNOWN[name][parameter]
    for value in (least - 1, INTEGER_MAX + 1):
        expected = ContractFinding("OrderMismatch", f"{AT}/{parameter}", f"{least} to {INTEGER_MAX}", str(value))
        assert [expected] == rules(example(name, {parameter: value}))


@pytest.mark.parametrize("name", PASSES)
def test_a_tail_that_is_none_is_found(name: str) -> None:
    """It is kept, dropped or filled up."""
    expected = ContractFinding("OrderMismatch", f"{AT}/tail", "keep or drop or pad", "cut")
    assert [expected] == rules(example(name, {"tail": "cut"}))


# --- passes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize(("tail", "length"), [("keep", 24), ("drop", 21), ("pad", 28)])
def test_a_pass_is_a_permutation_with_the_tail_that_is_told(name: str, tail: str, length: int) -> None:
    """Blocks of seven: three are full, and the fourth is kept as it is, dropped, or filled up from the head."""
    changes: dict[str, Value] = {"tail": tail, "block": 7}
    order, whole = derive(example(name, changes)), derive(example(name))
    for number in range(3):
        entries = whole.sequence_ids(number * ENTRIES, (number + 1) * ENTRIES).tolist()
        assert sorted(entries) == list(range(ENTRIES))
        found = order.sequence_ids(number * length, (number + 1) * length).tolist()
        assert (entries + entries)[:length] == found


@pytest.mark.parametrize("name", PASSES)
def test_a_pass_is_as_long_as_the_plan_says(name: str) -> None:
    """Another length is found, and so is a block that nothing fills."""
    for told, expected in ((24, []), (25, [("CountMismatch", "sampling_plan#/passes/sequences", "24", "25")])):
        found = rules(example(name, plan_changes={"passes": Passes(sequences=told, end="spans")}))
        assert expected == [(f.code, f.pointer, f.expected, f.actual) for f in found]
    empty = rules(example(name, {"tail": "drop", "block": 25}))
    assert [(f"{AT}/block", "25")] == [(finding.pointer, finding.actual) for finding in empty]


@pytest.mark.parametrize("name", PASSES)
def test_what_is_filled_up_repeats(name: str) -> None:
    """A plan that says that nothing does is not of this order."""
    for tail, may_repeat, expected in (
        ("keep", "nothing", []),
        ("drop", "nothing", []),
        ("pad", "padding", []),
        ("pad", "anything", []),
        ("pad", "nothing", [("sampling_plan#/order/may_repeat", "padding or anything", "nothing")]),
    ):
        found = rules(example(name, {"tail": tail, "block": 7}, may_repeat=may_repeat))
        assert expected == [(finding.pointer, finding.expected, finding.actual) for finding in found]


@pytest.mark.parametrize("name", PASSES)
def test_an_order_of_passes_walks_rows(name: str) -> None:
    """Windows are named by their first token, and no pass over them is a permutation."""
    (found,) = rules(example(name, plan_changes={"unit": "window"}))
    assert (found.pointer, found.expected, found.actual) == ("sampling_plan#/unit", "sequence", "window")


# --- ranges --------------------------------------------------------------------------------------------------------


@settings(database=None, max_examples=20)
@given(
    first=st.integers(0, 100),
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    earlier=st.integers(0, 100),
    tail=st.sampled_from(["keep", "drop", "pad"]),
)
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_order_is_the_same_in_whatever_ranges_it_is_read(
    name: str, first: int, sizes: list[int], earlier: int, tail: str
) -> None:
    """World size, micro steps and the point of resumption only cut it; and what was read before changes nothing."""
    contracts = example(name, {"tail": tail, "block": 5} if name in PASSES else {})
    order, parts, at = derive(contracts), list[int](), first
    order.sequence_ids(earlier, earlier + 9)
    for size in sizes:
        parts += order.sequence_ids(at, at + size).tolist()
        at += size
    whole = derive(contracts).sequence_ids(first, at)
    assert (whole.tolist(), "int64") == (parts, str(whole.dtype))


@pytest.mark.parametrize("name", EXAMPLES)
def test_entries_are_the_train_sequences_by_their_ids(name: str) -> None:
    """Wherever the ranges of their families stand."""
    apart = [train_family("library_code", 100, 16), train_family("library_docstrings", 300, 8)]
    moved = {i: 100 + i if i < 16 else 300 + i - 16 for i in range(ENTRIES)}
    ids = derive(example(name)).sequence_ids(0, 100).tolist()
    assert [moved[i] for i in ids] == derive(example(name, families=apart)).sequence_ids(0, 100).tolist()


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - {"sequential"}))
def test_another_seed_is_another_order(name: str) -> None:
    """None leaves it out."""
    one, other = (derive(contracts_of(name, ENTRIES, EXAMPLES[name], seed=s, families=FAMILIES)) for s in (7, 8))
    assert one.sequence_ids(0, ENTRIES).tolist() != other.sequence_ids(0, ENTRIES).tolist()


def test_nothing_is_drawn_in_sequence() -> None:
    """Pass after pass by the ids; a seed that means nothing is found."""
    assert list(range(ENTRIES)) * 2 == derive(example("sequential")).sequence_ids(0, 2 * ENTRIES).tolist()
    (found,) = rules(contracts_of("sequential", ENTRIES, seed=7))
    assert (found.pointer, found.actual) == ("sampling_plan#/order/seed", "7")
