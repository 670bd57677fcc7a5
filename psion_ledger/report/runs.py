"""A list of runs, for people and for machines. Times are UTC."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from psion_ledger.escape import brief
from psion_ledger.listing import Line, Verdict

NAMES = ("run", "state", "started", "model", "steps", "tokens", "final loss (nats)", "last verdict", "as of")


def values(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """`psion_ledger.runs.v1` without its schema. Times are ISO 8601."""
    return [_values(line) for line in lines]


def _values(line: Line) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(line)
    del plain["created_at_ns"]
    plain["started_at"] = _iso(plain.pop("started_at_ns"))
    plain["as_of"] = _iso(plain.pop("as_of_ns"))
    if plain["verdict"] is not None:
        plain["verdict"]["at"] = _iso(plain["verdict"].pop("at_ns"))
    return plain


def rows(lines: Sequence[Line]) -> list[list[Any]]:
    """A row a run, under `NAMES`."""
    return [[brief(cell) if isinstance(cell, str) else cell for cell in _row(line)] for line in lines]


def _row(line: Line) -> list[Any]:
    return [
        line.run, line.state if line.problem is None else f"{line.state}: {line.problem}",
        _minute(line.started_at_ns), line.model_id,
        None if line.steps is None else f"{line.steps}/{line.horizon_steps or '?'}", line.tokens,
        ", ".join(f"{loss.split_name} {_nats(loss.loss_nats)}" for loss in line.losses) or None,
        None if line.verdict is None else _verdict(line.verdict, line), _minute(line.as_of_ns),
    ]  # fmt: skip


def _verdict(verdict: Verdict, line: Line) -> str:
    """With how much of the run it was about, where that is not the run as it is listed."""
    of = "" if verdict.head == line.head else f", of {verdict.entries} of {line.entries} entries"
    return f"{verdict.verdict} {verdict.level}{of}, {_minute(verdict.at_ns)}"


def _nats(loss: float | None) -> str:
    return "?" if loss is None else f"{loss:.4f}"


def _minute(at_ns: int | None) -> str | None:
    return None if at_ns is None else f"{_time(at_ns):%Y-%m-%d %H:%M}"


def _iso(at_ns: int | None) -> str | None:
    return None if at_ns is None else _time(at_ns).isoformat(timespec="seconds")


def _time(at_ns: int) -> datetime:
    """A time from a record may be any number."""
    return datetime.fromtimestamp(min(max(at_ns // 10**9, 0), _LAST_S), UTC)


_LAST_S = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
