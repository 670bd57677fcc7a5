"""A run's genesis: its id, its CLAIM, its attempts' numbers; nothing is followed, and nobody else may read."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from psion_ledger import log, open_run
from psion_ledger.errors import BadRunId, CannotDecide, NewerFormat, NoSuchRun, Unreadable, UsageError
from psion_ledger.log import claim
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from tests.ledgers import RANK0, RUN_ID, opened
from tests.log.processes import go_at_once, start
from tests.log.streams import written

GOOD = "abcdefghijklmnopqrstuvwxyz0123456789"


@settings(deadline=None, database=None)
@given(first=st.sampled_from(GOOD), rest=st.text(GOOD + "._-", max_size=63))
def test_a_run_id_of_the_grammar_is_taken_as_it_is(first: str, rest: str) -> None:
    """A letter or digit, then letters, digits, dot, underscore, hyphen; 64 in all; no two dots in a row."""
    assume(".." not in rest)
    assert first + rest == log.check_run_id(first + rest)


@settings(deadline=None, database=None)
@given(text=st.text(max_size=70))
def test_any_other_run_id_is_refused(text: str) -> None:
    """Refused, never cleaned, with a message of one line that can be printed."""
    assume(not (text and len(text) <= 64 and set(text) <= set(GOOD + "._-") and text[0] in GOOD and ".." not in text))
    with pytest.raises(BadRunId, match=r"^run id .* use 1 to 64 of a-z") as refused:
        log.check_run_id(text)
    assert str(refused.value).isprintable()


BAD = [
    "", ".", "..", "a..b", "-a", "_a", ".a", "A", "a/b", "/etc", "../a", "a\n", "a\0", "ä", "a" * 65, "a b",
    "a\\b", "²",
]  # fmt: skip


@pytest.mark.parametrize("run_id", BAD)
def test_a_bad_run_id_makes_nothing(tmp_path: Path, run_id: str) -> None:
    """Neither creating nor opening it touches the disk."""
    for attempt in (log.create_run, log.find_run, open_run):
        with pytest.raises(BadRunId):
            attempt(tmp_path / "ledger", run_id)
    assert list(tmp_path.iterdir()) == []


def test_a_claim_says_what_it_is(tmp_path: Path) -> None:
    """Canonical JSON; the nonce keeps two runs of one name apart."""
    first, second = (log.create_run(tmp_path / name, RUN_ID) / "CLAIM" for name in "ab")
    fields = json.loads(first.read_text())
    assert list(fields) == ["format", "format_version", "run_id", "nonce", "created_at_ns", "sha256"]
    assert (*list(fields.values())[:3], len(fields["nonce"])) == ("psion-ledger", 1, RUN_ID, 32)
    assert fields["nonce"] != json.loads(second.read_text())["nonce"]


def test_a_run_is_made_once(tmp_path: Path) -> None:
    """The second is refused and the claim stays as it is."""
    run = log.create_run(tmp_path, RUN_ID)
    before = (run / "CLAIM").read_bytes()
    with pytest.raises(UsageError, match=f"run {RUN_ID} exists in .*: choose another id, or resume it"):
        log.create_run(tmp_path, RUN_ID)
    assert before == (run / "CLAIM").read_bytes()


def test_a_run_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    """With the command that lists what is."""
    with pytest.raises(NoSuchRun, match="psion-ledger runs --ledger"):
        log.find_run(tmp_path, RUN_ID)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", Unreadable),
        (b"{", Unreadable),
        (b"\xff", Unreadable),
        (b"[" * 100_000, Unreadable),
        (b'{"format":"psion-ledger"}', Unreadable),
        (b'{"format":"\xff"}', Unreadable),
    ],
)
def test_a_damaged_claim_is_unreadable(tmp_path: Path, data: bytes, error: type[CannotDecide]) -> None:
    """One line that names the file."""
    run = log.create_run(tmp_path, RUN_ID)
    (run / "CLAIM").write_bytes(data)
    with pytest.raises(error, match=f"^{run / 'CLAIM'}: not a claim: .*restore it") as refused:
        read(run)
    assert "\n" not in str(refused.value)


def edit_claim(run: Path, **changes: object) -> None:
    """As a forger would, who knows that a claim ends with its own digest."""
    fields = json.loads((run / "CLAIM").read_text()) | changes
    fields.pop("sha256")
    body = json.dumps(fields, separators=(",", ":"))
    own = hashlib.sha256(body.encode()).hexdigest()
    (run / "CLAIM").write_text(f'{body[:-1]},"sha256":"{own}"}}\n')


@pytest.mark.parametrize(
    "changes", [{"run_id": "another"}, {"nonce": "00"}, {"nonce": "Z" * 32}, {"nonce": "../" * 10}]
)
def test_a_claim_for_something_else_is_unreadable(tmp_path: Path, changes: dict[str, object]) -> None:
    """The folder's name and the claim must agree."""
    run = log.create_run(tmp_path, RUN_ID)
    edit_claim(run, **changes)
    with pytest.raises(Unreadable, match=f"{run / 'CLAIM'}"):
        read(run)


def test_a_claim_of_another_format_is_unreadable(tmp_path: Path) -> None:
    """It is somebody else's file."""
    run = log.create_run(tmp_path, RUN_ID)
    edit_claim(run, format="something else")
    with pytest.raises(Unreadable, match="something else"):
        read(run)


def test_a_newer_claim_asks_for_an_upgrade(tmp_path: Path) -> None:
    """Not: damage."""
    run = log.create_run(tmp_path, RUN_ID)
    edit_claim(run, format_version=2)
    with pytest.raises(NewerFormat, match="format 2; this version reads 1: upgrade"):
        read(run)


def test_a_newer_claim_with_fields_that_we_do_not_know_asks_for_an_upgrade(tmp_path: Path) -> None:
    """What a later version adds is no damage."""
    run = log.create_run(tmp_path, RUN_ID)
    edit_claim(run, format_version=2, a_later_field=1)
    with pytest.raises(NewerFormat, match="format 2; this version reads 1: upgrade"):
        read(run)


def test_runs_are_listed_latest_first(tmp_path: Path) -> None:
    """By the claim's time; a folder without a claim, or with a name that is none, is no run."""
    for name in ("b", "a", "c"):
        log.create_run(tmp_path, name)
        edit_claim(tmp_path / name, created_at_ns={"b": 3, "a": 1, "c": 2}[name])
    (tmp_path / "no-claim").mkdir()
    (tmp_path / "Not A Run").mkdir()
    (tmp_path / "Not A Run" / "CLAIM").write_text("")
    assert log.run_ids(tmp_path) == ["b", "c", "a"]
    assert log.run_ids(tmp_path / "nowhere") == []


FOLLOWED = ["CLAIM", "manifest/0.json", "manifest", "journal", "segments", f"journal/{RANK0}", "attempts"]


@pytest.mark.parametrize("name", FOLLOWED)
def test_no_symlink_is_followed_for_reading(tmp_path: Path, name: str) -> None:
    """A file or folder of the run is moved out and linked to: it is not read as the run's own."""
    run = written(tmp_path)
    seal_run(run)
    with log.open_writer(run, opened(attempt=2), stream="t0002.r00000"):
        pass
    (run / name).rename(tmp_path / "outside")
    (run / name).symlink_to(tmp_path / "outside")
    with pytest.raises(CannotDecide, match=f"{run / name}"):
        read(run)


def test_a_run_that_is_a_symlink_is_not_followed(tmp_path: Path) -> None:
    """The whole folder, too."""
    run = written(tmp_path / "elsewhere")
    (tmp_path / RUN_ID).symlink_to(run)
    with pytest.raises(CannotDecide, match=f"{tmp_path / RUN_ID}: .*link"):
        open_run(tmp_path, RUN_ID)


def test_a_segment_that_is_a_symlink_is_missing(tmp_path: Path) -> None:
    """What it points to is not hashed in its stead, though the bytes are the same."""
    run = written(tmp_path)
    seal_run(run)
    (path,) = (run / "segments" / "batch_replayed").iterdir()
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    assert [
        (file.sha256_actual, file.holds) if file.kind == "batch_replayed" else file.holds for file in read(run).files
    ] == [(None, False), True]


@pytest.mark.parametrize("name", ["CLAIM", "manifest/0.json", f"journal/{RANK0}/{0:012}.wal"])
def test_a_fifo_is_refused_without_waiting(tmp_path: Path, name: str) -> None:
    """Nobody ever writes to it."""
    run = log.create_run(tmp_path, RUN_ID)
    (run / name).unlink(missing_ok=True)
    (run / name).parent.mkdir(exist_ok=True)
    os.mkfifo(run / name)
    with pytest.raises(Unreadable, match=f"^{run / name}: not a regular file$"):
        read(run)


def test_a_segment_that_is_a_fifo_is_missing(tmp_path: Path) -> None:
    """It is not opened."""
    run = written(tmp_path)
    seal_run(run)
    (path,) = (run / "segments" / "batch_replayed").iterdir()
    path.unlink()
    os.mkfifo(path)
    assert [file.sha256_actual for file in read(run).files if file.kind == "batch_replayed"] == [None]


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_nobody_else_may_read(tmp_path: Path) -> None:
    """Whatever the umask: folders 0700, files 0600, before sealing and after."""
    run = written(tmp_path / "ledger")
    log.claim_attempt(run)
    log.add_files(run, "sequence_index", [(b"PAR1", 1)])
    before = modes(run)
    seal_run(run)
    for found in (before, modes(run)):
        assert {(True, 0o700), (False, 0o600)} == set(found.values()), found
    assert stat.S_IMODE((tmp_path / "ledger").stat().st_mode) == 0o700


def modes(run: Path) -> dict[str, tuple[bool, int]]:
    found = [run, *run.rglob("*")]
    return {str(path): (path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in found}


def test_attempts_are_numbered_from_one(tmp_path: Path) -> None:
    """Each says who took it."""
    run = log.create_run(tmp_path, RUN_ID)
    assert [log.claim_attempt(run) for _ in range(3)] == [1, 2, 3]
    owners = [json.loads((run / f"attempts/{n}.json").read_text()) for n in (1, 2, 3)]
    assert [os.getpid()] * 3 == [owner["pid"] for owner in owners]


def test_attempts_are_numbered_once_under_a_race(tmp_path: Path) -> None:
    """Four processes take ten each, at once: forty numbers, none twice and none left out."""
    run = log.create_run(tmp_path, RUN_ID)
    body = """
print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    print(log.claim_attempt(run))
"""
    processes = [start(body, run) for _ in range(4)]
    go_at_once(processes)
    taken = [int(line) for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert list(range(1, 41)) == sorted(taken)
    assert list((run / "tmp").iterdir()) == []


def test_an_absurdly_large_claim_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is looked at first."""
    run = log.create_run(tmp_path, RUN_ID)
    os.truncate(run / "CLAIM", 1 << 40)
    with pytest.raises(CannotDecide, match=r"CLAIM: larger than 16,777,216 bytes"):
        claim.read_claim(run)


def test_the_next_attempt_pins_where_the_streams_of_the_last_one_ended(tmp_path: Path) -> None:
    """By name, with the last seq and link that are sealed; of the attempt right before it alone."""
    run = written(tmp_path)
    with log.open_writer(run, opened(rank=1)):
        pass
    with log.open_writer(run, opened(attempt=2)):
        pass
    seal_run(run)
    ends = {e.stream: (e.last_seq, e.link_after) for e in read(run).manifest.entries}
    first = [(e.stream, (e.last_seq, e.chain_head.hex())) for e in log.previous_ends(run, 2)]
    assert [(RANK0, ends[RANK0]), ("t0001.r00001", ends["t0001.r00001"])] == first
    assert [e.stream for e in log.previous_ends(run, 3)] == ["t0002.r00000"]
    assert log.previous_ends(run, 1) == []
