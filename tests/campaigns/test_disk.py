"""The model of a disk: what it forgets, and that it is the real one as long as nothing crashes."""

import os
from pathlib import Path

import pytest

from tests.campaigns import disk
from tests.campaigns.crashes import Trace
from tests.campaigns.disk import Disk, Operation, Tree
from tests.campaigns.tracing import Fault, intercepted, traced

# A file that was written and synced, and written again; its name, and that of another, are not durable.
WRITTEN = [
    Operation("mkdir", "a"),
    Operation("sync_folder", ""),
    Operation("create", "a/x", inode=1),
    Operation("write", "a/x", inode=1, data=b"one"),
    Operation("sync_file", "a/x", inode=1),
    Operation("write", "a/x", inode=1, data=b"two"),
    Operation("write", "a/x", inode=1, data=b"three"),
]


def after(operations: list[Operation], variant: str) -> Tree:
    found = Disk()
    for operation in operations:
        found.apply(operation)
    return found.tree(*disk.VARIANTS[variant])


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("clean", {"a": None, "a/x": b"onetwothree"}),
        ("lost", {"a": None}),
        ("torn-1", {"a": None}),
        ("torn-1-named", {"a": None, "a/x": b"onetwot"}),
        ("torn-512-named", {"a": None, "a/x": b"onetwothree"}),
        ("reordered-named", {"a": None, "a/x": b"one\0\0\0three"}),
        ("zeros", {"a": None, "a/x": b"one\0\0\0\0\0\0\0\0"}),
        ("names-before-data", {"a": None, "a/x": b"one"}),
        ("data-before-names", {"a": None}),
    ],
)
def test_a_crash_leaves_what_the_variant_says(variant: str, expected: Tree) -> None:
    """Of a file with one synced and two unsynced writes, whose name was never synced."""
    assert expected == after(WRITTEN, variant)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("lost", {"a": None, "a/x": b"one"}),
        ("removals-first", {"a": None}),
        ("additions-first", {"a": None, "a/x": b"one", "a/y": b"one"}),
        ("clean", {"a": None, "a/y": b"onetwothree"}),
    ],
)
def test_names_are_durable_with_their_folder(variant: str, expected: Tree) -> None:
    """A name that was synced is linked anew and taken away; neither is durable."""
    moved = [
        *WRITTEN, Operation("sync_folder", "a"), Operation("link", "a/y", "a/x"), Operation("unlink", "a/x")
    ]  # fmt: skip
    assert expected == after(moved, variant)


def test_a_folder_whose_own_name_is_lost_takes_its_files_with_it() -> None:
    """Syncing a folder says nothing about the folder above."""
    deep = [
        Operation("mkdir", "a"), Operation("create", "a/x", inode=1), Operation("sync_file", "a/x", inode=1),
        Operation("sync_folder", "a"),
    ]  # fmt: skip
    assert after(deep, "lost") == {}


def test_the_trace_of_the_canonical_run_is_what_is_on_the_real_disk() -> None:
    """`Trace` itself compares the whole model with the folder; the run has its streams, seals and checkpoints."""
    trace = Trace()
    final = trace.promises[-1]
    assert (len(final.streams), final.attempts, final.entries) == (4, 2, 10)
    assert all(kept.begun == kept.accepted == kept.durable for kept in final.streams.values())
    kinds = [kind for rows in trace.emitted.values() for _, kind, _ in rows]
    assert kinds.count("checkpoint_written") == 2


def test_a_call_that_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    """It would be missing from the trace."""
    (tmp_path / "x").write_bytes(b"x")
    with traced(tmp_path), pytest.raises(AssertionError, match=r"os\.rename: the model"):
        os.rename(tmp_path / "x", tmp_path / "y")


@pytest.mark.parametrize(("for_good", "made"), [(False, ["a", "c"]), (True, ["a"])])
def test_a_fault_strikes_once_or_for_good(tmp_path: Path, for_good: bool, made: list[str]) -> None:
    """From the call on that it was meant for; the error names the file."""
    fault, full = Fault("ENOSPC", 1, for_good), []
    with intercepted(tmp_path, fault.around):
        for name in "abc":
            try:
                os.mkdir(tmp_path / name)
            except OSError as error:
                full.append((error.strerror, error.filename))
    assert made == sorted(path.name for path in tmp_path.iterdir())
    assert full == [("No space left on device", str(tmp_path / name)) for name in "abc" if name not in made]


def test_a_fault_leaves_files_elsewhere_alone(tmp_path: Path) -> None:
    """Only what is below the folder that is asked for."""
    (tmp_path / "here").mkdir()
    with intercepted(tmp_path / "here", Fault("EIO", 0, True).around):
        os.mkdir(tmp_path / "there")
    assert (tmp_path / "there").is_dir()
