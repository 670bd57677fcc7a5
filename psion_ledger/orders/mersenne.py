"""The CPU generator of torch, and what torch draws from it, by numpy alone.

It is mt19937 (Matsumoto and Nishimura 1998), seeded as numpy's RandomState is. Facts were compared with torch 2.13;
what they rest on is said beside each.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from psion_ledger.errors import CannotDecide

Words = NDArray[np.uint64]
# torch 2.13: from so many entries on, a permutation is made from 64-bit draws, and in another way.
WIDE_PERMUTATION_FROM = (2**32 - 1) // 20
# torch 2.13: numbers below so much come from one 32-bit draw. torch up to 2.6 switches at 2**32.
WIDE_NUMBERS_FROM = 2**28
STATE_BYTES = 5056
_DRAWS_AT_ONCE = 1 << 20
_RUN_MAX = 1 << 16


class Mersenne:
    """A generator: 32-bit draws, one after the other."""

    def __init__(self, seed: int | None, state: bytes | None = None) -> None:
        self._bits = np.random.MT19937()
        if state is None:
            assert seed is not None, "a generator has a seed or a state"
            legacy = np.random.RandomState(seed & 0xFFFFFFFF).get_state(legacy=False)
            assert isinstance(legacy, dict)
            self._bits.state = {"bit_generator": "MT19937", "state": legacy["state"]}
        else:
            self._bits.state = {"bit_generator": "MT19937", "state": _state_of(state)}

    def draws(self, count: int) -> Words:
        """The next 32-bit draws."""
        return self._bits.random_raw(count)

    def wide_draws(self, count: int) -> Words:
        """The next 64-bit draws: the first half is the high one."""
        halves = self._bits.random_raw(2 * count).reshape(count, 2)
        return (halves[:, 0] << np.uint64(32)) | halves[:, 1]

    def skip(self, count: int) -> None:
        """Leave out so many 32-bit draws."""
        for first in range(0, count, _DRAWS_AT_ONCE):
            self._bits.random_raw(min(_DRAWS_AT_ONCE, count - first), output=False)

    def numbers(self, count: int, high: int) -> NDArray[np.int64]:
        """Numbers from 0 to high - 1, as `torch.randint` draws them."""
        drawn = self.draws(count) if number_draws(high) == 1 else self.wide_draws(count)
        return (drawn % np.uint64(high)).astype(np.int64)

    def permutation(self, entries: int) -> NDArray[np.uint32]:
        """The numbers 0 to entries - 1 as `torch.randperm` puts them."""
        return _narrow(self, entries) if entries < WIDE_PERMUTATION_FROM else _wide(self, entries)


def permutation_draws(entries: int) -> int:
    """How many 32-bit draws a permutation takes."""
    return max(0, entries - 1) if entries < WIDE_PERMUTATION_FROM else 2 * entries


def number_draws(high: int) -> int:
    """How many 32-bit draws a number below `high` takes."""
    return 1 if high < WIDE_NUMBERS_FROM else 2


def _state_of(state: bytes) -> Any:
    """numpy's form of `torch.get_rng_state()`: u64 seed, i32 left, i32 seeded, u64 next, 624 words of u64, zeros."""
    if len(state) != STATE_BYTES:
        raise CannotDecide(f"a recorded state of the generator has {STATE_BYTES} bytes, not {len(state)}")
    left = int(np.frombuffer(state, "<i4", 1, 8)[0])
    following = int(np.frombuffer(state, "<u8", 1, 16)[0])
    words = np.frombuffer(state, "<u8", 624, 24)
    position = 624 if left == 1 else following
    if not 0 <= position <= 624 or words.max(initial=0) >= 1 << 32:
        raise CannotDecide("a recorded state of the generator is none of mt19937")
    return {"key": words.astype(np.uint32), "pos": position}


def _first_repeat(targets: NDArray[np.int64]) -> int:
    """Where a value stands that stood before; the length where there is none."""
    ranked = np.argsort(targets, kind="stable")
    repeats = ranked[1:][np.diff(targets[ranked]) == 0]
    return int(repeats.min()) if repeats.size else len(targets)


def _run_length(entries_left: int) -> int:
    """Steps among which a place is likely to come once only (the birthday problem)."""
    return min(_RUN_MAX, 16 + int(entries_left**0.5))


def _narrow(generator: Mersenne, entries: int) -> NDArray[np.uint32]:
    """Step i swaps place i with place i + draw mod (entries - i). Steps that touch no place twice are made at once."""
    places = np.arange(entries, dtype=np.uint32)
    for chunk in range(0, entries - 1, _DRAWS_AT_ONCE):
        own = np.arange(chunk, min(chunk + _DRAWS_AT_ONCE, entries - 1), dtype=np.int64)
        drawn = generator.draws(len(own))
        targets = own + (drawn % (entries - own).astype(np.uint64)).astype(np.int64)
        first = 0
        while first < len(own):
            run = targets[first : first + _run_length(entries - chunk - first)]
            mine = own[first : first + len(run)]
            # The step of a place that an earlier step has picked comes in a later run.
            picked = run[run > mine] - mine[0]
            end = min(_first_repeat(run), int(picked.min(initial=len(run))), len(run))
            mine, run = mine[:end], run[:end]
            before = places[mine]
            places[mine] = places[run]
            places[run] = before
            first += end
    return places


def _wide(generator: Mersenne, entries: int) -> NDArray[np.uint32]:
    """Step i puts what stands at draw mod (i + 1) to place i, and i there."""
    places = np.zeros(entries, dtype=np.uint32)
    for chunk in range(0, entries, _DRAWS_AT_ONCE):
        own = np.arange(chunk, min(chunk + _DRAWS_AT_ONCE, entries), dtype=np.int64)
        drawn = generator.wide_draws(len(own))
        targets = (drawn % (own + 1).astype(np.uint64)).astype(np.int64)
        first = 0
        while first < len(own):
            run = targets[first : first + _run_length(chunk + first)]
            mine = own[first : first + len(run)]
            # What an earlier step of the run has put there comes in a later run.
            fresh = np.flatnonzero((run >= mine[0]) & (run < mine))
            end = min(_first_repeat(run), int(fresh[0]) if fresh.size else len(run), len(run))
            mine, run = mine[:end], run[:end]
            places[mine] = places[run]
            places[run] = mine
            first += end
    return places
