"""A look at an order file finds what is wrong in it, wherever the file is read in parts."""

import io
import json
import struct
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psion_ledger.errors import CannotDecide, UsageError
from psion_ledger.orders import inspection
from psion_ledger.orders.inspection import Inspection, Stretch, inspect

ROWS = 6


def written(folder: Path, ids: list[int], suffix: str = "u4") -> Path:
    path = folder / f"order.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), path)
    elif suffix == "npy":
        data = io.BytesIO()
        np.save(data, np.array(ids, np.int64))
        path.write_bytes(data.getvalue())
    else:
        path.write_bytes(struct.pack(f"<{len(ids)}{'I' if suffix == 'u4' else 'Q'}", *ids))
    return path


def by_hand(ids: list[int], pass_positions: int) -> dict[str, object]:
    """The same numbers, counted one id at a time."""
    outside = [at for at, value in enumerate(ids) if value >= ROWS]
    repeats = []
    for at, value in enumerate(ids):
        begin = at - at % pass_positions
        if value < ROWS and value in ids[begin:at]:
            repeats.append(at)
    stretches, at = [], 0
    for value, same in groupby(ids):
        count = len(list(same))
        stretches.append(Stretch(value=value, first_position=at, ids=count))
        at += count
    return {
        "ids": len(ids),
        "lowest": min(ids, default=None),
        "highest": max(ids, default=None),
        "zeros": ids.count(0),
        "outside": len(outside),
        "first_outside": outside[0] if outside else None,
        "repeats": len(repeats),
        "first_repeat": repeats[0] if repeats else None,
        "passes_with_repeats": len({at // pass_positions for at in repeats}),
        "longest_stretch": max(stretches, key=lambda one: one.ids, default=None),
    }


@given(
    ids=st.lists(st.integers(0, ROWS + 1), max_size=40),
    pass_positions=st.integers(1, 12),
    chunk=st.sampled_from([1, 2, 3, 7, 1 << 20]),
)
def test_whatever_is_in_a_file_is_counted_as_one_would_by_hand(
    tmp_path_factory: pytest.TempPathFactory, ids: list[int], pass_positions: int, chunk: int
) -> None:
    """Chunks of any size give what one walk gives."""
    path = written(tmp_path_factory.mktemp("order"), ids)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inspection, "CHUNK_IDS", chunk)
        found = inspect(path, None, ROWS, pass_positions)
    expected = by_hand(ids, pass_positions)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize("suffix", ["u4", "u8", "npy", "parquet"])
def test_every_format_is_read(tmp_path: Path, suffix: str) -> None:
    """One order, written in each way that a contract takes."""
    found = inspect(written(tmp_path, [3, 1, 0, 2], suffix), None, 4, None)
    assert (found.ids, found.highest, found.repeats, found.faults) == (4, 3, 0, [])


@pytest.mark.parametrize(
    ("ids", "faults"),
    [
        ([], ["empty"]),
        ([0, 1, 2, 3, 4, 5], []),
        ([0, 1, 2, 3, 4, 6], ["outside"]),
        ([0, 1, 2, 3, 4, 4], ["repeats"]),
        ([0, 1, 2, 3, 4, 5, *([0] * 16)], ["repeats", "stretch"]),
    ],
)
def test_what_is_wrong_has_a_name(tmp_path: Path, ids: list[int], faults: list[str]) -> None:
    """Ids beyond the data, repeats in a pass, and a stretch as a writer leaves it that died."""
    assert inspect(written(tmp_path, ids), None, ROWS, None).faults == faults


def test_without_rows_neither_range_nor_repeats_are_judged(tmp_path: Path) -> None:
    """Nobody said how many rows there are."""
    found = inspect(written(tmp_path, [9, 9, 9]), None, None, None)
    assert (found.outside, found.repeats, found.pass_positions, found.faults) == (0, 0, None, [])


def test_a_file_of_no_whole_number_of_ids_is_refused(tmp_path: Path) -> None:
    """Half an id at its end: it was cut, or it is written otherwise."""
    path = tmp_path / "order.u4"
    path.write_bytes(b"\0" * 6)
    with pytest.raises(CannotDecide):
        inspect(path, None, None, None)


@pytest.mark.parametrize("name", ["order.bin", "absent.u4"])
def test_a_name_that_says_nothing_or_that_nobody_wrote_is_a_usage_error(tmp_path: Path, name: str) -> None:
    """What to give instead is said."""
    (tmp_path / "order.bin").write_bytes(bytes(8))
    with pytest.raises(UsageError):
        inspect(tmp_path / name, None, None, None)


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "psion_ledger", "order", *words], capture_output=True, text=True, check=False
    )


def test_the_command_ends_with_1_where_something_is_odd(tmp_path: Path) -> None:
    """And says it to machines in the same words as the API."""
    path = written(tmp_path, [0, 1, 2, 3, 4, 6])
    done = command(str(path), "--rows", "6", "--format", "json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["faults"], said["first_outside"]) == (1, ["outside"], 5)
    assert set(said) - {"schema", "faults"} == set(Inspection.__struct_fields__)


def test_the_command_ends_with_0_where_nothing_is(tmp_path: Path) -> None:
    """A permutation of the rows."""
    assert command(str(written(tmp_path, [5, 4, 3, 2, 1, 0])), "--rows", "6").returncode == 0
