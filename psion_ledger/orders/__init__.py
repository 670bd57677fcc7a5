"""The orders that can be derived from a run's contracts, by name and version. One file an order.

An order that is not in this table is not derived, whatever it resembles: nobody can say where its sequences belong.
"""

from collections.abc import Callable
from typing import Protocol

from psion_ledger.contracts import Contracts
from psion_ledger.errors import CannotDecide
from psion_ledger.orders.weighted_cycle import Ids, WeightedCycle


class Order(Protocol):
    """Which sequence stands at each position of a run."""

    def sequence_ids(self, first: int, end: int) -> Ids:
        """The sequence id (int64) at each position in [first, end)."""
        ...


ORDERS: dict[tuple[str, str], Callable[[Contracts], Order]] = {
    ("psion_ledger_weighted_feistel", "v1"): WeightedCycle,
}


def derived(contracts: Contracts) -> Order:
    """The order that the contracts name. Raises CannotDecide for one that is not known here."""
    plan = contracts.sampling_plan
    made = ORDERS.get((plan.sampler_name, plan.sampler_version))
    if made is None:
        known = ", ".join(f"{name} {version}" for name, version in sorted(ORDERS))
        raise CannotDecide(
            f"the order {plan.sampler_name} {plan.sampler_version} cannot be derived; this version knows {known}"
        )
    return made(contracts)


__all__ = ["ORDERS", "Ids", "Order", "derived"]
