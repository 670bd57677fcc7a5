"""Links, pipes, folders, sockets and devices where a ledger has its files: none is followed, none is waited for."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile import RUN_ID, Commands, Ended

Maker = Callable[[Path], None]


def link(path: Path) -> None:
    """What stood there is in the folder above the ledger, and a link to it in its place."""
    ledger = next(folder for folder in path.parents if folder.name == "ledger")
    elsewhere = ledger.parent / f"moved-{path.name}"
    if path.exists():
        shutil.move(path, elsewhere)
    else:
        elsewhere.write_bytes(b"x")
    path.symlink_to(elsewhere)


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def listener(path: Path) -> None:
    """A socket; its address is short, so it is bound from within its folder."""
    path.unlink(missing_ok=True)
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(before)


def zeros(path: Path) -> None:
    """A device that has no end."""
    path.unlink(missing_ok=True)
    try:
        os.mknod(path, 0o020600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root can make a device")


def first(run: Path, pattern: str) -> Path:
    return sorted(run.glob(pattern))[0]


def new(run: Path, name: str) -> Path:
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    return run / name


# Where; and the exit codes of `audit`, `fsck` and `seal`, as far as each looks there. A changed file that the manifest
# names is a violation, and so is any other for `fsck`; what keeps us from reading on at all is undecided.
PLACES: dict[str, tuple[Callable[[Path], Path], dict[str, int]]] = {
    "an entry": (lambda run: run / "manifest" / "0.json", {"audit": 3, "fsck": 3}),
    "the next entry": (lambda run: run / "manifest" / "4.json", {"audit": 3, "fsck": 3}),
    "a segment": (lambda run: first(run, "segments/batch_replayed/*"), {"audit": 1, "fsck": 1}),
    "the index": (lambda run: first(run, "contracts/*"), {"audit": 1, "fsck": 1}),
    "a journal": (lambda run: new(run, "journal/v.more/000000000000.wal"), {"audit": 3, "fsck": 1, "seal": 3}),
    "a head": (lambda run: new(run, "heads/2.note"), {"fsck": 1}),
    "an attempt": (lambda run: run / "attempts" / "1.json", {"fsck": 1}),
}
FOLDERS = ("", "manifest", "segments", "segments/batch_replayed", "journal", "journal/v.more", "contracts", "attempts")
QUICK = ("", "segments", "journal/v.more")


def unfolded(ended: Ended) -> str:
    """What a command said, without the blanks and breaks of a narrow terminal."""
    return "".join((ended.stderr + ended.stdout).split())


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("what", [link, pipe, folder, listener, zeros], ids=lambda maker: maker.__name__)
def test_what_is_no_regular_file_is_not_read(commands: Commands, run: Path, what: Maker, place: str) -> None:
    """Each command that would look there ends at once, and says where."""
    where, codes = PLACES[place]
    path = where(run)
    what(path)
    for command, code in codes.items():
        ended = commands.ends(run.parent, code, command, RUN_ID)
        assert path.name in unfolded(ended)


@pytest.mark.slow
@pytest.mark.parametrize("what", [link, pipe, folder, listener, zeros], ids=lambda maker: maker.__name__)
def test_a_claim_that_is_no_regular_file_is_no_claim(commands: Commands, run: Path, what: Maker) -> None:
    """A link is undecided, and damage to fsck; where nothing regular is, there is no run, or it is not said which."""
    what(run / "CLAIM")
    is_link = what is link
    commands.ends(run.parent, 3 if is_link else (3, 4), "audit", RUN_ID)
    commands.ends(run.parent, 1 if is_link else (1, 3, 4), "fsck", RUN_ID)
    commands.ends(run.parent, 3 if is_link else (3, 4), "seal", RUN_ID)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FOLDERS]
)
def test_no_folder_is_a_link(commands: Commands, run: Path, name: str) -> None:
    """Not the run itself, and none below it, though everything behind the link is as it should be."""
    path = run / name if name else run
    path.mkdir(parents=True, exist_ok=True)
    link(path)
    for command, code in {"audit": 3, "fsck": 1, "seal": 3, "compact": 3, "head": 3}.items():
        ended = commands.ends(run.parent, code, command, RUN_ID)
        assert "symboliclink" in unfolded(ended)


def test_a_head_that_is_a_pipe_is_not_waited_for(commands: Commands, run: Path) -> None:
    """Proofs are made from the ledger's newest head."""
    pipe(new(run, "heads/3.note"))
    commands.ends(run.parent, (2, 3), "prove", "inclusion", RUN_ID, "--entry", 0)
