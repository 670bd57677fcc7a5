"""The append-only log of one run: journals that writers own, sealed segments, the manifest that orders them."""

from typing import Any

from psion_ledger.log.child import child_command
from psion_ledger.log.claim import (
    attempt_sha256,
    check_run_id,
    claim_attempt,
    create_run,
    created_at_ns,
    find_run,
    read_claim,
    run_ids,
    run_names,
)
from psion_ledger.log.contract_files import add_files
from psion_ledger.log.journal import NOT_RECORDED, OnFailure, Writer, open_writer
from psion_ledger.log.liveness import refuse_if_live
from psion_ledger.log.names import stream_name
from psion_ledger.log.recovery import completion_ends, keep_head, pinned_by, previous_ends
from psion_ledger.log.sealer import seal_in_child


def __getattr__(name: str) -> Any:
    # Sealing needs pyarrow, which costs tenths of a second; a writer does not.
    if name == "cut_damage":
        from psion_ledger.log.cut import cut_damage

        return cut_damage
    if name == "seal_run":
        from psion_ledger.log.segment import seal_run

        return seal_run
    raise AttributeError(name)


__all__ = [
    "NOT_RECORDED",
    "OnFailure",
    "Writer",
    "add_files",
    "attempt_sha256",
    "check_run_id",
    "child_command",
    "claim_attempt",
    "completion_ends",
    "create_run",
    "created_at_ns",
    "find_run",
    "keep_head",
    "open_writer",
    "pinned_by",
    "previous_ends",
    "read_claim",
    "refuse_if_live",
    "run_ids",
    "run_names",
    "seal_in_child",
    "stream_name",
]
