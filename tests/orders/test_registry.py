"""Orders by name and version: what is not in the table is not derived, and a known one asks for its own rules."""

import msgspec
import pytest

from psion_ledger import orders
from psion_ledger.errors import CannotDecide, ContractRefused
from tests.documents import changed, small_contracts


def test_our_own_order_is_known() -> None:
    """By the name that the trainer promises."""
    ids = orders.derive(small_contracts()).sequence_ids(0, 8)
    assert (len(set(ids.tolist())), str(ids.dtype)) == (8, "int64")


@pytest.mark.parametrize(
    "changes",
    [
        {"/order/name": "another"},
        {"/order/name": "psion.weighted_cycle "},
        {"/order/version": "2"},
        {"/order/version": ""},
        {"/order/version": None},
        {"/order/name": None},
    ],
)
def test_an_order_that_is_not_known_is_never_taken_for_ours(changes: dict[str, object]) -> None:
    """Nobody can say where its sequences belong; the message names those that are known."""
    contracts = small_contracts()
    plan = changed(contracts.sampling_plan, changes)
    with pytest.raises(
        CannotDecide, match=r"cannot be derived; this version knows .*psion\.weighted_cycle 1"
    ) as refused:
        orders.derive(msgspec.structs.replace(contracts, sampling_plan=plan))
    assert all(f"{name} {version}" in str(refused.value) for name, version in orders.ORDERS)


def test_an_order_that_is_not_declared_is_not_derived() -> None:
    """The reason is the plan's."""
    contracts = small_contracts()
    none: dict[str, object] = {f"/order/{name}": None for name in ("name", "version", "seed")}
    plan = changed(
        contracts.sampling_plan, none | {"/order/kind": "undeclared", "/order/why": "it draws from the clock"}
    )
    with pytest.raises(CannotDecide, match="no order is declared: it draws from the clock"):
        orders.derive(msgspec.structs.replace(contracts, sampling_plan=plan))
    assert orders.check_contracts(msgspec.structs.replace(contracts, sampling_plan=plan)) == []


def test_an_order_that_is_not_known_leaves_the_contracts_bound() -> None:
    """It has no rules here; what it would be is not decided, and nothing else suffers."""
    contracts = small_contracts()
    plan = changed(
        contracts.sampling_plan, {"/order/name": "another", "/order/parameters": [{"name": "a", "value": 1}]}
    )
    orders.require_bound(msgspec.structs.replace(contracts, sampling_plan=plan))


def test_an_order_is_asked_only_of_documents_that_hold() -> None:
    """A parameter that it does not know is found, unless a document breaks a rule of its own."""
    contracts = small_contracts()
    ghost = changed(contracts.sampling_plan, {"/order/parameters": [{"name": "ghost", "value": 1}]})
    both = changed(ghost, {"/horizon_steps": 0})
    found = [
        [finding.pointer for finding in orders.check_contracts(msgspec.structs.replace(contracts, sampling_plan=plan))]
        for plan in (ghost, both)
    ]
    assert found == [["sampling_plan#/order/parameters/ghost"], ["sampling_plan#/horizon_steps"]]
    with pytest.raises(ContractRefused, match="parameters/ghost: OrderMismatch: expected 'one of none', found 'ghost'"):
        orders.require_bound(msgspec.structs.replace(contracts, sampling_plan=ghost))
