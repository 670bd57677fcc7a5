"""Checkpoints: their files are listed, synced and hashed behind training's back, one checkpoint after another."""

import fnmatch
import hashlib
import os
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from psion_ledger import events
from psion_ledger.errors import Damaged, UsageError
from psion_ledger.log import files

# Of files that nobody gave a role, by name; the first that fits.
ROLES: tuple[tuple[str, events.FileRole], ...] = (
    ("optimizer*", "optimizer"), ("rng*", "rng"), ("cursor*", "cursor"), ("*.distcp", "weights"),
    ("model*.json", "other"), ("model*", "weights"), ("pytorch_model*.json", "other"), ("pytorch_model*", "weights"),
)  # fmt: skip
_CHUNK_BYTES = 1 << 22
# Where a file is, its path below the artifacts, and its role.
Listed = tuple[Path, str, events.FileRole]


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint of the ledger. `folder` is where it lies; the paths of its files are relative to `root`. `position`
    is the first one to be consumed after it."""

    checkpoint_id: str
    step: int
    position: int
    folder: Path
    root: Path
    files: list[events.CheckpointFile]

    @property
    def object_sha256(self) -> bytes:
        return object_sha256([(file.path, file.sha256) for file in self.files if file.role == "weights"])


def object_sha256(weights: list[tuple[str, bytes]]) -> bytes:
    """The digest of weights: of the one file that has them, else of the list of (path, sha256), sorted by path."""
    if len(weights) == 1:
        return weights[0][1]
    lines = sorted(f"{path}\n{sha256.hex()}\n" for path, sha256 in weights)
    return hashlib.sha256("".join(lines).encode()).digest()


def role_of(name: str, roles: Mapping[str, events.FileRole]) -> events.FileRole:
    """The role of a file by its name or path in the checkpoint: what `roles` says, whose keys may be patterns."""
    for pattern, role in [*roles.items(), *ROLES]:
        if fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.rsplit("/", 1)[-1], pattern):
            return role
    return "other"


def inside(folder: Path, artifacts: Path) -> str:
    """The path of a folder below the artifacts. Raises UsageError for one that is not."""
    try:
        return folder.absolute().relative_to(artifacts.absolute()).as_posix()
    except ValueError:
        raise UsageError(
            f"checkpoint {folder}: it is not below {artifacts}, where readers look; save it there, or give artifacts="
        ) from None


def failed(after: Callable[[], object]) -> BaseException | None:
    """What a save that goes on elsewhere has failed with, once it has ended."""
    try:
        after()
    except BaseException as error:  # torch's own is no Exception.
        return error
    return None


def listed(folder: Path, artifacts: Path, roles: Mapping[str, events.FileRole]) -> list[Listed]:
    """The files of a checkpoint: where each is, its path below the artifacts, its role. Raises UsageError for a folder
    outside them, without weights, or with what is no plain file."""
    below = inside(folder, artifacts)
    if not folder.is_dir():
        raise UsageError(f"checkpoint {folder}: no such folder; record it after it was saved")
    found = []
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()):
        if path.is_symlink() or not path.is_file():
            raise UsageError(f"checkpoint {folder}: {path.name} is a link or no plain file; readers open neither")
        name = path.relative_to(folder).as_posix()
        found.append((path, f"{below}/{name}", role_of(name, roles)))
    if not any(role == "weights" for _, _, role in found):
        names = ", ".join(path.name for path, _, _ in found[:8]) or "nothing"
        raise UsageError(f"checkpoint {folder}: it has {names}, and no file of weights; say which with roles=")
    return found


def hashed(found: list[Listed]) -> list[events.CheckpointFile]:
    """The same files, synced, with their sizes and digests."""
    made = []
    for path, name, role in found:
        fd = files.open_regular(path)
        with os.fdopen(fd, "rb", buffering=0) as file:
            os.fsync(fd)
            digest, size = hashlib.sha256(), 0
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
        made.append(events.CheckpointFile(path=name, bytes=size, sha256=digest.digest(), role=role))
    for folder in sorted({path.parent for path, _, _ in found}):
        files.sync_folder(folder)
    return made


def read_again(checkpoint: Checkpoint) -> bytes:
    """The digest of a checkpoint's weights, whose files are hashed as they are now. Raises Damaged where one is not
    what was recorded."""
    for file in checkpoint.files:
        size, sha256 = files.measure(checkpoint.root, file.path, file.bytes, bytes_max=file.bytes)
        if sha256 != file.sha256.hex():
            what = "is missing, leads through a link or is no regular file" if size is None else "has other bytes"
            raise Damaged.told(
                f"checkpoint {checkpoint.checkpoint_id}: {checkpoint.root / file.path} {what}; restore it as it was "
                "recorded, or go on from another checkpoint",
                file.path,
            )
    return checkpoint.object_sha256


class Saver:
    """A thread that does what was handed to it, in that order: hashing a checkpoint takes seconds that training has
    not. What fails there is raised by the next call in the thread that trains."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._failed: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._undone = 0
        self._done = threading.Condition()

    def do(self, task: Callable[[], None]) -> None:
        """Hand a task over. Raises what an earlier one raised."""
        self._raise()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
            self._thread.start()
        with self._done:
            self._undone += 1
        self._tasks.put(task)

    def wait(self) -> None:
        """Return when everything is done. Raises what a task raised."""
        with self._done:
            while self._undone:
                self._done.wait()
        self._raise()

    def close(self) -> None:
        """Let the thread end, after what it was given. Raises what a task raised."""
        if self._thread is not None:
            self._tasks.put(None)
            self._thread.join()
            self._thread = None
        self._raise()

    def _raise(self) -> None:
        if (failed := self._failed) is not None:
            self._failed = None
            raise failed

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                if self._failed is None:
                    task()
            except Exception as error:  # Whatever it is, or those who wait would wait for ever.
                self._failed = error
            finally:
                with self._done:
                    self._undone -= 1
                    self._done.notify_all()
