"""A model of a disk that loses power: what is on it after a crash, for each promise that a file system may keep.

A file is an inode of ordered writes, of which a prefix was synced; a folder has entries, of which those at its last
sync are durable. `fsync` of a file says nothing about its name, and `fsync` of a folder nothing about what the names
stand for. That is less than ext4 or XFS promise, and no more than POSIX does.
"""

import hashlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

Kind = Literal["create", "write", "sync_file", "sync_folder", "link", "unlink", "mkdir", "rmdir"]
Tree = dict[str, bytes | None]


class Operation(msgspec.Struct, frozen=True):
    """One call that changed the disk or made it durable. Paths are relative to the disk; `other` is a link's source;
    `inode` names the open file that was created, written or synced."""

    kind: Kind
    path: str
    other: str = ""
    inode: int = -1
    data: bytes = b""

    def __str__(self) -> str:
        sizes = f" {len(self.data)} bytes" if self.kind == "write" else ""
        return f"{self.kind} {self.path}{f' from {self.other}' if self.other else ''}{sizes}"


class Inode:
    def __init__(self, durable: bytes = b"") -> None:
        self.writes = [durable] if durable else []
        self.synced = len(self.writes)


class Folder:
    """`changes` are the entries added (a node) or removed (None) since the last sync, in order."""

    def __init__(self) -> None:
        self.entries: dict[str, Node] = {}
        self.durable: dict[str, Node] = {}
        self.changes: list[tuple[str, Node | None]] = []

    def change(self, name: str, node: "Node | None") -> None:
        _change(self.entries, name, node)
        self.changes.append((name, node))

    def sync(self) -> None:
        self.durable, self.changes = dict(self.entries), []


Node = Inode | Folder
Data = Callable[[Inode], bytes]
Entries = Callable[[Folder], dict[str, Node]]


def _change(entries: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        entries.pop(name, None)
    else:
        entries[name] = node


class Disk:
    """Starts with a tree that is durable and changes by operations."""

    def __init__(self, tree: Tree | None = None) -> None:
        self.root = Folder()
        self._open: dict[int, Inode] = {}
        for path, data in sorted((tree or {}).items()):
            self._folder(path).entries[path.rsplit("/", 1)[-1]] = Folder() if data is None else Inode(data)
        for folder in self._folders(self.root):
            folder.sync()

    def _folders(self, folder: Folder) -> Iterator[Folder]:
        yield folder
        for node in folder.entries.values():
            if isinstance(node, Folder):
                yield from self._folders(node)

    def _folder(self, path: str) -> Folder:
        """The folder that `path` stands in."""
        folder = self.root
        for part in path.split("/")[:-1]:
            node = folder.entries[part]
            assert isinstance(node, Folder)
            folder = node
        return folder

    def apply(self, op: Operation) -> None:
        folder, name = self._folder(op.path), op.path.rsplit("/", 1)[-1]
        match op.kind:
            case "create":
                folder.change(name, self._open.setdefault(op.inode, Inode()))
            case "write":
                self._open[op.inode].writes.append(op.data)
            case "sync_file":
                self._open[op.inode].synced = len(self._open[op.inode].writes)
            case "sync_folder":
                target = folder.entries[name] if name else self.root
                if isinstance(target, Inode):
                    # A journal that a sealer opened by its name.
                    target.synced = len(target.writes)
                else:
                    target.sync()
            case "link":
                folder.change(name, self._folder(op.other).entries[op.other.rsplit("/", 1)[-1]])
            case "unlink" | "rmdir":
                folder.change(name, None)
            case "mkdir":
                folder.change(name, Folder())

    def reboot(self) -> None:
        """The machine runs on, and no file is open any more."""
        self._open.clear()

    def tree(self, data: Data, entries: Entries) -> Tree:
        """What can be reached from the root when files hold `data` and folders `entries`; None is a folder."""
        found: Tree = {}

        def walk(folder: Folder, prefix: str) -> None:
            for name, node in entries(folder).items():
                if isinstance(node, Folder):
                    found[prefix + name] = None
                    walk(node, f"{prefix}{name}/")
                else:
                    found[prefix + name] = data(node)

        walk(self.root, "")
        return found


# ---- What a crash leaves of a file ----


def whole(inode: Inode) -> bytes:
    return b"".join(inode.writes)


def synced(inode: Inode) -> bytes:
    return b"".join(inode.writes[: inode.synced])


def torn(size: int) -> Data:
    """Of the last write that was not synced, its first `size` bytes."""

    def data(inode: Inode) -> bytes:
        if inode.synced == len(inode.writes):
            return whole(inode)
        return b"".join(inode.writes[:-1]) + inode.writes[-1][:size]

    return data


def reordered(inode: Inode) -> bytes:
    """The last write that was not synced is there; zeros stand where the others would."""
    unsynced = inode.writes[inode.synced :]
    return b"".join([synced(inode), *(bytes(len(write)) for write in unsynced[:-1]), *unsynced[-1:]])


def zeros(inode: Inode) -> bytes:
    """The file has grown, and none of what was not synced has reached it."""
    return synced(inode) + bytes(sum(map(len, inode.writes[inode.synced :])))


# ---- What a crash leaves of a folder ----


def every_entry(folder: Folder) -> dict[str, Node]:
    return folder.entries


def synced_entries(folder: Folder) -> dict[str, Node]:
    return folder.durable


def removals(folder: Folder) -> dict[str, Node]:
    """Names that were taken away are gone; names that were given did not come."""
    gone = {name for name, node in folder.changes if node is None}
    return {name: node for name, node in folder.durable.items() if name not in gone}


def additions(folder: Folder) -> dict[str, Node]:
    """Names that were given are there; names that were taken away still stand."""
    return folder.durable | {name: node for name, node in folder.changes if node is not None}


VARIANTS: dict[str, tuple[Data, Entries]] = {
    "clean": (whole, every_entry),
    "lost": (synced, synced_entries),
    **{f"torn-{size}": (torn(size), synced_entries) for size in (1, 512, 4096)},
    **{f"torn-{size}-named": (torn(size), every_entry) for size in (1, 512, 4096)},
    "reordered": (reordered, synced_entries),
    "reordered-named": (reordered, every_entry),
    "zeros": (zeros, every_entry),
    "names-before-data": (synced, every_entry),
    "data-before-names": (whole, synced_entries),
    "removals-first": (synced, removals),
    "additions-first": (synced, additions),
}
MIXED = 12


def mixed(disk: Disk, seed: str) -> Tree:
    """Each file and each change of a folder fares by itself. Drawn in the order of the walk, so a seed repeats it."""
    drawn = random.Random(seed)
    of_inode: dict[int, bytes] = {}

    def data(inode: Inode) -> bytes:
        choices = (whole, synced, torn(1), torn(512), torn(4096), reordered, zeros)
        if id(inode) not in of_inode:
            of_inode[id(inode)] = drawn.choice(choices)(inode)
        return of_inode[id(inode)]

    def entries(folder: Folder) -> dict[str, Node]:
        kept = dict(folder.durable)
        for name, node in folder.changes:
            if drawn.random() < 0.5:
                _change(kept, name, node)
        return kept

    return disk.tree(data, entries)


# ---- Trees ----


def content_hash(tree: Tree, leave_out: str) -> bytes:
    """Equal for equal disks. What stands in the folder `leave_out` does not count."""
    whole_tree = hashlib.sha256()
    for path in sorted(path for path in tree if leave_out not in f"/{path}/"):
        data = tree[path]
        whole_tree.update(f"{path}\0{'folder' if data is None else len(data)}\0".encode())
        whole_tree.update(data or b"")
    return whole_tree.digest()


def materialise(tree: Tree, root: Path) -> None:
    """Write a tree into the empty folder `root`."""
    for path in sorted(tree):
        data = tree[path]
        if data is None:
            os.mkdir(f"{root}/{path}", 0o700)
            continue
        fd = os.open(f"{root}/{path}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, data)
        os.close(fd)


def read_tree(root: Path) -> Tree:
    found: Tree = {}
    for folder, folders, names in os.walk(root):
        prefix = os.path.relpath(folder, root)
        prefix = "" if prefix == "." else f"{prefix}/"
        found.update({f"{prefix}{name}": None for name in folders})
        for name in names:
            with open(f"{folder}/{name}", "rb") as file:
                found[prefix + name] = file.read()
    return found
