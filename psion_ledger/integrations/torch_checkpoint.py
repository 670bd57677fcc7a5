"""Checkpoints that `torch.distributed.checkpoint` saves, recorded once they are durable.

Every rank calls `save` or `async_save`, as it would call torch's own. What is recorded is what the state was at the
call: its step, whatever step is trained when the last byte is written. A run's folder keeps the files of all ranks.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psion_ledger.events import FileRole
from psion_ledger.recording import Recorder

if TYPE_CHECKING:
    from concurrent.futures import Future


def save(
    run: Recorder,
    state_dict: dict[str, Any],
    folder: str | os.PathLike[str],
    *,
    roles: Mapping[str, FileRole] | None = None,
    checkpoint_id: str | None = None,
    **options: Any,
) -> None:
    """Save a state dict, and record it: torch's `save` has put the metadata in its place when it returns.

    folder: below the artifacts. roles, checkpoint_id: as in `Recorder.checkpoint`; `.distcp` files are weights.
    options: those of `torch.distributed.checkpoint.save`.
    """
    from torch.distributed.checkpoint.state_dict_saver import save as torch_save

    torch_save(state_dict, checkpoint_id=folder, **options)
    run.checkpoint(Path(folder), roles=roles, checkpoint_id=checkpoint_id)


def async_save(
    run: Recorder,
    state_dict: dict[str, Any],
    folder: str | os.PathLike[str],
    *,
    roles: Mapping[str, FileRole] | None = None,
    checkpoint_id: str | None = None,
    **options: Any,
) -> "Future[Any]":
    """Begin to save a state dict, and record it when it is saved, by thread or by process; what failed is said, and not
    recorded. Leaving the recorder's block waits for it. Returns the future of torch's `async_save`, whose options are
    `options`; one with a stager of its own has two, of which this is the upload's."""
    from torch.distributed.checkpoint.state_dict_saver import async_save as torch_async_save

    begun: Any = torch_async_save(state_dict, checkpoint_id=folder, **options)
    saved: Future[Any] = getattr(begun, "upload_completion", begun)
    run.checkpoint(Path(folder), roles=roles, checkpoint_id=checkpoint_id, after=saved.result)
    return saved
