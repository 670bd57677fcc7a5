"""The values that an audit is made of: findings, and what became of each law."""

from typing import Literal

import msgspec

Level = Literal["intact", "accounted", "ordered", "replayed"]
Status = Literal["held", "violated", "vacuous", "not_applicable", "skipped"]
LEVELS: tuple[Level, ...] = ("intact", "accounted", "ordered", "replayed")
# The ledger and its contracts alone decide up to here; what lies beyond needs the corpus.
LEDGER_LEVEL: Level = "ordered"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One violation: its subject, where in the record (seq and stream, where there is one), and what it says."""

    subject: str
    event_seq: int | None
    stream: str | None
    expected: str
    actual: str


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """Why a law was not run. `flag` is the option of an audit that runs it, null where nothing more can be given."""

    code: Literal["damaged", "beyond", "not_asked", "not_at_hand", "not_derivable"]
    reason: str
    flag: str | None = None


class LawResult(msgspec.Struct, frozen=True, kw_only=True):
    """`examined` rows of the law's population; at most 100 findings of `findings_total`."""

    name: str
    family: str
    level: Level
    status: Status
    examined: int
    findings_total: int
    findings: list[Finding]
    law: str
    skipped: Skipped | None = None
