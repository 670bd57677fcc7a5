"""Watching, and breaking, the calls by which the log touches a disk. They are `os` functions, in this process."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.campaigns.disk import Operation

CALLS = ("open", "write", "fsync", "link", "unlink", "mkdir", "rmdir")
# The log uses none of these. If one day it does, the model of the disk has to learn it first.
UNKNOWN = (
    "rename", "replace", "remove", "truncate", "ftruncate", "symlink", "fdatasync", "pwrite", "writev",
    "pwritev", "sendfile", "copy_file_range",
)  # fmt: skip
Around = Callable[[str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


@contextmanager
def intercepted(root: Path, around: Around) -> Iterator[dict[int, str]]:
    """Calls on files below `root` go through `around`. Yields the path of every descriptor that is open there,
    relative to `root`."""
    real = {name: getattr(os, name) for name in (*CALLS, "close", *UNKNOWN)}
    paths: dict[int, str] = {}
    prefix = f"{root}/"

    def concerns(args: tuple[Any, ...]) -> bool:
        return any(
            args_ in paths if isinstance(args_, int) else f"{os.fspath(args_)}/".startswith(prefix)
            for args_ in args[:2]
            if isinstance(args_, int | str | os.PathLike)
        )

    def wrap(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not concerns(args):
                result = real[name](*args, **kwargs)
                if name == "open":
                    paths.pop(result, None)  # Its number may have been one of ours: `fdopen` closes without `os`.
                return result
            assert name not in UNKNOWN, f"os.{name}: the model of the disk does not know it"
            result = around(name, real[name], args, kwargs)
            if name == "open":
                paths[result] = relative(root, args[0])
            return result

        return call

    def close(fd: int) -> None:
        paths.pop(fd, None)
        real["close"](fd)

    for name in (*CALLS, *UNKNOWN):
        setattr(os, name, wrap(name))
    setattr(os, "close", close)  # noqa: B010 - as the others
    try:
        yield paths
    finally:
        for name, function in real.items():
            setattr(os, name, function)


def relative(root: Path, path: Any) -> str:
    return str(path)[len(str(root)) + 1 :]


@contextmanager
def traced(root: Path) -> Iterator[list[Operation]]:
    """The operations that change what is below `root`, as they succeed."""
    operations: list[Operation] = []
    inodes: dict[int, int] = {}

    def around(name: str, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = real(*args, **kwargs)
        match name:
            case "open" if args[1] & os.O_CREAT:
                inodes[result] = len(operations)
                operations.append(Operation("create", relative(root, args[0]), inode=len(operations)))
            case "open":
                inodes.pop(result, None)
            case "write":
                operations.append(Operation("write", paths[args[0]], "", inodes[args[0]], bytes(args[1])[:result]))
            case "fsync":
                fd = args[0]
                kind: Any = "sync_file" if fd in inodes else "sync_folder"
                operations.append(Operation(kind, paths[fd], "", inodes.get(fd, -1)))
            case "link":
                operations.append(Operation("link", relative(root, args[1]), relative(root, args[0])))
            case "unlink" | "mkdir" | "rmdir" as kind:
                operations.append(Operation(kind, relative(root, args[0])))
        return result

    with intercepted(root, around) as paths:
        yield operations


# Which calls fail once a disk is in this state.
FAULTS: dict[str, frozenset[str]] = {
    "ENOSPC": frozenset({"create", "write", "link", "mkdir"}),
    "EIO": frozenset({"create", *CALLS}),
    "EROFS": frozenset({"create", "write", "link", "unlink", "mkdir", "rmdir"}),
    "EMFILE": frozenset({"create", "open"}),
    "EINTR": frozenset({"create", *CALLS}),
    "short": frozenset({"write"}),
}


class Fault:
    """The `at`th call fails and, with `for_good`, whatever such a disk refuses after it, until `lifted`."""

    def __init__(self, what: str, at: int, for_good: bool) -> None:
        self.what, self.at, self.for_good = what, at, for_good
        self.calls: list[str] = []
        self.struck: list[str] = []
        self.lifted = False

    def around(self, name: str, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        kind = "create" if name == "open" and args[1] & os.O_CREAT else name
        place = len(self.calls)
        self.calls.append(kind)
        strikes = place == self.at or (self.for_good and place > self.at and kind in FAULTS[self.what])
        if not strikes or self.lifted:
            return real(*args, **kwargs)
        self.struck.append(kind)
        if self.what == "short":
            fd, data = args
            return real(fd, memoryview(data)[: max(1, len(data) // 2)])
        number = getattr(errno, self.what)
        raise OSError(number, os.strerror(number), *(str(arg) for arg in args[:1] if not isinstance(arg, int)))
