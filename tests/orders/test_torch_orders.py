"""The orders of torch, accelerate and torchdata: vectors that the libraries once gave, and torch itself."""

from itertools import chain, islice
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler, RandomSampler

from psion_ledger.errors import CannotDecide
from psion_ledger.orders import ORDERS, derive
from psion_ledger.orders.mersenne import Mersenne, permutation_draws
from psion_ledger.orders.torch_orders import DRAWS_MAX
from tests.orders.plans import as_told, contracts_of, label, needs_vectors, order_of, passes_of, vectors

SEEDS = [0, 1, 2, 42, 1337, 2**31 - 1, 2**32 - 1, 2**32 + 5, 2**63 - 1, 2**64 - 1]
SIZES = [1, 10_007, 2**12, 2**16 + 3]
PASSES = 3


class Numbers(Dataset[int]):
    """The entry at a place is the place."""

    def __init__(self, entries: int) -> None:
        self._entries = entries

    def __len__(self) -> int:
        return self._entries

    def __getitem__(self, place: int) -> int:
        return place


# --- vectors -------------------------------------------------------------------------------------------------------


@needs_vectors
@pytest.mark.parametrize("vector", [v for v in vectors("torch.randperm") if v["parameters"]["n"] <= 10**6], ids=label)
def test_a_pass_of_randperm_is_the_vectors(vector: dict[str, Any]) -> None:
    """The first pass, from the seed itself."""
    entries, seed = vector["parameters"]["n"], vector["parameters"]["seed"]
    found = order_of("torch.randperm", entries, seed=seed).sequence_ids(0, entries)
    assert vector["expected"] == as_told(vector["expected"], found)


@needs_vectors
@pytest.mark.parametrize("vector", vectors("torch.dataloader"), ids=label)
def test_the_passes_of_a_loader_are_the_vectors(vector: dict[str, Any]) -> None:
    """With a generator of its own: a base seed before each walk, or, of persistent workers, before the first alone.
    Without one each walk has a generator seeded by the second int64 of the global one."""
    told, entries = vector["parameters"], vector["parameters"]["n"]
    if "manual_seed" in told:
        shared = Mersenne(told["manual_seed"]).wide_draws(2 * len(vector["expected"]))[1::2] & (2**63 - 1)
        assert vector["expected"] == [Mersenne(int(seed)).permutation(entries).tolist() for seed in shared]
        return
    walk = 2 * (entries - 1)
    between = walk if told.get("persistent_workers") else walk + 2
    order = order_of("torch.generator", entries, seed=told["generator_seed"], draws_before=2, draws_a_pass=between)
    assert vector["expected"] == passes_of(order, entries, len(vector["expected"]))


@needs_vectors
@pytest.mark.parametrize("vector", vectors("torchdata.stateful"), ids=label)
def test_the_passes_of_a_stateful_loader_are_the_vectors(vector: dict[str, Any]) -> None:
    """With workers each permutation is drawn twice; one of its own is seeded by the global one."""
    told, entries = vector["parameters"], vector["parameters"]["n"]
    own, base = entries - 1, 2 if "generator_seed" in told else 0
    seed = told.get("generator_seed")
    if seed is None:
        seed = int(Mersenne(told["manual_seed"]).wide_draws(1)[0]) & (2**63 - 1)
    before, between = (own + base, 2 * own + base) if told["workers"] else (0, own + base)
    order = order_of("torch.generator", entries, seed=seed, draws_before=before, draws_a_pass=between)
    assert vector["expected"] == passes_of(order, entries, len(vector["expected"]))


@needs_vectors
@pytest.mark.parametrize("vector", vectors("torch.random_sampler"), ids=label)
def test_the_walks_of_a_sampler_are_the_vectors(vector: dict[str, Any]) -> None:
    """With replacement one stream of numbers; without, permutations, of which the last is drawn in any case. A walk of
    another length than the data has is no order of passes: its permutations are the generator's."""
    told, expected = vector["parameters"], vector["expected"]
    entries, seed, length = told["n"], told["seed"], told["num_samples"] or told["n"]
    if told["replacement"]:
        assert expected == passes_of(order_of("torch.replacement", entries, seed=seed), length, len(expected))
    elif length == entries:
        order = order_of("torch.generator", entries, seed=seed, draws_a_pass=2 * (entries - 1))
        assert expected == passes_of(order, entries, len(expected))
    else:
        made, whole = Mersenne(seed), 1 + length // entries
        drawn = [made.permutation(entries).tolist() for _ in range(whole * len(expected))]
        walks = [list(chain(*drawn[n : n + whole]))[:length] for n in range(0, len(drawn), whole)]
        assert expected == walks


@needs_vectors
@pytest.mark.parametrize("vector", vectors("accelerate.seedable"), ids=label)
def test_the_passes_of_a_seedable_sampler_are_the_vectors(vector: dict[str, Any]) -> None:
    """Each by a seed of its own."""
    told = vector["parameters"]
    order = order_of("torch.randperm", told["n"], seed=told["seed"])
    assert vector["expected"] == passes_of(order, told["n"], len(vector["expected"]))


# --- torch itself --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entries", SIZES)
def test_passes_of_randperm_are_torchs(entries: int) -> None:
    """Ten seeds, three passes each: a generator of its own a pass."""
    for seed in SEEDS:
        made = [torch.Generator().manual_seed((seed + number) % 2**64) for number in range(PASSES)]
        expected = [torch.randperm(entries, generator=own).tolist() for own in made]
        assert expected == passes_of(order_of("torch.randperm", entries, seed=seed), entries, PASSES)


@pytest.mark.parametrize("entries", SIZES)
def test_a_loader_with_a_generator_is_derived(entries: int) -> None:
    """Ten seeds, three walks each, of a real loader."""
    for seed in SEEDS:
        own = torch.Generator().manual_seed(seed)
        loader = DataLoader(Numbers(entries), batch_size=4096, shuffle=True, generator=own, collate_fn=list)
        expected = [[place for batch in loader for place in batch] for _ in range(PASSES)]
        between = 2 + 2 * permutation_draws(entries)
        order = order_of("torch.generator", entries, seed=seed, draws_before=2, draws_a_pass=between)
        assert expected == passes_of(order, entries, PASSES)


@pytest.mark.parametrize("entries", SIZES)
def test_a_sampler_with_a_generator_is_derived(entries: int) -> None:
    """Ten seeds; a walk that runs to its end draws another permutation, one broken off at its last row does not."""
    for seed in SEEDS:
        whole, broken = (
            RandomSampler(Numbers(entries), generator=torch.Generator().manual_seed(seed)) for _ in range(2)
        )
        expected = [list(whole) for _ in range(PASSES)], [list(islice(broken, entries)) for _ in range(PASSES)]
        to_the_end = order_of("torch.generator", entries, seed=seed, draws_a_pass=2 * permutation_draws(entries))
        broken_off = order_of("torch.generator", entries, seed=seed)
        assert expected == (passes_of(to_the_end, entries, PASSES), passes_of(broken_off, entries, PASSES))


@pytest.mark.parametrize("entries", SIZES)
def test_a_sampler_with_replacement_is_derived(entries: int) -> None:
    """Ten seeds, three walks each: one stream of numbers."""
    for seed in SEEDS:
        own = torch.Generator().manual_seed(seed)
        sampler = RandomSampler(Numbers(entries), replacement=True, num_samples=1000, generator=own)
        expected = [list(sampler) for _ in range(PASSES)]
        assert expected == passes_of(order_of("torch.replacement", entries, seed=seed), 1000, PASSES)


@pytest.mark.parametrize("tail", ["pad", "drop"])
@pytest.mark.parametrize("entries", SIZES)
def test_a_distributed_sampler_is_derived(entries: int, tail: str) -> None:
    """Ten seeds, three passes each, for five ranks: with the tail filled up from the head of the pass, or dropped."""
    world = 5
    length = entries // world * world if tail == "drop" else -(-entries // world) * world
    for seed in [*SEEDS[:-2], 2**63 - 9, 9]:
        samplers: list[DistributedSampler[int]] = [
            DistributedSampler(Numbers(entries), world, rank, seed=seed, drop_last=tail == "drop")
            for rank in range(world)
        ]
        if length == 0:
            contracts = contracts_of("torch.randperm", entries, {"tail": tail, "block": world}, seed=seed)
            at = "sampling_plan#/order/parameters/block"
            assert [at] == [finding.pointer for finding in ORDERS["torch.randperm", "1"].rules(contracts)]
            continue
        order = order_of("torch.randperm", entries, seed=seed, tail=tail, block=world)
        for number in range(PASSES):
            for sampler in samplers:
                sampler.set_epoch(number)
            found = order.sequence_ids(number * length, (number + 1) * length)
            assert [list(own) for own in samplers] == [found[rank::world].tolist() for rank in range(world)]


def test_a_sampler_that_is_never_told_its_pass_repeats_the_first() -> None:
    """`set_epoch` is not called: the seed does not move."""
    order = order_of("torch.randperm", 1000, seed=5, seed_step=0)
    own = torch.randperm(1000, generator=torch.Generator().manual_seed(5)).tolist()
    assert [own] * 3 == passes_of(order, 1000, 3)


def test_a_run_may_begin_with_a_later_pass() -> None:
    """`set_epoch(4)` before the first one."""
    later = order_of("torch.randperm", 100, seed=5, first_pass=4)
    assert passes_of(order_of("torch.randperm", 100, seed=5), 100, 7)[4:] == passes_of(later, 100, 3)


# --- what torch.generator asks of its own parameters ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["torch.generator", "torch.replacement"])
def test_a_recorded_state_stands_in_the_place_of_the_seed(name: str) -> None:
    """Behind whatever had drawn from the generator before the first pass."""
    own = torch.Generator().manual_seed(3)
    torch.rand(17, generator=own)
    state = bytes(own.get_state().tolist()).hex()
    order = order_of(name, 500, seed=99, state=state)
    drawn = (
        torch.randint(500, (500,), generator=own) if name == "torch.replacement" else torch.randperm(500, generator=own)
    )
    assert drawn.tolist() == order.sequence_ids(0, 500).tolist()


@pytest.mark.parametrize("name", ["torch.generator", "torch.replacement"])
@pytest.mark.parametrize("state", ["xyz", "00" * 5055, "ff" * 5056])
def test_what_is_no_state_is_found(name: str, state: str) -> None:
    """It is not hex, too short, or full of impossible words; nothing is derived from it either."""
    contracts = contracts_of(name, 50, {"state": state})
    (found,) = ORDERS[name, "1"].rules(contracts)
    assert (found.code, found.pointer) == ("OrderMismatch", "sampling_plan#/order/parameters/state")
    with pytest.raises(CannotDecide, match="state of the generator"):
        derive(contracts).sequence_ids(0, 1)


@pytest.mark.parametrize(("name", "parameter"), [
    ("torch.generator", "draws_before"), ("torch.generator", "draws_a_pass"), ("torch.replacement", "draws_before"),
])  # fmt: skip
def test_more_draws_than_anybody_waits_for_are_found(name: str, parameter: str) -> None:
    """A number costs whoever wrote it nothing, and whoever derives the order hours."""
    told, at = DRAWS_MAX + 1, f"sampling_plan#/order/parameters/{parameter}"
    found = ORDERS[name, "1"].rules(contracts_of(name, 50, {parameter: told}))
    assert [("OrderMismatch", at, f"at most {DRAWS_MAX}", str(told))] == [
        (f.code, f.pointer, f.expected, f.actual) for f in found
    ]
    assert ORDERS[name, "1"].rules(contracts_of(name, 50, {parameter: DRAWS_MAX})) == []


@pytest.mark.parametrize(("told", "found"), [(48, 1), (49, 0), (50, 0), (-1, 0), (0, 1)])
def test_a_pass_takes_no_fewer_draws_than_its_permutation(told: int, found: int) -> None:
    """49 for 50 entries; -1 is just these."""
    rules = ORDERS["torch.generator", "1"].rules(contracts_of("torch.generator", 50, {"draws_a_pass": told}))
    assert [("49 or more, which a permutation takes", str(told))] * found == [(f.expected, f.actual) for f in rules]


def test_numbers_with_replacement_may_repeat_anything() -> None:
    """A plan that says otherwise is not of this order."""
    (found,) = ORDERS["torch.replacement", "1"].rules(contracts_of("torch.replacement", 50, may_repeat="padding"))
    assert (found.pointer, found.expected, found.actual) == (
        "sampling_plan#/order/may_repeat",
        "anything",
        "padding",
    )


def test_numbers_far_out_are_had_without_keeping_those_before() -> None:
    """As many as a long run draws are left out in parts; asked again, they are the same."""
    order = order_of("torch.replacement", 50, seed=3)
    far = 5_000_000
    expected = Mersenne(3).numbers(far + 8, 50)[-8:].tolist()
    assert [expected] * 2 == [order.sequence_ids(far, far + 8).tolist() for _ in range(2)]
