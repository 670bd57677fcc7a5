"""The order, written twice: both agree with the committed vectors and with each other, everywhere.

`python -m tests.orders.test_weighted_cycle --write` makes fixtures/order_vectors.json again, by trainer/order.py.
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psion_ledger.contracts import Contracts, PlanFamily
from psion_ledger.contracts.sampling_policy import SourceFamilyWeight
from psion_ledger.orders import weighted_cycle as auditors
from tests.documents import small_contracts, small_policy
from trainer import order

VECTORS = Path(__file__).resolve().parents[2] / "fixtures" / "order_vectors.json"
Families = list[tuple[str, int, int, int]]  # (source family id, weight in bps, first sequence id, sequences)

# Even and odd sizes, one and many families, a family of one sequence, equal weights, the largest seed.
RUNS: list[tuple[int, Families]] = [
    (7, [("library_code", 4000, 16, 40), ("library_docstrings", 6000, 56, 24)]),
    (0, [("only", 10_000, 0, 5)]),
    (2**64 - 1, [("b", 5000, 100, 3), ("a", 5000, 0, 64)]),
    (1337, [("large", 9899, 0, 100_000), ("one", 1, 100_000, 1), ("größe", 100, 100_001, 17)]),
]
# The first positions, the border of a cycle, and far out.
POSITIONS = [*range(40), *range(9990, 10_010), 123_456_789, 2**40]


def trainers_order(seed: int, families: Families) -> order.Order:
    return order.Order(seed, tuple(order.Family(*family) for family in families))


def auditors_order(seed: int, families: Families) -> auditors.WeightedCycle:
    """From contracts, as the auditor has it."""
    contracts: Contracts = small_contracts()
    policy, plan = small_policy(), contracts.sampling_plan
    weights = [
        SourceFamilyWeight(
            source_family_id=name, content_class="prose", sampling_weight_bps=weight,
            maximum_family_token_share_bps=10_000, rationale="-",
        )
        for name, weight, _, _ in families
    ]  # fmt: skip
    planned = [
        PlanFamily(
            split_name="train", split_kind="train", source_family_id=name, first_sequence_id=first,
            end_sequence_id=first + sequences, sequences=sequences, tokens=sequences * 32, shard_ids=[name],
        )
        for name, _, first, sequences in families
    ]  # fmt: skip
    held_out = [family for family in plan.families if family.split_kind != "train"]
    return auditors.WeightedCycle(
        msgspec.structs.replace(
            contracts,
            sampling_policy=msgspec.structs.replace(policy, source_family_weights=weights),
            sampling_plan=msgspec.structs.replace(
                plan, order=msgspec.structs.replace(plan.order, seed=seed), families=[*held_out, *planned]
            ),
        )
    )


def vectors() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(VECTORS.read_text(encoding="utf-8"))
    return found


def run_of(vector: dict[str, Any]) -> tuple[int, Families]:
    names = ("source_family_id", "sampling_weight_bps", "first_sequence_id", "sequences")
    return vector["seed"], [tuple(family[name] for name in names) for family in vector["families"]]


def ids_at(run: tuple[int, Families], positions: list[int]) -> list[int]:
    """One range of the vectorised order for each position."""
    found = auditors_order(*run)
    return [int(found.sequence_ids(position, position + 1)[0]) for position in positions]


def test_the_vectors_are_of_these_runs() -> None:
    """The file was made of the runs and positions above."""
    assert [(run, POSITIONS) for run in RUNS] == [(run_of(v), v["positions"]) for v in vectors()]


@pytest.mark.parametrize("number", range(len(RUNS)))
def test_the_trainers_order_has_the_committed_vectors(number: int) -> None:
    """Position by position."""
    vector = vectors()[number]
    scalar = trainers_order(*run_of(vector))
    assert vector["sequence_ids"] == [scalar.sequence_at(position)[1] for position in POSITIONS]


@pytest.mark.parametrize("number", range(len(RUNS)))
def test_the_auditors_order_has_the_committed_vectors(number: int) -> None:
    """Each position by itself, and the first forty in one range."""
    vector = vectors()[number]
    assert vector["sequence_ids"] == ids_at(run_of(vector), POSITIONS)
    assert vector["sequence_ids"][:40] == auditors_order(*run_of(vector)).sequence_ids(0, 40).tolist()


@st.composite
def runs(draw: st.DrawFn) -> tuple[int, Families]:
    """Families whose weights sum to 10,000, over dense ranges of sequence ids."""
    cuts = sorted(draw(st.sets(st.integers(1, 9999), max_size=3)))
    weights = [end - start for start, end in zip([0, *cuts], [*cuts, 10_000], strict=True)]
    names = draw(st.lists(st.text(max_size=4), unique=True, min_size=len(weights), max_size=len(weights)))
    families: Families = []
    first = draw(st.integers(0, 5))
    for name, weight in zip(names, weights, strict=True):
        sequences = draw(st.integers(1, 40) | st.integers(1, 5000))
        families.append((name, weight, first, sequences))
        first += sequences
    return draw(st.integers(0, 2**64 - 1)), families


@settings(deadline=None, database=None, max_examples=6)
@given(run=runs(), data=st.data())
def test_both_orders_agree(run: tuple[int, Families], data: st.DataObject) -> None:
    """From the first position, across the border of a cycle, across the border of a family's pass, and far out."""
    scalar, vectorised = trainers_order(*run), auditors_order(*run)
    smallest = min(sequences for _, _, _, sequences in run[1])
    starts = [0, 10_000 - 30, data.draw(st.integers(1, 50)) * smallest, data.draw(st.integers(0, 2**45))]
    for first in starts:
        positions = range(first, first + 60)
        expected = [scalar.sequence_at(position)[1] for position in positions]
        assert expected == vectorised.sequence_ids(first, first + 60).tolist()


@settings(deadline=None, database=None, max_examples=10)
@given(run=runs(), first=st.integers(0, 30_000), sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_an_order_is_the_same_in_whatever_ranges_it_is_read(
    run: tuple[int, Families], first: int, sizes: list[int]
) -> None:
    """World size, micro steps and the point of resumption only cut it."""
    vectorised = auditors_order(*run)
    parts, at = [], first
    for size in sizes:
        parts += vectorised.sequence_ids(at, at + size).tolist()
        at += size
    assert vectorised.sequence_ids(first, at).tolist() == parts


KEYS = st.tuples(st.integers(0, 2**64 - 1), st.text(max_size=5), st.integers(0, 2**40))


@settings(deadline=None, database=None)
@given(count=st.integers(1, 600), key=KEYS)
def test_a_pass_over_a_family_is_a_permutation(count: int, key: tuple[int, str, int]) -> None:
    """Each sequence once, and both write it alike."""
    scalar = [order.permuted(index, count, *key) for index in range(count)]
    vectorised = auditors.permuted(np.arange(count, dtype=np.uint64), count, auditors.round_keys(*key)).tolist()
    assert (list(range(count)), scalar) == (sorted(scalar), vectorised)


@pytest.mark.parametrize("size", [1, 2, 3, 511, 512, 513, 2**16 - 1, 2**16 + 1, 2**31 + 11, 2**33, 2**61 + 1])
def test_a_place_goes_where_it_goes_however_many_are_asked(size: int) -> None:
    """One alone, a few, and as many as make a table of each round pay: as the scalar network says."""
    drawn = random.Random(size)
    places = sorted({0, size - 1, *(drawn.randrange(size) for _ in range(1500))})
    key = (5, "f", 3)
    scalar = [order.permuted(place, size, *key) for place in places[:40]]
    keys = auditors.round_keys(*key)
    many = auditors.permuted(np.array(places, np.uint64), size, keys).tolist()
    few = auditors.permuted(np.array(places[:40], np.uint64), size, keys).tolist()
    alone = [int(auditors.permuted(np.array([place], np.uint64), size, keys)[0]) for place in places[:40]]
    assert (scalar, scalar, scalar) == (many[:40], few, alone)
    assert (len(set(many)), min(many) >= 0, max(many) < size) == (len(places), True, True)


@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_each_pass_of_a_run_draws_each_sequence_once(number: int) -> None:
    """Ten thousand positions, family by family, cut into passes: whole ones are permutations, and no two are equal."""
    _, families = RUNS[number]
    ids = auditors_order(*RUNS[number]).sequence_ids(0, 10_000).tolist()
    for _, weight, first, sequences in families:
        drawn = [i for i in ids if first <= i < first + sequences]
        assert weight == len(drawn)
        passes = [tuple(drawn[n : n + sequences]) for n in range(0, len(drawn) - sequences + 1, sequences)]
        assert all(sorted(one) == list(range(first, first + sequences)) for one in passes)
        assert sequences < 24 or len(set(passes)) == len(passes)


@pytest.mark.parametrize(("seed", "family", "number"), [(8, "f", 0), (7, "g", 0), (7, "f", 1)])
def test_seed_family_and_pass_each_make_another_permutation(seed: int, family: str, number: int) -> None:
    """None of the three is left out of the key."""
    one = [order.permuted(index, 100, 7, "f", 0) for index in range(100)]
    assert one != [order.permuted(index, 100, seed, family, number) for index in range(100)]


def test_no_two_keys_share_their_bytes() -> None:
    """A digit cannot move from the family's name into the pass's number."""
    assert auditors.round_keys(1, "f1", 1) != auditors.round_keys(1, "f", 11)
    assert order._round_keys(1, "f1", 1) != order._round_keys(1, "f", 11)


def write_vectors() -> None:
    """By the trainer's order alone."""
    made = []
    for seed, families in RUNS:
        scalar = trainers_order(seed, families)
        made.append(
            {
                "seed": seed,
                "families": [vars(order.Family(*family)) for family in families],
                "positions": POSITIONS,
                "sequence_ids": [scalar.sequence_at(position)[1] for position in POSITIONS],
            }
        )
    lines = ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in made)
    VECTORS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    write_vectors()
