"""The checkpoint folders of a Trainer: which one is loaded, which ones were written, and which were deleted unsaid."""

from pathlib import Path
from typing import Any

import msgspec

from psion_ledger.errors import UsageError
from psion_ledger.events import FileRole
from psion_ledger.recording import Past, Recorder

STATE = "trainer_state.json"
ROLES: dict[str, FileRole] = {STATE: "cursor", "adapter_model*": "weights"}


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """What a start loads (null: nothing), and its id, which all ranks share."""

    folder: str | None
    launch: str | None


def chosen(run_id: str, past: Past | None, wanted: str | bool | None) -> str | None:
    """The folder of the checkpoint to load: of `True` the newest that is recorded and counts. Raises UsageError where
    the record and the Trainer would go on from different ones."""
    known = [] if past is None else past.checkpoints
    if not wanted:
        if known:
            raise UsageError(
                f"run {run_id} has checkpoints, up to step {known[0].step}: go on with "
                "train(resume_from_checkpoint=True), or begin another run in another output_dir"
            )
        return None
    if not known:
        raise UsageError(f"run {run_id}: no checkpoint of it is recorded; train without resume_from_checkpoint")
    folder = known[0].folder if wanted is True else Path(wanted)
    if not (folder / STATE).is_file():
        raise UsageError(f"{folder}: no {STATE} in it, so its saving was cut off; resume from another checkpoint")
    return str(folder)


class Saved:
    """The checkpoints of the training at hand and of those before, as far as their folders are known."""

    def __init__(self, recorder: Recorder, past: Past | None) -> None:
        self._recorder = recorder
        self._last: Path | None = None
        known = [] if past is None else [*past.checkpoints, *past.superseded]
        # Of checkpoints at one place the one that was written last stands there.
        self._there: dict[Path, Any] = {found.folder.absolute(): found for found in reversed(known)}
        self._note("it was not there when this attempt began")

    def wait(self) -> None:
        """Until those that were written are recorded."""
        self._recorder.wait()

    def add(self, folder: Path) -> None:
        """One that was saved whole, by all ranks."""
        folder = folder.absolute()
        self._recorder.checkpoint(folder, roles=ROLES)
        self._last = self._there[folder] = folder
        self._note("save_total_limit")

    def _note(self, reason: str) -> None:
        """The Trainer deletes without a word: compare."""
        for folder in [folder for folder in self._there if not folder.exists()]:
            self._recorder.removed(self._there.pop(folder), reason)

    def end(self, best: str | None, *, is_complete: bool) -> None:
        """Name the result of a training that came to its end: the best checkpoint that was loaded, else the last."""
        self._note("save_total_limit")
        if not is_complete or self._last is None:
            return
        if best is not None:
            self._recorder.promote(Path(best), label="best_model_checkpoint", criterion="stated")
        elif self._last.name == f"checkpoint-{self._recorder.last_step}":
            self._recorder.promote(self._last, label="final")
