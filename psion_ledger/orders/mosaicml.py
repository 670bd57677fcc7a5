"""The shuffles of MosaicML's streaming datasets, for one stream that is taken whole, on one node.

Shards are ranges of rows. The run's generator shuffles them once, they are cut into as many parts as there are
canonical nodes, and the pass's generator shuffles within the parts. The parts are then read in turns; one that is
shorter repeats its last row. Rank r of W takes every W-th row: `ranks` of the plan is `strided`.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from psion_ledger.contracts import ContractFinding, Contracts
from psion_ledger.contracts.finding import equal
from psion_ledger.contracts.sampling_plan import ROLE
from psion_ledger.orders import passes
from psion_ledger.orders.parameters import AT, Parameter, Specification, given

VERSION = "1"
KNOWN: Specification = {
    "shard_sizes": Parameter(list[int], least=1),
    "canonical_nodes": Parameter(int, least=1),
    # The library's own default depends on the number of its nodes, so it is told.
    "shuffle_block_size": Parameter(int, least=2),
}
# A quarter more than a block is drawn as an int64.
BLOCK_MAX = 1 << 62
Rows = NDArray[np.int64]
Range = tuple[int, int]
_Parts = list[list[Range]]


class _Shuffle:
    """One pass: its seed, its parameters, and the generators of the run and of the pass."""

    def __init__(self, sizes: list[int], nodes: int, block: int, seed: int, epoch: int) -> None:
        ends = np.cumsum(sizes).tolist()
        self.shards: list[Range] = list(zip([0, *ends[:-1]], ends, strict=True))
        self.rows_total: int = ends[-1]
        self.nodes, self.block = nodes, block
        self.of_run, self.of_pass = np.random.default_rng(seed), np.random.default_rng(seed + epoch)

    def shuffled_shards(self) -> list[Range]:
        ranges = list(self.shards)
        self.of_run.shuffle(ranges)
        return ranges

    def cut(self, ranges: list[Range]) -> _Parts:
        """The ranges dealt to the canonical nodes; one that reaches over a border is cut there."""
        parts: _Parts = [[] for _ in range(self.nodes)]
        before = 0
        for first, end in ranges:
            while first < end:
                node = next(n for n in range(self.nodes) if before < self.rows_total * (n + 1) // self.nodes)
                taken = min(end - first, self.rows_total * (node + 1) // self.nodes - before)
                parts[node].append((first, first + taken))
                first, before = first + taken, before + taken
        return parts

    def shuffled_parts(self, parts: _Parts) -> _Parts:
        for part in parts:
            self.of_pass.shuffle(part)
        return parts

    def shuffled_rows(self, first: int, end: int) -> Rows:
        rows = np.arange(first, end, dtype=np.int64)
        self.of_pass.shuffle(rows)
        return rows


def _naive(shuffle: _Shuffle) -> list[Rows]:
    rows = shuffle.of_pass.permutation(shuffle.rows_total)
    borders = [shuffle.rows_total * node // shuffle.nodes for node in range(shuffle.nodes + 1)]
    return [rows[first:end] for first, end in pairwise(borders)]


def _py1s(shuffle: _Shuffle) -> list[Rows]:
    parts = shuffle.shuffled_parts(shuffle.cut(shuffle.shuffled_shards()))
    return [np.concatenate([shuffle.shuffled_rows(*own) for own in part]) for part in parts]


def _py2s(shuffle: _Shuffle) -> list[Rows]:
    """As py1s, with the rows of each shard shuffled by the run's generator before the cut."""
    ranges = shuffle.shuffled_shards()
    shuffled = np.concatenate([_once(shuffle, first, end) for first, end in ranges])
    lengths = np.cumsum([end - first for first, end in ranges]).tolist()
    places: list[Range] = list(zip([0, *lengths[:-1]], lengths, strict=True))
    found = []
    for part in shuffle.cut(places):
        shuffle.of_pass.shuffle(part)
        rows = [shuffled[first:end].copy() for first, end in part]
        for own in rows:
            shuffle.of_pass.shuffle(own)
        found.append(np.concatenate(rows))
    return found


def _once(shuffle: _Shuffle, first: int, end: int) -> Rows:
    rows = np.arange(first, end, dtype=np.int64)
    shuffle.of_run.shuffle(rows)
    return rows


def _py1br(shuffle: _Shuffle) -> list[Rows]:
    """Blocks of about `block` rows are shuffled each. A block begins a stagger of its node before the rows that are
    blocked so far, but not before the node; the count of those rows grows by what the block really has."""
    parts = shuffle.shuffled_parts(shuffle.cut(shuffle.shuffled_shards()))
    least, most = int(0.75 * shuffle.block), int(1.25 * shuffle.block)
    staggers = shuffle.of_pass.integers(0, least, shuffle.nodes).tolist()
    found = []
    for part, stagger in zip(parts, staggers, strict=True):
        rows = np.concatenate([np.arange(first, end, dtype=np.int64) for first, end in part])
        blocks, blocked = list[Range](), 0
        while blocked < len(rows):
            size = int(shuffle.of_pass.integers(least, most))
            block = max(blocked - stagger, 0), min(blocked + size - stagger, len(rows))
            blocks.append(block)
            blocked += block[1] - block[0]
        for first, end in blocks:
            shuffle.of_pass.shuffle(rows[first:end])
        found.append(rows)
    return found


def _py1e(shuffle: _Shuffle) -> list[Rows]:
    """Rows are moved by a random shift of up to about half a block, then put in the order of where they came to."""
    parts = shuffle.shuffled_parts(shuffle.cut(shuffle.shuffled_shards()))
    least, most = int(0.75 * shuffle.block), int(1.25 * shuffle.block)
    found = []
    for part in parts:
        rows = np.concatenate([shuffle.shuffled_rows(first, end) for first, end in part])
        shifts, place = [], 0
        for first, end in part:
            size = end - first
            reach = max((int(shuffle.of_pass.integers(least, most)) - size) / 2, 0)
            low, high = -min(reach, place), min(reach, len(rows) - place - size)
            shifts.append(shuffle.of_pass.uniform(low, high, size))
            place += size
        found.append(rows[np.argsort(np.arange(len(rows)) + np.concatenate(shifts), kind="stable")])
    return found


SHUFFLES: dict[str, Callable[[_Shuffle], list[Rows]]] = {
    "mosaicml.naive": _naive,
    "mosaicml.py1s": _py1s,
    "mosaicml.py2s": _py2s,
    "mosaicml.py1br": _py1br,
    "mosaicml.py1e": _py1e,
}


def rows_by_node(name: str, sizes: list[int], nodes: int, block: int, seed: int, epoch: int) -> list[Rows]:
    """The rows of a pass in the order of each canonical node."""
    return SHUFFLES[name](_Shuffle(sizes, nodes, block, seed, epoch))


def _in_turns(parts: list[Rows]) -> Rows:
    longest = max(len(part) for part in parts)
    padded = [np.concatenate([part, np.repeat(part[-1:], longest - len(part))]) for part in parts if len(part)]
    turns: Rows = np.stack(padded, axis=1).reshape(-1)
    return turns


def _positions(contracts: Contracts) -> int:
    """The positions of a pass, repeated rows among them."""
    values, total = given(contracts, KNOWN), passes.entries_total(contracts)
    nodes = min(values["canonical_nodes"], total) if isinstance(values["canonical_nodes"], int) else 1
    return -(-total // nodes) * nodes if nodes > 0 else total


def made(contracts: Contracts) -> passes.Passes:
    values, order = given(contracts, KNOWN), contracts.sampling_plan.order
    name, seed = order.name or "", order.seed or 0

    def turns(number: int) -> Rows:
        sizes, nodes, block = values["shard_sizes"], values["canonical_nodes"], values["shuffle_block_size"]
        return _in_turns(rows_by_node(name, sizes, nodes, block, seed, number))

    return passes.Passes(contracts, turns, _positions(contracts))


def rules(contracts: Contracts) -> list[ContractFinding]:
    positions, total = _positions(contracts), passes.entries_total(contracts)
    if found := passes.rules(contracts, KNOWN, positions):
        return found
    values = given(contracts, {**passes.TAIL, **KNOWN})
    found += equal(f"{AT}/shard_sizes", total, sum(values["shard_sizes"]), "CountMismatch")
    for name, most in (("canonical_nodes", total), ("shuffle_block_size", BLOCK_MAX)):
        if values[name] > most:
            found.append(ContractFinding("OrderMismatch", f"{AT}/{name}", f"at most {most}", str(values[name])))
    # Nodes that are shorter repeat their last row in the last turn.
    length = passes.pass_length(positions, values["tail"], values["block"])
    repeats = positions > total and length > positions - values["canonical_nodes"]
    if repeats and contracts.sampling_plan.order.may_repeat == "nothing":
        found.append(ContractFinding("OrderMismatch", f"{ROLE}#/order/may_repeat", "padding or anything", "nothing"))
    return found
