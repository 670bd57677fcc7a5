"""Hostile Parquet under a manifest that names it, digest and all: decoded in a child within limits, or not at all."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hostile import RUN_ID, Commands, unclean
from tests.hostile.parquet import (
    MAGIC,
    MIB,
    kept_file,
    like,
    nested_schema,
    numbers,
    planted,
    with_footer,
    write_bomb,
    write_dictionary_bomb,
)
from tests.laws.forging import entries

pytestmark = pytest.mark.slow
BILLION = 10**9
FLIPS = 120
QUERY = ("query", RUN_ID, "select count(*) from batch_replayed")
COMMANDS = [("audit", RUN_ID), ("show", RUN_ID), QUERY, ("compact", RUN_ID)]


def assert_undecided(commands: Commands, run: Path, audit: int = 3) -> None:
    """By every command that reads segments; to `fsck --deep`, columns that do not give their links are damage."""
    for words in COMMANDS:
        expected: dict[str, int | tuple[int, ...]] = {"audit": audit, "compact": (0, 3)}
        commands.ends(run.parent, expected.get(words[0], 3), *words)
    commands.ends(run.parent, (1, 3), "fsck", RUN_ID, "--deep")


@pytest.fixture(scope="module")
def bomb(intact: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, int]:
    """Some 350 KB that hold contract declarations of 10 GiB, and how many."""
    made = tmp_path_factory.mktemp("bomb") / "bomb"
    rows = write_bomb(made, like(intact / "ledger" / RUN_ID, "contract_declared"))
    return made.read_bytes(), rows


@pytest.mark.parametrize("honest", [True, False], ids=["an honest footer", "a footer that lies"])
def test_a_bomb_of_ten_gibibytes_is_not_decoded(
    commands: Commands, run: Path, tmp_path: Path, bomb: tuple[bytes, int], honest: bool
) -> None:
    """Where the footer says what is behind it, and where it says little."""
    data, rows = bomb
    made = tmp_path / "bomb"
    made.write_bytes(data if honest else with_footer(data, {n: 1000 for n in numbers(data) if n > MIB}))
    planted(run, "contract_declared", made, rows)
    assert_undecided(commands, run)


def test_a_bomb_of_one_dictionary_value_is_not_decoded(commands: Commands, run: Path, tmp_path: Path) -> None:
    """2 KB: the footer counts the value once, and 1,024 rows have it."""
    made = tmp_path / "bomb"
    rows = write_dictionary_bomb(made, like(run, "contract_declared"))
    planted(run, "contract_declared", made, rows)
    assert_undecided(commands, run)


@pytest.mark.parametrize("agreed", [True, False], ids=["the manifest says so, too", "the manifest does not"])
def test_a_billion_rows_claimed_are_not_looked_for(commands: Commands, run: Path, tmp_path: Path, agreed: bool) -> None:
    """By a footer whose pages hold 77,777. A manifest that claims them, too, claims more events than it has seqs for:
    that is a law's to find, whatever the file holds."""
    made = tmp_path / "claimed"
    pq.write_table(pa.concat_tables([like(run, "batch_replayed").slice(0, 1)] * 77_777), made, compression="zstd")
    made.write_bytes(with_footer(made.read_bytes(), {77_777: BILLION}))
    planted(run, "batch_replayed", made, BILLION if agreed else None)
    assert_undecided(commands, run, audit=1 if agreed else 3)


def test_millions_of_rows_in_few_bytes_are_not_read(commands: Commands, run: Path, tmp_path: Path) -> None:
    """Twenty million, really there: the same row again and again takes 300 KB."""
    made = tmp_path / "repeated"
    row = like(run, "run_finished").slice(0, 1)
    million = pa.table([pa.repeat(column[0], 10**6) for column in row.columns], schema=row.schema)
    with pq.ParquetWriter(made, row.schema, compression="zstd", use_dictionary=True, write_statistics=False) as file:
        for _ in range(20):
            file.write_table(million)
    assert made.stat().st_size < MIB
    planted(run, "run_finished", made, 20 * 10**6)
    assert_undecided(commands, run)


def one_column(data: bytes) -> bytes:
    return parquet(pa.table({"step": [1, 2]}))


def another_type(data: bytes) -> bytes:
    table = pq.read_table(pa.BufferReader(data))
    place = table.schema.get_field_index("step")
    return parquet(table.set_column(place, "step", pa.array(["x"] * len(table))))


def parquet(table: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    pq.write_table(table, out)
    return bytes(out.getvalue())


def noise(data: bytes) -> bytes:
    return MAGIC + random.Random(1).randbytes(20_000) + (5_000).to_bytes(4, "little") + MAGIC


# What stands in the place of the segment of steps; the original's bytes may be used.
MALFORMED: dict[str, Callable[[bytes], bytes]] = {
    "other columns": one_column,
    "another type": another_type,
    "noise behind the magic number": noise,
    "cut": lambda data: data[:-100],
    "a footer longer than the file": lambda data: data[:-8] + (2**31 - 1).to_bytes(4, "little") + MAGIC,
    "a footer of no length": lambda data: data[:-8] + bytes(4) + MAGIC,
    "nothing": lambda data: b"",
    "the magic number alone": lambda data: MAGIC * 3,
    "10 groups in each other": lambda data: nested_schema(10),
    "100,000 groups in each other": lambda data: nested_schema(100_000),
    "two million groups in each other": lambda data: nested_schema(2_000_000),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_segment_is_not_read(commands: Commands, run: Path, tmp_path: Path, what: str) -> None:
    """It cannot be decoded, or has not the columns that belong there."""
    made = tmp_path / "made"
    made.write_bytes(MALFORMED[what]((run / kept_file(run, "step_completed")[1].path).read_bytes()))
    planted(run, "step_completed", made)
    assert_undecided(commands, run)


def test_flipped_bits_end_no_command_by_a_signal(commands: Commands, run: Path, tmp_path: Path) -> None:
    """One to three bits of a segment, the manifest forged to match: a native library may fall, the answer may not."""
    draw = random.Random(1)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    kinds = sorted({file.kind for entry in entries(run) for file in entry.files})
    for number in range(FLIPS):
        kind = draw.choice(kinds)
        data = bytearray((run / kept_file(run, kind)[1].path).read_bytes())
        for bit in draw.sample(range(8 * len(data)), draw.choice([1, 1, 3])):
            data[bit // 8] ^= 1 << bit % 8
        made = tmp_path / "flipped"
        made.write_bytes(data)
        flipped = planted(run, kind, made)
        last = draw.choice([("audit", RUN_ID), ("show", RUN_ID), ("query", RUN_ID, f"select * from {kind}")])
        for words in (("fsck", RUN_ID, "--deep"), last):
            ended = commands.run(run.parent, *words)
            wrong = unclean(ended, 0, 1, 3)
            assert wrong == [], (wrong, number, kind, words, ended.stderr)
        flipped.unlink()
        for path, content in before.items():
            path.write_bytes(content)
