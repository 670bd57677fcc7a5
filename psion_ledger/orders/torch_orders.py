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
from psion_ledger.contracts.finding import Findings
from psion_ledger.errors import CannotDecide
from psion_ledger.orders import passes
from psion_ledger.orders.mersenne import Mersenne, number_draws, permutation_draws
from psion_ledger.orders.parameters import AT, Parameter, Specification, findings, given

RANDPERM, GENERATOR, REPLACEMENT, VERSION = "torch.randperm", "torch.generator", "torch.replacement", "1"
# `set_epoch` that is never called gives each pass the same seed.
PER_PASS: Specification = {"seed_step": Parameter(int, 1), "first_pass": Parameter(int, 0)}
STREAM: Specification = {
    "draws_before": Parameter(int, 0),
    "draws_a_pass": Parameter(int, -1, least=-1),
    # The state of the generator as torch.get_rng_state() gives it, in hex, where it does not begin with the seed.
    "state": Parameter(str, ""),
}
# What is left out is drawn all the same: minutes, at two hundred millions a second.
DRAWS_MAX = 1 << 36


def randperm(contracts: Contracts) -> passes.Passes:
    values, seed = given(contracts, PER_PASS), contracts.sampling_plan.order.seed or 0
    entries = passes.entries_total(contracts)

    def made(number: int) -> NDArray[np.uint32]:
        return Mersenne(seed + (values["first_pass"] + number) * values["seed_step"]).permutation(entries)

    return passes.Passes(contracts, made)


def randperm_rules(contracts: Contracts) -> list[ContractFinding]:
    return passes.rules(contracts, PER_PASS)


def _stream_rules(contracts: Contracts, told: list[str]) -> Findings:
    """The generator's state is one, and nobody waits for hours until it has drawn what is left out."""
    values = given(contracts, STREAM)
    for name in told:
        if values[name] > DRAWS_MAX:
            yield ContractFinding("OrderMismatch", f"{AT}/{name}", f"at most {DRAWS_MAX}", str(values[name]))
    try:
        Mersenne(0, _state(contracts) or None)
    except CannotDecide as error:
        yield ContractFinding("OrderMismatch", f"{AT}/state", "a state of mt19937 in hex", str(error))


def _state(contracts: Contracts) -> bytes:
    try:
        return bytes.fromhex(given(contracts, STREAM)["state"])
    except ValueError as error:
        raise CannotDecide(f"the recorded state of the generator is not hex: {error}") from error


def _generator(contracts: Contracts) -> Mersenne:
    made = Mersenne(contracts.sampling_plan.order.seed, _state(contracts) or None)
    made.skip(given(contracts, STREAM)["draws_before"])
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
    if found := passes.rules(contracts, STREAM):
        return found
    found = list(_stream_rules(contracts, ["draws_before", "draws_a_pass"]))
    told = given(contracts, STREAM)["draws_a_pass"]
    own = permutation_draws(passes.entries_total(contracts))
    if 0 <= told < own:
        expected = f"{own} or more, which a permutation takes"
        found.append(ContractFinding("OrderMismatch", f"{AT}/draws_a_pass", expected, str(told)))
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
        self._generator.skip((first - self._position) * number_draws(self._entries))
        self._position = end
        return self._all.sequence_ids(0, self._entries)[self._generator.numbers(end - first, self._entries)]


def replacement_rules(contracts: Contracts) -> list[ContractFinding]:
    known = {name: parameter for name, parameter in STREAM.items() if name != "draws_a_pass"}
    if found := findings(contracts, known):
        return found
    found = list(_stream_rules(contracts, ["draws_before"]))
    if (may := contracts.sampling_plan.order.may_repeat) != "anything":
        found.append(ContractFinding("OrderMismatch", "sampling_plan#/order/may_repeat", "anything", may))
    return found
