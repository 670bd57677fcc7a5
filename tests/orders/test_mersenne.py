"""torch's CPU generator by numpy alone, against torch itself and against vectors that it once gave."""

import struct
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from psion_ledger.errors import CannotDecide
from psion_ledger.orders import mersenne
from psion_ledger.orders.mersenne import STATE_BYTES, WIDE_NUMBERS_FROM, WIDE_PERMUTATION_FROM, Mersenne
from tests.orders.plans import as_told, label, needs_vectors, vectors

WIDE_PERMUTATIONS = [v for v in vectors("torch.randperm") if v["parameters"]["n"] > 10**8]
PERMUTATIONS = [v for v in vectors("torch.randperm") if v["parameters"]["n"] <= 10**8]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@needs_vectors
@pytest.mark.parametrize("vector", vectors("mt19937"), ids=label)
def test_draws_are_those_of_the_vectors(vector: dict[str, Any]) -> None:
    """32 bits at once; of 64 bits the first half is the high one, and an int64 has no sign."""
    made, expected = Mersenne(vector["parameters"]["seed"]), vector["expected"]
    found = made.draws(5).tolist() if isinstance(expected, list) else int(made.wide_draws(1)[0]) & (2**63 - 1)
    assert expected == found


@needs_vectors
@pytest.mark.parametrize("vector", vectors("torch.randint"), ids=label)
def test_numbers_are_those_of_the_vectors(vector: dict[str, Any]) -> None:
    """On both sides of the border between narrow and wide draws."""
    seed, high, count = (vector["parameters"][name] for name in ("seed", "high", "count"))
    assert vector["expected"] == Mersenne(seed).numbers(count, high).tolist()


@needs_vectors
@pytest.mark.parametrize("vector", PERMUTATIONS, ids=label)
def test_permutations_are_those_of_the_vectors(vector: dict[str, Any]) -> None:
    """From one entry to ten millions."""
    entries, seed = vector["parameters"]["n"], vector["parameters"]["seed"]
    assert vector["expected"] == as_told(vector["expected"], Mersenne(seed).permutation(entries))


@needs_vectors
@pytest.mark.slow
@pytest.mark.parametrize("vector", WIDE_PERMUTATIONS, ids=label)
def test_permutations_on_both_sides_of_their_border_are_those_of_the_vectors(vector: dict[str, Any]) -> None:
    """The largest that is made of 32-bit draws, and the smallest of 64-bit draws."""
    entries, seed = vector["parameters"]["n"], vector["parameters"]["seed"]
    assert {WIDE_PERMUTATION_FROM - 1, WIDE_PERMUTATION_FROM} == {v["parameters"]["n"] for v in WIDE_PERMUTATIONS}
    assert vector["expected"] == as_told(vector["expected"], Mersenne(seed).permutation(entries))


@settings(database=None, max_examples=60)
@given(seed=st.integers(0, 2**64 - 1), entries=st.integers(1, 3000))
def test_a_permutation_is_torchs(seed: int, entries: int) -> None:
    """Of any seed; only its low 32 bits count."""
    expected = torch.randperm(entries, generator=generator(seed)).tolist()
    assert [expected] * 2 == [Mersenne(s).permutation(entries).tolist() for s in (seed, seed % 2**32)]


@settings(database=None, max_examples=60)
@given(
    seed=st.integers(0, 2**64 - 1),
    high=st.integers(1, 2**63 - 1) | st.integers(WIDE_NUMBERS_FROM - 2, WIDE_NUMBERS_FROM + 2) | st.integers(1, 9),
    count=st.integers(0, 700),
)
def test_numbers_are_torchs(seed: int, high: int, count: int) -> None:
    """Of any size, and as many as the state has words, and more."""
    expected = torch.randint(high, (count,), generator=generator(seed)).tolist()
    assert expected == Mersenne(seed).numbers(count, high).tolist()


@pytest.mark.parametrize("drawn", [0, 1, 2, 622, 623, 624, 625, 1247, 1248, 5000])
def test_a_recorded_state_goes_on_as_torch_does(drawn: int) -> None:
    """From a new generator, in the middle of the words of its state, and at their border."""
    theirs = generator(11)
    torch.randint(9, (drawn,), generator=theirs)
    ours = Mersenne(None, bytes(theirs.get_state().tolist()))
    assert torch.randperm(900, generator=theirs).tolist() == ours.permutation(900).tolist()


STATE = bytes(generator(11).get_state().tolist())


@pytest.mark.parametrize(
    "state",
    [
        STATE[:-1],
        STATE + b"\0",
        b"\1",
        STATE[:8] + struct.pack("<i", 5) + STATE[12:16] + struct.pack("<Q", 625) + STATE[24:],
        STATE[:8] + struct.pack("<i", 5) + STATE[12:16] + struct.pack("<Q", 2**64 - 1) + STATE[24:],
        STATE[:24] + struct.pack("<Q", 2**32) + STATE[32:],
    ],
    ids=["cut", "longer", "one byte", "next beyond", "next far beyond", "a word too large"],
)
def test_what_is_no_state_cannot_decide(state: bytes) -> None:
    """Nothing is drawn from it."""
    with pytest.raises(CannotDecide, match="a recorded state of the generator"):
        Mersenne(None, state)


def test_a_state_has_the_size_that_torchs_has() -> None:
    """As torch gives it."""
    assert len(STATE) == STATE_BYTES


@settings(database=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), skipped=st.integers(0, 3000))
def test_skipping_is_drawing_and_looking_away(seed: int, skipped: int) -> None:
    """The draws behind are the same."""
    one, other = Mersenne(seed), Mersenne(seed)
    one.skip(skipped)
    other.draws(skipped)
    assert one.draws(700).tolist() == other.draws(700).tolist()


@pytest.mark.parametrize("entries", [0, 1, 2, 1000])
def test_a_permutation_takes_as_many_draws_as_it_says(entries: int) -> None:
    """The draw behind it is the one that so many draws give."""
    one, other = Mersenne(3), Mersenne(3)
    one.permutation(entries)
    other.skip(mersenne.permutation_draws(entries))
    assert one.draws(3).tolist() == other.draws(3).tolist()


def swapped_one_by_one(made: Mersenne, entries: int, wide: bool) -> list[int]:
    """Fisher and Yates, one step after the other: `randperm` as torch writes it."""
    if wide:
        places = [0] * entries
        for step in range(entries):
            target = int(made.wide_draws(1)[0]) % (step + 1)
            places[step], places[target] = places[target], step
        return places
    places = list(range(entries))
    for step in range(entries - 1):
        target = step + int(made.draws(1)[0]) % (entries - step)
        places[step], places[target] = places[target], places[step]
    return places


@settings(database=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    entries=st.integers(0, 40) | st.integers(0, 1500),
    chunk=st.integers(1, 50),
    run=st.integers(1, 60),
)
@pytest.mark.parametrize("wide", [False, True])
def test_runs_of_swaps_are_the_swaps_one_by_one(wide: bool, seed: int, entries: int, chunk: int, run: int) -> None:
    """However the draws are cut into chunks, and the steps into runs that touch no place twice."""
    made = mersenne._wide if wide else mersenne._narrow
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(mersenne, "_DRAWS_AT_ONCE", chunk)
        patched.setattr(mersenne, "_run_length", lambda left: run)
        found = made(Mersenne(seed), entries)
    assert swapped_one_by_one(Mersenne(seed), entries, wide) == found.tolist()
    assert np.uint32 == found.dtype
