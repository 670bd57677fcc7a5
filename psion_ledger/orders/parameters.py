"""Parameters of derived orders, by name: each has one type, and a default or none."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from psion_ledger.contracts import ContractFinding, Contracts
from psion_ledger.contracts.finding import Findings
from psion_ledger.contracts.sampling_plan import ROLE

AT = f"{ROLE}#/order/parameters"
INTEGER_MAX = 2**63 - 1


class Parameter(NamedTuple):
    """The type of a parameter, its default (null: it must be given), and the least number or the allowed texts."""

    kind: type[int] | type[bool] | type[str] | type[list[int]]
    default: Any = None
    least: int = 0
    allowed: tuple[str, ...] = ()


Specification = Mapping[str, Parameter]


def given(contracts: Contracts, known: Specification) -> dict[str, Any]:
    """The values of an order's parameters, defaults among them."""
    values = {name: parameter.default for name, parameter in known.items()}
    return values | {p.name: p.value for p in contracts.sampling_plan.order.parameters}


def findings(contracts: Contracts, known: Specification) -> list[ContractFinding]:
    """The parameters that are missing, not known, or of another type or size."""
    return list(_findings(contracts, known))


def _findings(contracts: Contracts, known: Specification) -> Findings:
    told = {p.name: p.value for p in contracts.sampling_plan.order.parameters}
    for name in sorted(told.keys() - known.keys()):
        yield ContractFinding("OrderMismatch", f"{AT}/{name}", f"one of {', '.join(sorted(known)) or 'none'}", name)
    for name, parameter in known.items():
        if name not in told:
            if parameter.default is None:
                yield ContractFinding("OrderMismatch", f"{AT}/{name}", "a value", "absent")
            continue
        value = told[name]
        own = parameter.kind if parameter.kind in (int, bool, str) else list
        if type(value) is not own:
            yield ContractFinding("OrderMismatch", f"{AT}/{name}", own.__name__, type(value).__name__)
        elif isinstance(value, str):
            if parameter.allowed and value not in parameter.allowed:
                yield ContractFinding("OrderMismatch", f"{AT}/{name}", " or ".join(parameter.allowed), value)
        elif not isinstance(value, bool):
            numbers = value if isinstance(value, list) else [value]
            if not all(parameter.least <= number <= INTEGER_MAX for number in numbers):
                expected = f"{parameter.least} to {INTEGER_MAX}"
                yield ContractFinding("OrderMismatch", f"{AT}/{name}", expected, str(value)[:80])
