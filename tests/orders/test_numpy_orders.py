"""The orders of OLMo-core, Megatron-LM and MosaicML: vectors that the libraries' recipes gave, and their own rules."""

from itertools import chain, zip_longest
from typing import Any

import numpy as np
import pytest

from psion_ledger.contracts import ContractFinding
from psion_ledger.contracts.sampling_plan import MayRepeat
from psion_ledger.orders import ORDERS, derive, megatron, mosaicml
from tests.orders.plans import Value, as_told, contracts_of, label, needs_vectors, order_of, passes_of, vectors

AT = "sampling_plan#/order/parameters"
MOSAIC = sorted(mosaicml.SHUFFLES)


# --- numpy.pcg64_shuffle -------------------------------------------------------------------------------------------


@needs_vectors
@pytest.mark.parametrize(
    "vector", [v for v in vectors("numpy.pcg64_shuffle") if "world" not in v["parameters"]], ids=label
)
def test_a_pass_of_pcg64_is_the_vectors(vector: dict[str, Any]) -> None:
    """Row by row, or in chunks of neighbours; OLMo-core counts its passes from 1."""
    told = vector["parameters"]
    order = order_of(
        "numpy.pcg64_shuffle", told["n"], seed=told["seed"], first_pass=told["epoch"], chunk=told.get("chunk", 1)
    )
    assert vector["expected"] == as_told(vector["expected"], order.sequence_ids(0, told["n"]))


def test_each_pass_has_a_seed_of_its_own() -> None:
    """The seed and the number of the pass are added up."""
    order = order_of("numpy.pcg64_shuffle", 1000, seed=5, first_pass=1)
    expected = []
    for number in range(3):
        rows = np.arange(1000, dtype=np.uint32)
        np.random.Generator(np.random.PCG64(6 + number)).shuffle(rows)
        expected.append(rows.tolist())
    assert expected == passes_of(order, 1000, 3)


def test_entries_that_fill_no_chunk_are_left_out() -> None:
    """Of 23 entries in chunks of four, five chunks."""
    (first,) = passes_of(order_of("numpy.pcg64_shuffle", 23, chunk=4), 20, 1)
    assert [first[n : n + 4] for n in range(0, 20, 4)] == [[row, row + 1, row + 2, row + 3] for row in first[::4]]
    assert sorted(first) == list(range(20))


# --- megatron.gpt --------------------------------------------------------------------------------------------------


@needs_vectors
@pytest.mark.parametrize("vector", vectors("megatron.gpt"), ids=label)
def test_the_samples_of_megatron_are_the_vectors(vector: dict[str, Any]) -> None:
    """From how many tokens and samples there are follows how many epochs, and whether the last is shuffled apart."""
    told, expected = vector["parameters"], vector["expected"]["shuffle_index"]
    tokens, length, extra = sum(told["tokens_of_documents"]), told["sequence_length"], told["add_extra_token"]
    epochs = next(n for n in range(1, 99) if n * tokens >= told["samples"] * length + extra)
    before = ((epochs - 1) * tokens - extra) // length if epochs > 1 else 0
    apart = before if told["samples"] - before < int(0.80 * ((tokens - extra) // length)) else 0
    order = order_of(
        "megatron.gpt", len(expected), seed=told["seed"], documents=len(told["tokens_of_documents"]), epochs=epochs,
        samples_before_last=apart,
    )  # fmt: skip
    assert (expected, len(expected)) == (
        order.sequence_ids(0, len(expected)).tolist(),
        (epochs * tokens - extra) // length,
    )


def test_the_last_epoch_is_shuffled_apart() -> None:
    """The samples before it are a permutation of their own; and the documents count."""
    parameters: dict[str, Value] = {"documents": 9, "epochs": 3, "samples_before_last": 40}

    def drawn(changes: dict[str, Value]) -> list[int]:
        ids = derive(contracts_of("megatron.gpt", 50, parameters | changes)).sequence_ids(0, 50)
        return [int(i) for i in ids]

    ids = drawn({})
    assert (sorted(ids[:40]), sorted(ids[40:])) == (list(range(40)), list(range(40, 50)))
    assert all(ids != drawn({name: value}) for name, value in (("documents", 10), ("epochs", 4)))
    assert sorted(drawn({"samples_before_last": 0})[:40]) != list(range(40))


@pytest.mark.parametrize(
    ("parameters", "at", "expected", "actual"),
    [
        ({"documents": 2**20, "epochs": 2**11 + 1}, "documents", f"at most {2**31} in all epochs", str(2**31 + 2**20)),
        (
            {"documents": 5, "epochs": 2, "samples_before_last": 51},
            "samples_before_last",
            "at most 50 of 50 samples, in 2 epochs",
            "51",
        ),
        (
            {"documents": 5, "epochs": 1, "samples_before_last": 5},
            "samples_before_last",
            "at most 0 of 50 samples, in 1 epochs",
            "5",
        ),
    ],
)
def test_what_megatron_cannot_have_drawn_is_found(
    parameters: dict[str, Value], at: str, expected: str, actual: str
) -> None:
    """More documents than anybody shuffles, more samples than there are, and a last epoch behind none."""
    found = ORDERS[megatron.NAME, "1"].rules(contracts_of(megatron.NAME, 50, parameters))
    assert [ContractFinding("OrderMismatch", f"{AT}/{at}", expected, actual)] == found


def test_a_seed_of_megatron_has_32_bits() -> None:
    """Its generator takes no larger one."""
    parameters: dict[str, Value] = {"documents": 5, "epochs": 1}
    assert ORDERS[megatron.NAME, "1"].rules(contracts_of(megatron.NAME, 50, parameters, seed=2**32 - 1)) == []
    (found,) = ORDERS[megatron.NAME, "1"].rules(contracts_of(megatron.NAME, 50, parameters, seed=2**32))
    assert (found.pointer, found.expected, found.actual) == ("sampling_plan#/order/seed", "below 2**32", str(2**32))


# --- mosaicml ------------------------------------------------------------------------------------------------------


@needs_vectors
@pytest.mark.parametrize("vector", vectors(*(name.replace("ml.", ".") for name in MOSAIC)), ids=label)
def test_the_rows_of_a_mosaic_shuffle_are_the_vectors(vector: dict[str, Any]) -> None:
    """Node by node; a pass reads the nodes in turns, and the shorter one repeats its last row."""
    told, expected = vector["parameters"], vector["expected"]
    name, sizes, nodes, block = (
        vector["order"].replace("mosaic.", "mosaicml."), told["shard_sizes"], told["canonical_nodes"], told["block"]
    )  # fmt: skip
    found = mosaicml.rows_by_node(name, sizes, nodes, block, told["seed"], told["epoch"])
    assert expected == [row for rows in found for row in rows.tolist()]
    total = sum(sizes)
    assert nodes == 2
    parts = [expected[: total // 2], expected[total // 2 :]]
    turns = chain(*zip_longest(*parts, fillvalue=parts[0][-1]))
    order = order_of(name, total, seed=told["seed"], shard_sizes=sizes, canonical_nodes=nodes, shuffle_block_size=block)
    length = -(-total // nodes) * nodes
    assert list(turns) == passes_of(order, length, told["epoch"] + 1)[told["epoch"]]


@pytest.mark.parametrize("name", MOSAIC)
@pytest.mark.parametrize("nodes", [1, 2, 3, 7, 24])
def test_each_pass_of_a_mosaic_shuffle_has_each_row(name: str, nodes: int) -> None:
    """And as many repeated ones as nodes are shorter than the longest."""
    order = order_of(name, 24, shard_sizes=[5, 7, 2, 10], canonical_nodes=nodes, shuffle_block_size=6)
    length = -(-24 // nodes) * nodes
    for rows in passes_of(order, length, 3):
        assert (set(range(24)), length) == (set(rows), len(rows))


def test_each_mosaic_shuffle_is_another() -> None:
    """None stands for another one."""
    found = [
        order_of(name, 24, shard_sizes=[5, 7, 2, 10], canonical_nodes=2, shuffle_block_size=6).sequence_ids(0, 24)
        for name in MOSAIC
    ]
    assert len(MOSAIC) == len({tuple(rows.tolist()) for rows in found}) == 5


@pytest.mark.parametrize("name", MOSAIC)
@pytest.mark.parametrize(
    ("changes", "at", "code", "expected", "actual"),
    [
        ({"shard_sizes": [5, 7]}, "shard_sizes", "CountMismatch", "24", "12"),
        ({"canonical_nodes": 25}, "canonical_nodes", "OrderMismatch", "at most 24", "25"),
        ({"shuffle_block_size": 2**62 + 1}, "shuffle_block_size", "OrderMismatch", f"at most {2**62}", str(2**62 + 1)),
    ],
)
def test_what_a_mosaic_shuffle_cannot_do_is_found(
    name: str, changes: dict[str, Value], at: str, code: str, expected: str, actual: str
) -> None:
    """Shards of other data, more nodes than rows, and blocks whose size cannot be drawn."""
    parameters: dict[str, Value] = {"shard_sizes": [5, 7, 12], "canonical_nodes": 2, "shuffle_block_size": 8}
    found = ORDERS[name, "1"].rules(contracts_of(name, 24, parameters | changes))
    assert [ContractFinding(code, f"{AT}/{at}", expected, actual)] == found


@pytest.mark.parametrize("name", MOSAIC)
def test_the_largest_blocks_are_derived(name: str) -> None:
    """Their sizes are drawn as 64-bit numbers."""
    order = order_of(name, 24, shard_sizes=[5, 7, 12], canonical_nodes=2, shuffle_block_size=2**62)
    assert sorted(order.sequence_ids(0, 24).tolist()) == list(range(24))


@pytest.mark.parametrize("name", MOSAIC)
@pytest.mark.parametrize(
    ("nodes", "tail", "may_repeat", "repeats"),
    [
        (2, "keep", "nothing", True),
        (2, "keep", "padding", False),
        (3, "keep", "nothing", False),
        (2, "drop", "nothing", False),
        (2, "pad", "padding", False),
    ],
)
def test_nodes_of_other_lengths_repeat_a_row(
    name: str, nodes: int, tail: str, may_repeat: MayRepeat, repeats: bool
) -> None:
    """21 rows for two nodes: a plan of which nothing may repeat needs the last turn to be dropped, or three nodes."""
    parameters: dict[str, Value] = {
        "shard_sizes": [21],
        "canonical_nodes": nodes,
        "tail": tail,
        "block": 4,
        "shuffle_block_size": 8,
    }
    found = ORDERS[name, "1"].rules(contracts_of(name, 21, parameters, may_repeat=may_repeat))
    at = "sampling_plan#/order/may_repeat"
    assert [("OrderMismatch", at, "padding or anything", "nothing")] * repeats == [
        (f.code, f.pointer, f.expected, f.actual) for f in found
    ]
