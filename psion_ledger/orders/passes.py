"""Orders that walk the train data pass by pass: each pass puts all entries in some order, and has a tail.

An entry is a number from 0 over the plan's train sequences, in order of their ids.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from psion_ledger.contracts import ContractFinding, Contracts
from psion_ledger.contracts.finding import Findings, equal
from psion_ledger.contracts.sampling_plan import ROLE
from psion_ledger.orders.parameters import Parameter, Specification, findings, given

Ids = NDArray[np.int64]
Entries = NDArray[np.uint32] | NDArray[np.int64]
TAILS = ("keep", "drop", "pad")
# The rows that fill no block of a pass are kept, dropped, or filled up with the first ones of the pass.
TAIL: Specification = {
    "tail": Parameter(str, "keep", allowed=TAILS),
    "block": Parameter(int, 1, least=1),
}


def entries_total(contracts: Contracts) -> int:
    """How many train sequences there are."""
    return sum(family.sequences for family in contracts.sampling_plan.train_families)


def pass_length(entries: int, tail: str, block: int) -> int:
    """The positions of one pass."""
    if tail == "keep":
        return entries
    return entries // block * block if tail == "drop" else -(-entries // block) * block


class Passes:
    """An order that is made pass by pass; `made` gives the entries of a pass, by its number from 0 on, without a tail.

    The pass at hand is kept: positions are asked for in their order.
    """

    def __init__(self, contracts: Contracts, made: Callable[[int], Entries], entries: int | None = None) -> None:
        values = given(contracts, TAIL)
        families = contracts.sampling_plan.train_families
        self._made = made
        self._entries = entries_total(contracts) if entries is None else entries
        self._length = pass_length(self._entries, values["tail"], values["block"])
        self._firsts = np.array([family.first_sequence_id for family in families], np.int64)
        self._ends = np.cumsum([family.sequences for family in families], dtype=np.int64)
        self._held: tuple[int, Entries] | None = None

    def sequence_ids(self, first: int, end: int) -> Ids:
        """The sequence id (int64) at each position in [first, end)."""
        parts = [np.empty(0, np.int64)]
        while first < end:
            number, place = divmod(first, self._length)
            taken = min(end - first, self._length - place)
            entries = self._pass(number)
            # Behind its end a pass is filled up from its head, over and over.
            within = entries[place : place + taken]
            filled = within if len(within) == taken else entries[np.arange(place, place + taken) % len(entries)]
            parts.append(self._ids(filled))
            first += taken
        return np.concatenate(parts)

    def _pass(self, number: int) -> Entries:
        if self._held is None or self._held[0] != number:
            self._held = number, self._made(number)
        return self._held[1]

    def _ids(self, entries: Entries) -> Ids:
        places = entries.astype(np.int64)
        families = np.searchsorted(self._ends, places, side="right")
        before = np.concatenate([np.zeros(1, np.int64), self._ends[:-1]])
        ids: Ids = self._firsts[families] + places - before[families]
        return ids


def rules(contracts: Contracts, known: Specification, entries: int | None = None) -> list[ContractFinding]:
    """What an order of passes asks: its parameters, and that the plan's passes are its own."""
    found = findings(contracts, {**TAIL, **known})
    return found or list(_rules(contracts, entries_total(contracts) if entries is None else entries))


def _rules(contracts: Contracts, entries: int) -> Findings:
    values, plan = given(contracts, TAIL), contracts.sampling_plan
    length = pass_length(entries, values["tail"], values["block"])
    if plan.unit != "sequence":
        yield ContractFinding("OrderMismatch", f"{ROLE}#/unit", "sequence", plan.unit)
    if length == 0:
        expected = f"a block of {entries} sequences or fewer"
        yield ContractFinding("OrderMismatch", f"{ROLE}#/order/parameters/block", expected, str(values["block"]))
    if plan.passes.sequences is not None:
        yield from equal(f"{ROLE}#/passes/sequences", length, plan.passes.sequences, "CountMismatch")
    allowed = ("nothing", "padding", "anything") if length <= entries else ("padding", "anything")
    if plan.order.may_repeat not in allowed:
        yield ContractFinding("OrderMismatch", f"{ROLE}#/order/may_repeat", " or ".join(allowed), plan.order.may_repeat)
