"""The orders that torch's CPU generator gives. Each is a permutation rule; its tail and the ranks are said apart.

    torch.randperm      each pass by a generator of its own, seeded seed + number of the pass: DistributedSampler,
                        accelerate's SeedableRandomSampler and the Trainer of transformers
    torch.generator     all passes by one generator: DataLoader, RandomSampler, StatefulDataLoader with a generator
    torch.replacement   numbers drawn one by one, with replacement

The draws that a loader makes beside its permutations are parameters: `draws_before` the first pass, `draws_a_pass` from
the beginning of one to the next (32-bit draws).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from psion_ledger.contracts import ContractFinding, Contracts
from psion_ledger.errors import CannotDecide
from psion_ledger.orders import passes
from psion_ledger.orders.mersenne import Mersenne, permutation_draws
from psion_ledger.orders.parameters import Parameter, Specification, findings, given

RANDPERM, GENERATOR, REPLACEMENT, VERSION = "torch.randperm", "torch.generator", "torch.replacement", "1"
# `set_epoch` that is never called gives each pass the same seed.
PER_PASS: Specification = {"seed_step": Parameter(int, 1), "first_pass": Parameter(int, 0)}
STREAM: Specification = {
    "draws_before": Parameter(int, 0),
    "draws_a_pass": Parameter(int, -1, least=-1),
    # The state of the generator as torch.get_rng_state() gives it, in hex, where it does not begin with the seed.
    "state": Parameter(str, ""),
}


def randperm(contracts: Contracts) -> passes.Passes:
    values, seed = given(contracts, PER_PASS), contracts.sampling_plan.order.seed or 0
    entries = passes.entries_total(contracts)

    def made(number: int) -> NDArray[np.uint32]:
        return Mersenne(seed + (values["first_pass"] + number) * values["seed_step"]).permutation(entries)

    return passes.Passes(contracts, made)


def randperm_rules(contracts: Contracts) -> list[ContractFinding]:
    return passes.rules(contracts, PER_PASS)


def _generator(contracts: Contracts) -> Mersenne:
    values = given(contracts, STREAM)
    try:
        state = bytes.fromhex(values["state"])
    except ValueError as error:
        raise CannotDecide(f"the recorded state of the generator is not hex: {error}") from error
    made = Mersenne(contracts.sampling_plan.order.seed, state or None)
    made.skip(values["draws_before"])
    return made


def generator(contracts: Contracts) -> passes.Passes:
    return passes.Passes(contracts, _walks(contracts))


def _walks(contracts: Contracts) -> Callable[[int], NDArray[np.uint32]]:
    """Each pass begins a number of draws behind the one before; the generator goes on from the pass at hand."""
    entries = passes.entries_total(contracts)
    own = permutation_draws(entries)
    told = given(contracts, STREAM)["draws_a_pass"]
    between = (own if told < 0 else told) - own
    at: list[tuple[int, Mersenne]] = []

    def made(number: int) -> NDArray[np.uint32]:
        if not at or at[0][0] > number:
            at[:] = [(0, _generator(contracts))]
        following, generator = at[0]
        for _ in range(following, number):
            generator.skip(own + between)
        found = generator.permutation(entries)
        generator.skip(between)
        at[:] = [(number + 1, generator)]
        return found

    return made


def generator_rules(contracts: Contracts) -> list[ContractFinding]:
    found = passes.rules(contracts, STREAM)
    told = given(contracts, STREAM)["draws_a_pass"]
    own = permutation_draws(passes.entries_total(contracts))
    if not found and 0 <= told < own:
        at = "sampling_plan#/order/parameters/draws_a_pass"
        found.append(ContractFinding("OrderMismatch", at, f"{own} or more, which a permutation takes", str(told)))
    return found


class Replacement:
    """Numbers drawn one by one. There is no random access: who asks for an earlier position begins again."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self._entries = passes.entries_total(contracts)
        self._all = passes.Passes(contracts, lambda number: np.arange(self._entries, dtype=np.int64))
        self._position, self._generator = 0, _generator(contracts)

    def sequence_ids(self, first: int, end: int) -> passes.Ids:
        """The sequence id (int64) at each position in [first, end)."""
        if first < self._position:
            self._position, self._generator = 0, _generator(self._contracts)
        self._generator.numbers(first - self._position, self._entries)
        self._position = end
        return self._all.sequence_ids(0, self._entries)[self._generator.numbers(end - first, self._entries)]


def replacement_rules(contracts: Contracts) -> list[ContractFinding]:
    known = {name: parameter for name, parameter in STREAM.items() if name != "draws_a_pass"}
    found = findings(contracts, known)
    if (may := contracts.sampling_plan.order.may_repeat) != "anything":
        found.append(ContractFinding("OrderMismatch", "sampling_plan#/order/may_repeat", "anything", may))
    return found
