"""What a recorder stands on: the run's folder, this rank's stream, the checkpoints so far, and how it is left."""

import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from psion_ledger import events, log, orders
from psion_ledger.contracts import Contracts, ModelDescriptor, TensorLayout
from psion_ledger.data.reading import Tokens
from psion_ledger.errors import CannotDecide, UsageError
from psion_ledger.escape import plain
from psion_ledger.ordered import order_in
from psion_ledger.recording import finishing, rows, saving
from psion_ledger.recording.identity import Content
from psion_ledger.recording.launch import Place, wait_for_ends
from psion_ledger.recording.saving import Checkpoint, Saver

WAIT_FOR_RANKS_S_MAX = 60.0
Outcome = Literal["completed", "stopped", "failed"]


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that has begun. `documents` are the declared contracts' texts by role, `checkpoint` is what it goes on
    from, `known` are the checkpoints that count, `others` those of superseded steps; `holders` is the last one written
    at each path. `corpus` is the folder of the data's files, where they are described."""

    run: Path
    attempt: int
    place: Place
    contracts: Contracts
    documents: Mapping[str, str]
    settings: Mapping[str, str]
    artifacts: Path
    corpus: Path | None
    checkpoint_family: str
    checkpoint: Checkpoint | None
    known: list[Checkpoint]
    others: list[Checkpoint]
    holders: dict[str, str]
    promoted: bool
    finish: bool

    @property
    def cut_step(self) -> int:
        return 0 if self.checkpoint is None else self.checkpoint.step

    @property
    def cursor_position(self) -> int:
        return 0 if self.checkpoint is None else self.checkpoint.position


class Session:
    """One rank's part of one attempt."""

    def __init__(self, begun: Begun, writer: log.Writer) -> None:
        self.begun, self.writer = begun, writer
        self._saver = Saver()
        self._known = {known.checkpoint_id: known for known in begun.known if known.step <= begun.cut_step}
        if begun.checkpoint is None:
            self._known = {}
        self._others = {known.checkpoint_id: known for known in [*begun.others, *begun.known]}
        # Those that are still being hashed, too.
        self._named = {*self._known, *self._others}
        self._holders = dict(begun.holders)
        self._tokens: Tokens | None = None

    # ---- Data ----

    def order(self) -> orders.Order:
        """The order that the contracts give. Raises UsageError where they give none."""
        try:
            return order_in(self.begun.run, self.begun.contracts, self.begun.documents.get("order_files"))
        except CannotDecide as error:
            raise UsageError(f"next_ids: {error}; bring your own ids") from error

    def content(
        self, sequence_ids: list[int], tokens: rows.Rows | None, lengths: rows.Integers | None, what: str
    ) -> Content:
        """The content of sequences as the user gives it, else as the data's files have it. Raises UsageError."""
        if tokens is not None:
            read = rows.tokens_of(tokens, lengths, what)
            if len(read.lengths) != len(sequence_ids):
                raise UsageError(f"{what}: {len(sequence_ids)} ids and {len(read.lengths)} rows of tokens")
            return Content(sequences=len(sequence_ids), tokens=read.total, token_sha256=read.sha256)
        if self._tokens is None:
            files = self.begun.contracts.token_data
            if files is None or self.begun.corpus is None:
                raise UsageError(f"{what}: the data are not described by their files; give tokens=")
            self._tokens = Tokens(self.begun.contracts.sampling_plan, files, self.begun.corpus)
        _, total, digest = self._tokens.content(sequence_ids)
        return Content(sequences=len(sequence_ids), tokens=total, token_sha256=digest)

    # ---- Checkpoints ----

    def save(
        self, folder: Path, roles: Mapping[str, events.FileRole], checkpoint_id: str, step: int, position: int,
        after: Callable[[], object] | None = None,
    ) -> None:  # fmt: skip
        """Record a checkpoint behind training's back, once `after` has returned. Raises UsageError for one that readers
        could not open; where that is seen later, the next call raises it."""
        if checkpoint_id in self._named:
            raise UsageError(f"checkpoint {checkpoint_id} is recorded already; give checkpoint_id= another name")
        saving.inside(folder, self.begun.artifacts)
        known = saving.listed(folder, self.begun.artifacts, roles) if after is None else None
        began_ns = time.time_ns()
        self._named.add(checkpoint_id)

        def record() -> None:
            if after is not None and (failed := saving.failed(after)) is not None:
                say(f"checkpoint {folder} was not saved, and is not recorded: {failed}")
                return
            try:
                files = saving.hashed(known or saving.listed(folder, self.begun.artifacts, roles))
            except FileNotFoundError as error:
                say(f"checkpoint {folder} was deleted before it was hashed, and is not recorded ({error.filename})")
                return
            checkpoint = Checkpoint(
                checkpoint_id=checkpoint_id, step=step, position=position, folder=folder, root=self.begun.artifacts,
                files=files,
            )  # fmt: skip
            self._record(checkpoint, began_ns)

        self._saver.do(record)

    def _record(self, checkpoint: Checkpoint, began_ns: int) -> None:
        lower = [known for known in self._known.values() if known.step < checkpoint.step]
        parent = max(lower, key=lambda known: known.step, default=None)
        gone = {self._holders[file.path] for file in checkpoint.files if file.path in self._holders}
        for checkpoint_id in sorted(gone):
            self._forget(checkpoint_id)
            self.writer.emit(events.CheckpointRemoved(checkpoint_id=checkpoint_id, reason="overwritten"))
        self.writer.emit(
            events.CheckpointWritten(
                checkpoint_id=checkpoint.checkpoint_id,
                checkpoint_family=self.begun.checkpoint_family,
                step=checkpoint.step,
                parent_checkpoint_id=None if parent is None else parent.checkpoint_id,
                files=checkpoint.files,
                tensor_layout_digest=bytes.fromhex(_layout_digest(self.begun.contracts)),
                cursor_position=checkpoint.position,
                writer_node_id=socket.gethostname(),
                started_at_ns=began_ns,
                durable_at_ns=time.time_ns(),
            )
        )
        self._known[checkpoint.checkpoint_id] = checkpoint
        self._holders |= {file.path: checkpoint.checkpoint_id for file in checkpoint.files}

    def _forget(self, checkpoint_id: str) -> None:
        self._holders = {path: holder for path, holder in self._holders.items() if holder != checkpoint_id}

    def removed(self, checkpoint: Checkpoint | str | Path, reason: str) -> None:
        """Record that a checkpoint was deleted, after those that are still being hashed."""

        def record() -> None:
            try:
                found = self._at(checkpoint)
            except UsageError as error:
                say(str(error))
                return
            self._forget(found.checkpoint_id)
            self.writer.emit(events.CheckpointRemoved(checkpoint_id=found.checkpoint_id, reason=reason))

        self._saver.do(record)

    def wait(self) -> None:
        """Return when every checkpoint so far is recorded."""
        self._saver.wait()

    def checkpoint_at(self, checkpoint: Checkpoint | str | Path) -> Checkpoint:
        """A checkpoint by itself, its id or its folder, once it is recorded. Raises UsageError."""
        self._saver.wait()
        return self._at(checkpoint)

    def _at(self, checkpoint: Checkpoint | str | Path) -> Checkpoint:
        if isinstance(checkpoint, Checkpoint):
            return checkpoint
        known = self._others | self._known
        if isinstance(checkpoint, str) and checkpoint in known:
            return known[checkpoint]
        inside = Path(checkpoint).absolute()
        here = [found for found in known.values() if found.folder.absolute() == inside]
        if not here:
            raise UsageError(f"checkpoint {checkpoint}: none is recorded of that id or folder; call checkpoint() first")
        return here[-1]

    # ---- The end ----

    def emit(self, event: events.Event) -> None:
        self.writer.emit(event)

    def leave(self, outcome: Outcome, last_step: int, ended_early: str | None) -> None:
        """End the stream, after every checkpoint is recorded; rank 0 then finishes a run that is complete. What failed
        behind training's back is raised."""
        try:
            self._saver.close()
            self.writer.emit(events.StreamEnded(outcome=outcome, last_step=last_step))
        finally:
            self.writer.close()
            if self._tokens is not None:
                self._tokens.close()
        complete = outcome == "completed" or (outcome == "stopped" and ended_early is not None)
        if complete and self.begun.finish and self.begun.place.rank == 0:
            self._finish(ended_early)

    def _finish(self, ended_early: str | None) -> None:
        """In a process of its own, once every rank has ended; else say how."""
        words = finishing.command(self.begun.run, self.begun.corpus, ended_early)
        shown = shlex.join(["psion-ledger", *words])
        left = wait_for_ends(self.begun.run, self.begun.attempt, self.begun.place.world, WAIT_FOR_RANKS_S_MAX)
        if left:
            say(f"rank {', '.join(map(str, left))} has not ended after {WAIT_FOR_RANKS_S_MAX:.0f} s; then: {shown}")
            return
        done = subprocess.run(log.child_command("psion_ledger", *words), stdout=sys.stderr)
        if done.returncode:
            say(f"the run is not finished; see why with: {shown}")


def _layout_digest(contracts: Contracts) -> str:
    model = contracts.model_descriptor
    if isinstance(model, ModelDescriptor):
        return model.checkpoint_contract.tensor_layout_digest
    assert isinstance(model, TensorLayout), "a recorder has a model"
    return model.digest


def say(message: str) -> None:
    """One line for people; what it quotes is no command to their terminal."""
    print(plain(f"psion-ledger: {message}"), file=sys.stderr)
