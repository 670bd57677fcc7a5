"""Races: several processes try to open one stream at the same moment. One wins; the others fail before they write."""

import os
import random
import signal
import socket
import time
from collections import Counter
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from psion_ledger import log
from psion_ledger.errors import LedgerError
from psion_ledger.log.frame import Scan
from psion_ledger.log.segment import seal_run
from tests.campaigns.parallel import collected
from tests.campaigns.results import empty_folder
from tests.ledgers import RANK0, RUN_ID, opened
from tests.log.streams import numbered, recorded

_FORK = get_context("fork")
EVENTS = 3
PATIENCE_S = 30.0
# What the winner does while the others try: it goes on, it ends in order, or it dies.
End = Literal["lives", "closes", "dies"]
HOST = socket.gethostname()


def contend(run: Path, place: int, delay_s: float, end: End, barrier: Any, said: Any, told: Any) -> None:
    barrier.wait(PATIENCE_S)
    time.sleep(delay_s)
    try:
        writer = log.open_writer(run, opened(pid=os.getpid(), host=HOST))
    except LedgerError as error:
        said.put((place, type(error).__name__, str(error)))
        return
    for step in range(1, EVENTS + 1):
        writer.emit(numbered(step))
    if end == "closes":
        writer.close()
    said.put((place, "won", str(os.getpid())))
    if end == "dies":
        time.sleep(0.01)  # The queue's bytes are on their way.
        os.kill(os.getpid(), signal.SIGKILL)
    told.wait(PATIENCE_S)


def race(draw: random.Random) -> tuple[list[str], Counter[str]]:
    contenders = draw.choice([2, 3, 4, 6])
    end: End = draw.choice(["lives", "lives", "closes", "dies"])
    with empty_folder() as ledger:
        run = log.create_run(ledger, RUN_ID)
        log.claim_attempt(run)
        barrier, said, told = _FORK.Barrier(contenders), _FORK.SimpleQueue(), _FORK.Event()
        children: list[BaseProcess] = []
        for place in range(contenders):
            delay_s = draw.choice([0.0, 0.0, 0.002 * draw.random()])
            arguments = (run, place, delay_s, end, barrier, said, told)
            children.append(_FORK.Process(target=contend, args=arguments))
        for child in children:
            child.start()
        answers = sorted(collected(said, contenders))
        wrong = unlike_one_winner(answers, end) + unlike_what_was_emitted(run, answers)
        told.set()
        for child in children:
            child.join(PATIENCE_S)
        wrong += unlike_free(run)
    words = Counter(word for _, word, _ in answers if word != "won")
    return [f"{contenders} contenders, the winner {end}: {line}" for line in wrong], Counter(races=1) + words


def unlike_one_winner(answers: list[tuple[int, str, str]], end: End) -> list[str]:
    winners = [pid for _, word, pid in answers if word == "won"]
    if len(winners) != 1:
        return [f"{len(winners)} winners: {answers}"]
    wrong = []
    for _, word, message in answers:
        busy = word == "WriterBusy" and f"pid {winners[0]} on {HOST}" in message
        ended = word == "UsageError" and "its writer is gone" in message and end != "lives"
        if word != "won" and not busy and not ended:
            wrong.append(f"a loser was told {word}: {message}")
    return wrong


def unlike_what_was_emitted(run: Path, answers: list[tuple[int, str, str]]) -> list[str]:
    winner = next((pid for _, word, pid in answers if word == "won"), "0")
    expected = [(0, opened(pid=int(winner), host=HOST)), *((n, numbered(n)) for n in range(1, EVENTS + 1))]
    found = [(seq, event) for _, seq, event in recorded(run)]
    return [] if found == expected else [f"the journal holds {found}"]


def unlike_free(run: Path) -> list[str]:
    """Once the winner has gone in whatever way, what it left seals, and nobody is in the next one's way."""
    log.refuse_if_live(run)
    wrong = [f"left behind: {path.name}" for path in (run / "tmp").iterdir()]
    last = max(seq for seq, _ in ((f.seq, f) for p in run.glob("journal/*/*") for f, _ in Scan(p.read_bytes(), p)))
    sealed = [(entry.stream, entry.first_seq, entry.last_seq) for entry in seal_run(run).entries]
    if sealed != [(RANK0, 0, last)]:
        wrong.append(f"sealed {sealed}")
    with log.open_writer(run, opened(attempt=2)) as writer:
        writer.emit(numbered(1))
    return wrong
