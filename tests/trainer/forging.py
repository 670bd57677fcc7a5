"""Ledgers that somebody forged, and what a resume of one says.

One real run is trained to its last step and not promoted. Each forgery writes its events again with something changed,
through the real log, so that every digest holds.
"""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from psion_ledger import events, log
from psion_ledger.digest import sha256
from trainer.__main__ import main

SECRET = b"the secret of another folder"
ESCAPES = "\x1b[2J\x9b\u202e\n"
Edit = Callable[[events.Event], events.Event | None]


@dataclass(frozen=True)
class Trained:
    """The events of the run, and the artifacts that belong to it."""

    folder: Path
    emitted: list[events.Event]

    def forged(self, folder: Path, edit: Edit) -> list[str]:
        """The flags that resume a copy with every event edited; None leaves one out."""
        shutil.copytree(self.folder / "runs", folder / "runs", copy_function=os.link)
        (folder / "secret").write_bytes(SECRET)
        run = log.create_run(folder / "ledger", "r")
        log.claim_attempt(run)
        shutil.copytree(self.folder / "ledger" / "r" / "contracts", run / "contracts")
        opened = events.StreamOpened(
            role="train", attempt=1, rank=0, host="h", pid=1, code_version="1",
            attempt_sha256=log.attempt_sha256(run, 1), previous=[],
        )  # fmt: skip
        with log.open_writer(run, opened) as writer:
            for event in map(edit, self.emitted):
                if event is not None:
                    writer.emit(event)
        return ["--resume", "r", "--ledger", str(folder / "ledger"), "--artifacts", str(folder / "runs")]


def resumed(flags: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code, and the one line that is no phase; neither an escape nor the secret's digest is told."""
    code = main(flags)
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("python -m trainer: ")]
    assert (out, len(lines), "Traceback" in err) == ("", 1, False), err
    assert sha256(SECRET).hex() not in err
    assert err.replace("\n", "").isprintable()
    return code, lines[0].removeprefix("python -m trainer: ")


def naming(path: str, data: bytes = SECRET) -> Edit:
    """The last checkpoint's weights stand at another path, with the right digest of what is there."""

    def edit(event: events.Event) -> events.Event:
        if not isinstance(event, events.CheckpointWritten) or event.step != 6:
            return event
        other = events.CheckpointFile(path=path, bytes=len(data), sha256=sha256(data), role="weights")
        return msgspec.structs.replace(
            event, files=[other if file.path.endswith("model.safetensors") else file for file in event.files]
        )

    return edit


def redeclared(pattern: str, new: str) -> Edit:
    """Whatever matches in the contracts is replaced, and they get their digests."""

    def edit(event: events.Event) -> events.Event:
        if not isinstance(event, events.ContractDeclared):
            return event
        text = re.sub(pattern, new, event.document)
        return msgspec.structs.replace(event, document=text, sha256=sha256(text.encode()))

    return edit


def with_settings(event: events.RunStarted, pairs: list[tuple[str, str]]) -> events.RunStarted:
    return msgspec.structs.replace(event, settings=[events.Setting(name=name, value=value) for name, value in pairs])
