"""The orders that can be derived from a run's contracts, by name and version. One file an order.

An order that is not in this table is not derived, whatever it resembles: nobody can say where its sequences belong.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from psion_ledger.contracts import ContractFinding, Contracts, check_documents
from psion_ledger.errors import CannotDecide, ContractRefused
from psion_ledger.orders import megatron, mosaicml, pcg64, sequential, torch_orders, weighted_cycle
from psion_ledger.orders.declaring import Declared, OrderFile, derived, file, undeclared
from psion_ledger.orders.passes import Ids


class Order(Protocol):
    """Which sequence stands at each position of a run."""

    def sequence_ids(self, first: int, end: int) -> Ids:
        """The sequence id (int64) at each position in [first, end)."""
        ...


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """An order of the table: how it is made from the contracts, and what it asks of them besides their own rules."""

    made: Callable[[Contracts], Order]
    rules: Callable[[Contracts], list[ContractFinding]]


ORDERS: dict[tuple[str, str], Kind] = {
    (megatron.NAME, megatron.VERSION): Kind(made=megatron.made, rules=megatron.rules),
    **{(name, mosaicml.VERSION): Kind(made=mosaicml.made, rules=mosaicml.rules) for name in mosaicml.SHUFFLES},
    (pcg64.NAME, pcg64.VERSION): Kind(made=pcg64.made, rules=pcg64.rules),
    (weighted_cycle.NAME, weighted_cycle.VERSION): Kind(made=weighted_cycle.WeightedCycle, rules=weighted_cycle.rules),
    (sequential.NAME, sequential.VERSION): Kind(made=sequential.made, rules=sequential.rules),
    (torch_orders.GENERATOR, torch_orders.VERSION): Kind(
        made=torch_orders.generator, rules=torch_orders.generator_rules
    ),
    (torch_orders.RANDPERM, torch_orders.VERSION): Kind(made=torch_orders.randperm, rules=torch_orders.randperm_rules),
    (torch_orders.REPLACEMENT, torch_orders.VERSION): Kind(
        made=torch_orders.Replacement, rules=torch_orders.replacement_rules
    ),
}


def _kind(contracts: Contracts) -> Kind | None:
    order = contracts.sampling_plan.order
    return None if order.name is None or order.version is None else ORDERS.get((order.name, order.version))


def derive(contracts: Contracts) -> Order:
    """The order that the contracts name. Raises CannotDecide for one that is not declared, or not known here."""
    order = contracts.sampling_plan.order
    if order.kind == "undeclared":
        raise CannotDecide(f"no order is declared: {order.why}")
    if (kind := _kind(contracts)) is None:
        known = ", ".join(f"{name} {version}" for name, version in sorted(ORDERS))
        raise CannotDecide(f"the order {order.name} {order.version} cannot be derived; this version knows {known}")
    return kind.made(contracts)


def check_contracts(contracts: Contracts) -> list[ContractFinding]:
    """Every rule of the documents, and of the order that they name. An empty list: all hold."""
    found = check_documents(contracts)
    kind = _kind(contracts)
    # An order counts what it draws from documents that hold: else that means nothing.
    return found if found or kind is None else kind.rules(contracts)


def require_bound(contracts: Contracts) -> None:
    """Raises ContractRefused with every finding, one a line, where `check_contracts` has any."""
    if found := check_contracts(contracts):
        lines = [
            f"{finding.pointer}: {finding.code}: expected {finding.expected!r}, found {finding.actual!r}"
            for finding in found
        ]
        raise ContractRefused("\n".join([f"the contracts do not hold ({len(found)} findings):", *lines]))


__all__ = [
    "ORDERS",
    "Declared",
    "Ids",
    "Kind",
    "Order",
    "OrderFile",
    "check_contracts",
    "derive",
    "derived",
    "file",
    "require_bound",
    "undeclared",
]
