"""Contracts of any order for tests, and the vectors of other libraries' orders that stand beside the clone."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from numpy.typing import NDArray

from psion_ledger.contracts import Contracts, PlanFamily
from psion_ledger.contracts.sampling_plan import MayRepeat, OrderParameter, PlanOrder
from psion_ledger.orders import ORDERS, Order, derive
from tests.documents import small_contracts

VECTORS = Path(__file__).resolve().parents[2] / ".." / "shared" / "orders" / "vectors.json"
needs_vectors = pytest.mark.skipif(not VECTORS.is_file(), reason="the vectors of other orders are not beside the clone")
Value = bool | int | str | list[int]
SMALL = small_contracts()


def vectors(*orders: str) -> list[dict[str, Any]]:
    """The vectors of these orders, all of them without a name; none where the file is not at hand."""
    if not VECTORS.is_file():
        return []
    known: list[dict[str, Any]] = json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"]
    return [vector for vector in known if not orders or vector["order"] in orders]


def label(vector: Any) -> str:
    return f"{vector['order']} {vector['parameters']}".replace(" ", "")[:80]


def as_told(expected: Any, found: NDArray[Any]) -> Any:
    """`found` in the form in which a vector tells it: the ids, or the first, the last and a digest of all."""
    if not isinstance(expected, dict):
        return found.tolist()
    digest = hashlib.sha256(found.astype("<u4").tobytes()).hexdigest()
    told = {"first": found[:8].tolist(), "last": found[-4:].tolist(), "sha256_of_u4_le": digest}
    return {name: told[name] for name in expected}


def train_family(name: str, first: int, sequences: int, split: str = "train") -> PlanFamily:
    return PlanFamily(
        split_name=split, split_kind="train", source_family_id=name, first_sequence_id=first,
        end_sequence_id=first + sequences, sequences=sequences, tokens=sequences * 32, shard_ids=[name],
    )  # fmt: skip


def contracts_of(
    name: str,
    entries: int,
    parameters: Mapping[str, Value] | None = None,
    *,
    seed: int = 7,
    may_repeat: MayRepeat = "anything",
    families: list[PlanFamily] | None = None,
    plan_changes: dict[str, Any] | None = None,
) -> Contracts:
    """The small contracts with one train family of so many sequences, in another order."""
    told = [OrderParameter(name=key, value=value) for key, value in sorted((parameters or {}).items())]
    order = PlanOrder(kind="derived", name=name, version="1", seed=seed, parameters=told, may_repeat=may_repeat)
    plan = msgspec.structs.replace(
        SMALL.sampling_plan,
        families=[train_family("library_code", 0, entries)] if families is None else families,
        order=order,
        **(plan_changes or {}),
    )
    return msgspec.structs.replace(SMALL, sampling_plan=plan)


def order_of(name: str, entries: int, *, seed: int = 7, **parameters: Value) -> Order:
    """The order, once its own rules are seen to hold."""
    contracts = contracts_of(name, entries, parameters, seed=seed)
    assert ORDERS[name, "1"].rules(contracts) == []
    return derive(contracts)


def passes_of(order: Order, length: int, count: int) -> list[list[int]]:
    """The ids of the first passes."""
    return [order.sequence_ids(number * length, (number + 1) * length).tolist() for number in range(count)]
