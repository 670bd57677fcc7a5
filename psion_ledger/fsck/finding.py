"""What a check of a run's files can find, as values."""

from typing import Literal

import msgspec

Code = Literal[
    "claim_damaged", "attempt_damaged", "attempt_missing", "manifest_broken", "file_missing", "file_changed",
    "index_changed", "index_missing", "stream_broken", "journal_tampered", "journal_torn", "journal_unreadable",
    "journal_foreign", "head_damaged", "entry_missing", "head_contradicts", "columns_differ", "orphan", "leftover",
]  # fmt: skip
# A crash can leave these: bytes that were never synced, and files that no entry ever named.
UNDECIDED: tuple[Code, ...] = ("journal_torn",)
HARMLESS: tuple[Code, ...] = ("orphan", "leftover")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fault: the file (relative to the run's folder), and the events of a stream that it concerns, if any."""

    code: Code
    file: str
    stream: str | None = None
    seq_first: int | None = None
    seq_last: int | None = None
    detail: str
