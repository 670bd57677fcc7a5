"""How streams are named."""

import re

from psion_ledger import events

_COMPLETION = re.compile(r"c\.([1-9][0-9]{0,8})")


def stream_name(opened: events.StreamOpened) -> str:
    """The name of a train stream; a verification's stream is named after its id."""
    return f"t{opened.attempt:04}.r{opened.rank:05}"


def completion_stream(number: int) -> str:
    """The nth stream in which the run is completed."""
    return f"c.{number}"


def completion_number(stream: str) -> int | None:
    """Which completion stream a name is of; null for another stream."""
    match = _COMPLETION.fullmatch(stream)
    return None if match is None else int(match[1])


def is_of_rank(stream: str, rank: int) -> bool:
    """Whether a stream is, by its name, a train stream of this rank."""
    return stream.startswith("t") and stream.endswith(f".r{rank:05}")


def gap_stream(stream: str) -> str:
    """The stream that says of another one what it lacks."""
    return f"v.gap-{stream}"
