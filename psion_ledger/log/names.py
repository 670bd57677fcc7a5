"""How streams are named."""

from psion_ledger import events


def stream_name(opened: events.StreamOpened) -> str:
    """The name of a train stream; a verification's stream is named after its id."""
    return f"t{opened.attempt:04}.r{opened.rank:05}"


def is_of_rank(stream: str, rank: int) -> bool:
    """Whether a stream is, by its name, a train stream of this rank."""
    return stream.startswith("t") and stream.endswith(f".r{rank:05}")


def gap_stream(stream: str) -> str:
    """The stream that says of another one what it lacks."""
    return f"v.gap-{stream}"
