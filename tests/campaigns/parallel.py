"""A campaign's cases in as many processes as there are cores, each fresh: nothing of a fork's parent is in them."""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

T = TypeVar("T")
# The cases that went wrong, each with what was wrong, and what was counted along the way.
Outcome = tuple[list[tuple[str, list[str]]], Counter[str]]


def in_processes(work: Callable[[list[T]], Outcome], cases: Sequence[T]) -> Outcome:
    workers = min(len(os.sched_getaffinity(0)), max(1, len(cases)))
    wrong: list[tuple[str, list[str]]] = []
    counted = Counter[str]()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for found, some in pool.map(work, [list(cases[part::workers]) for part in range(workers)]):
            wrong += found
            counted += some
    return wrong, counted


def collected(said: Any, count: int, patience_s: float = 120.0) -> list[Any]:
    """What so many children put into a queue. Raises TimeoutError when one of them says nothing."""
    answers: list[Any] = []
    until = time.monotonic() + patience_s
    while len(answers) < count:
        if not said.empty():
            answers.append(said.get())
        elif time.monotonic() > until:
            raise TimeoutError(f"{count - len(answers)} of {count} processes said nothing for {patience_s:g} s")
        else:
            time.sleep(0.001)
    return answers


def listed(counted: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counted.items()))
