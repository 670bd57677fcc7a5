"""Concurrency: races for one stream, many threads in many processes, and readers beside everybody else.

A case is `race@N`, `crowd@N` or `readers@N`. All processes are forked from one that is fresh and warm: it has imported
what they need, and neither Arrow nor DuckDB has started a thread in it.
"""

import random
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from tests.campaigns.crowd import crowd
from tests.campaigns.parallel import Outcome, listed
from tests.campaigns.races import race
from tests.campaigns.readers import readers
from tests.campaigns.results import Result

RACES, CROWDS, READINGS = 500, 2, 10
PARTS = {"race": race, "crowd": crowd, "readers": readers}
PROCESSES, THREADS = 64, 16


def played(cases: list[tuple[str, int]], *, seed: int, processes: int) -> Outcome:
    wrong: list[tuple[str, list[str]]] = []
    counted = Counter[str]()
    for name, number in cases:
        draw = random.Random(f"{seed}/{name}/{number}")
        found, some = crowd(draw, processes, THREADS) if name == "crowd" else PARTS[name](draw)
        counted += some
        if found:
            wrong.append((f"{name}@{number}", found))
    return wrong, counted


def concurrency(fraction: float = 1.0, seed: int = 1, only: str | None = None) -> Result:
    started = time.monotonic()
    result = Result(name="concurrency")
    cases = [("race", number) for number in range(round(fraction * RACES))]
    cases += [("crowd", number) for number in range(max(1, round(fraction * CROWDS)))]
    cases += [("readers", number) for number in range(max(1, round(fraction * READINGS)))]
    if only is not None:
        name, _, number_text = only.partition("@")
        cases = [(name, int(number_text))]
    processes = max(8, round(fraction * PROCESSES))
    races = [case for case in cases if case[0] == "race"]
    parts = [races, *([case] for case in cases if case not in races)]
    counted = Counter[str]()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for wrong, some in pool.map(partial(played, seed=seed, processes=processes), parts):
            counted += some
            for case, lines in wrong:
                result.fail(case, seed, lines)
    result.cases = result.distinct = len(cases)
    result.seconds = time.monotonic() - started
    result.detail = listed(counted)
    return result
