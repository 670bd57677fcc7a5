"""The append-only log of one run: journals that writers own, sealed segments, the manifest that orders them."""

from typing import Any

from psion_ledger.log.claim import check_run_id, claim_attempt, create_run, find_run, read_claim, run_ids
from psion_ledger.log.journal import Writer, open_writer, stream_name
from psion_ledger.log.recovery import add_sequence_index, previous_ends, refuse_if_live


def __getattr__(name: str) -> Any:
    # Sealing needs pyarrow, which costs tenths of a second; a writer does not.
    if name in ("seal_run", "seal_in_child"):
        from psion_ledger.log import segment

        return getattr(segment, name)
    raise AttributeError(name)


__all__ = [
    "Writer",
    "add_sequence_index",
    "check_run_id",
    "claim_attempt",
    "create_run",
    "find_run",
    "open_writer",
    "previous_ends",
    "read_claim",
    "refuse_if_live",
    "run_ids",
    "stream_name",
]
