"""An order and the plan's rule for ranks together give each rank what its library gives it."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from psion_ledger.contracts import SamplingPlan
from psion_ledger.contracts.sampling_plan import BatchRule, Layout, RankRule, Take
from psion_ledger.contracts.steps import cells
from psion_ledger.orders import Order, mosaicml
from tests.documents import small_plan
from tests.orders.plans import label, needs_vectors, order_of, vectors

pytestmark = needs_vectors


def rule(micro: int, take: Take, layout: Layout = "micro_major") -> SamplingPlan:
    return msgspec.structs.replace(
        small_plan(), batch=BatchRule(micro_batch_sequences=micro), ranks=RankRule(layout=layout, take=take)
    )


def batches(order: Order, plan: SamplingPlan, positions: range, size: int, world: int) -> list[list[list[int]]]:
    """Per rank its batches, in steps of `size` positions."""
    found: list[list[list[int]]] = [[] for _ in range(world)]
    for first in range(positions.start, positions.stop, size):
        for cell in cells(plan, range(first, min(first + size, positions.stop)), world):
            ids = [int(order.sequence_ids(position, position + 1)[0]) for position in cell.positions]
            found[cell.rank].append(ids)
    return found


@pytest.mark.parametrize("vector", vectors("torch.distributed_sampler"), ids=label)
def test_ranks_of_a_distributed_sampler_take_turns(vector: dict[str, Any]) -> None:
    """Every world-th row, of a pass that is filled up or cut to a multiple of the world."""
    told = vector["parameters"]
    entries, world, tail = told["n"], told["world"], "drop" if told["drop_last"] else "pad"
    length = entries // world * world if told["drop_last"] else -(-entries // world) * world
    if told["shuffle"]:
        order = order_of("torch.randperm", entries, seed=told["seed"], first_pass=told["epoch"], tail=tail, block=world)
    else:
        order = order_of("sequential", entries, seed=0, tail=tail, block=world)
    layouts: tuple[Layout, ...] = ("micro_major", "rank_major")
    for layout in layouts:
        plan = rule(length, "strided", layout)
        assert [[rows] for rows in vector["expected"]] == batches(order, plan, range(length), length, world)


@pytest.mark.parametrize("vector", vectors("accelerate.batch_sampler_shard"), ids=label)
def test_ranks_of_accelerate_take_neighbours(vector: dict[str, Any]) -> None:
    """A block is a batch of each rank, or one batch that is split; its tail is filled up or dropped."""
    told = vector["parameters"]
    entries, world, batch = told["n"], told["world"], told["batch"]
    assert told["even_batches"]
    micro = batch // world if told["split_batches"] else batch
    block = micro * world
    length = entries // block * block if told["drop_last"] else -(-entries // block) * block
    if length == 0:
        assert vector["expected"] == [[]] * world
        return
    order = order_of(
        "torch.randperm", entries, seed=told["seed"], first_pass=told["epoch"],
        tail="drop" if told["drop_last"] else "pad", block=block,
    )  # fmt: skip
    assert vector["expected"] == batches(order, rule(micro, "contiguous"), range(length), block, world)
    # Two blocks of accumulation are dealt alike.
    assert vector["expected"] == batches(order, rule(micro, "contiguous"), range(length), 2 * block, world)


@pytest.mark.parametrize("vector", [v for v in vectors("numpy.pcg64_shuffle") if "world" in v["parameters"]], ids=label)
def test_ranks_of_olmo_core_take_turns(vector: dict[str, Any]) -> None:
    """Every world-th row of a global batch; the tail that fills none is dropped."""
    told = vector["parameters"]
    entries, world, batch = told["n"], told["world"], told["batch"]
    order = order_of(
        "numpy.pcg64_shuffle", entries, seed=told["seed"], first_pass=told["epoch"], tail="drop", block=batch
    )
    plan = rule(batch // world, "strided")
    assert vector["expected"] == batches(order, plan, range(entries // batch * batch), batch, world)


@pytest.mark.parametrize("vector", vectors("megatron.sampler"), ids=label)
def test_ranks_of_megatron_take_neighbours(vector: dict[str, Any]) -> None:
    """From the samples that are consumed on; the tail is dropped."""
    told = vector["parameters"]
    block = told["micro_batch"] * told["world"]
    end = told["consumed"] + (told["total"] - told["consumed"]) // block * block
    order = order_of("sequential", told["total"], seed=0)
    positions, plan = range(told["consumed"], end), rule(told["micro_batch"], "contiguous")
    assert vector["expected"] == batches(order, plan, positions, block, told["world"])


@pytest.mark.parametrize("vector", vectors("mosaic.partition_orig"), ids=label)
def test_ranks_of_mosaic_take_turns(vector: dict[str, Any]) -> None:
    """The nodes are read in turns, the rows dealt out one by one; a rank's workers give its batches in turns."""
    told = vector["parameters"]
    world, size = told["nodes"] * told["ranks_per_node"], told["batch"]
    ((*ranks,),) = vector["expected"]
    in_turns = [[workers[n % len(workers)][n // len(workers)] for n in range(6)] for workers in ranks]
    expected = [[[row for row in batch if row >= 0] for batch in rank] for rank in in_turns]
    borders = [told["n"] * node // told["canonical_nodes"] for node in range(told["canonical_nodes"] + 1)]
    places = order_of("sequential", told["n"], seed=0)
    nodes = [places.sequence_ids(first, end) for first, end in pairwise(borders)]
    turns = mosaicml._in_turns(nodes)
    found: list[list[list[int]]] = [[] for _ in range(world)]
    for first in range(0, len(turns), size * world):
        for cell in cells(rule(size, "strided"), range(first, min(first + size * world, len(turns))), world):
            found[cell.rank].append([int(turns[position]) for position in cell.positions])
    assert expected == found


def test_every_vector_is_tested_somewhere() -> None:
    """Those of a blend of several data sets are not: it is not among the orders that are derived."""
    known = {
        "mt19937", "torch.randint", "torch.randperm", "torch.random_sampler", "torch.dataloader",
        "torch.distributed_sampler", "accelerate.seedable", "accelerate.batch_sampler_shard", "torchdata.stateful",
        "numpy.pcg64_shuffle", "megatron.gpt", "megatron.sampler", "mosaic.partition_orig",
        *(name.replace("ml.", ".") for name in mosaicml.SHUFFLES),
    }  # fmt: skip
    assert known | {"megatron.blend"} == {vector["order"] for vector in vectors()}
