"""The commands that sign heads and make and check proofs: what they refuse and with which code, and what they show."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from psion_ledger import heads, log
from psion_ledger.cli import app
from psion_ledger.log import manifest, open_writer
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from tests.heads.samples import KEY, OTHER_KEY, private_pem, public_pem
from tests.laws.forging import entries, rewritten
from tests.ledgers import RUN_ID, opened
from tests.log.streams import numbered

HOSTILE = "\x1b]0;owned\x07\u202ehost"


class Place:
    """A run of three sealed entries, signed at three, and the keys beside it."""

    def __init__(self, folder: Path) -> None:
        self.ledger = folder / "ledger"
        self.run = self.ledger / RUN_ID
        self.key, self.public = folder / "key.pem", folder / "pub.pem"
        self.kept = folder / "kept.note"
        self.proof = folder / "proof.json"

    def ask(self, *words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    def head(self, *words: object) -> Result:
        return self.ask("head", RUN_ID, "--ledger", self.ledger, "--key", self.key, *words)

    def inclusion(self, *words: object) -> Result:
        return self.ask("prove", "inclusion", RUN_ID, "--ledger", self.ledger, *(words or ("--entry", 0)))

    def add_an_entry(self, rank: int, step: int = 1) -> None:
        with open_writer(self.run, opened(rank=rank, host=HOSTILE)) as writer:
            writer.emit(numbered(step))
        seal_run(self.run)

    def take_away(self, number: int) -> None:
        """An entry and its segments: what is left holds by itself."""
        for file in entries(self.run)[number].files:
            (self.run / file.path).unlink()
        manifest.path_of(self.run, number).unlink()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signed")
    place = Place(folder)
    private_pem(place.key)
    public_pem(place.public)
    log.claim_attempt(log.create_run(place.ledger, RUN_ID))
    for rank in range(3):
        place.add_an_entry(rank)
    assert place.head("-o", place.kept).exit_code == 0
    return folder


@pytest.fixture
def place(original: Path, tmp_path: Path) -> Place:
    shutil.copytree(original, tmp_path / "copy")
    return Place(tmp_path / "copy")


def refused(done: Result, code: int, said: str) -> None:
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (code, "", 1), done.output
    assert said in done.stderr


def test_a_proof_is_shown_in_values_and_escaped(place: Place) -> None:
    """Run, place, kind, time and fields, for people; the same for machines; nothing that a terminal obeys."""
    assert place.inclusion("--stream", "t0001.r00001", "--seq", 0, "-o", place.proof).exit_code == 0
    shown = place.ask("prove", "check", place.proof, "--key", place.public)
    values = place.ask("prove", "check", place.proof, "--key", place.public, "--format", "json")
    assert [done.exit_code for done in (shown, values)] == [0, 0]
    assert [sign for sign in ("\x1b", "\x07", "\u202e") if sign in shown.stdout + values.stdout] == []
    origin = heads.origin(RUN_ID, read(place.run).claim.nonce)
    lines = shown.stdout.splitlines()
    assert lines[:2] == ["PASS", f"  signed: 3 entries of {origin}"]
    assert " ".join(lines[2:4]).startswith("  proves: stream_opened at seq 0 of t0001.r00001, recorded 20")
    assert r"    host \x1b]0;owned\x07\u202ehost" in lines
    proven = json.loads(values.stdout)["proves"]
    assert (proven["event"]["fields"]["host"], proven["run"], proven["sizes"]) == (HOSTILE, RUN_ID, [3])


def test_a_proof_of_something_else_than_expected_fails(place: Place) -> None:
    """It holds, and is of another run, entry or event: exit code 1, each difference with its place and both values."""
    assert place.inclusion("--stream", "t0001.r00001", "--seq", 1, "-o", place.proof).exit_code == 0
    origin = heads.origin(RUN_ID, read(place.run).claim.nonce)
    other = heads.origin(RUN_ID, "0" * 32)
    held = ("--expect-run", origin, "--expect-entry", 1, "--expect-event", "t0001.r00001:1")
    for words, expected in (
        (held, []),
        (("--expect-run", RUN_ID), []),
        (("--expect-run", "another"), [["another_run", "/origin", "another", origin]]),
        (("--expect-run", other), [["another_run", "/origin", other, origin]]),
        (("--expect-entry", 0), [["another_entry", "/entry", "0", "1"]]),
        (("--expect-event", "t0001.r00001:0"), [["another_event", "/event", "t0001.r00001:0", "t0001.r00001:1"]]),
        (("--expect-event", "t0001.r00000:1"), [["another_event", "/event", "t0001.r00000:1", "t0001.r00001:1"]]),
    ):
        done = place.ask("prove", "check", place.proof, "--key", place.public, "--format", "json", *words)
        found = json.loads(done.stdout)
        assert [list(finding.values()) for finding in found["findings"]] == expected
        assert (done.exit_code, found["verdict"]) == ((1, "FAIL") if expected else (0, "PASS"))


@pytest.mark.parametrize(
    "words", ["", "t0001.r00000", ":3", "t0001.r00000:", "t0001.r00000:-1", "t0001.r00000:01", "t0001.r00000:\u0663",
              "t0001.r00000:" + "9" * 5000, "t:0001:3"],
    ids=lambda words: words[:20],
)  # fmt: skip
def test_an_expected_event_is_a_stream_and_a_seq(place: Place, words: str) -> None:
    """Anything else is wrong usage, before the proof is looked at."""
    done = place.ask("prove", "check", "nothing", "--key", place.public, "--expect-event", words)
    refused(done, 2, "give STREAM:SEQ, such as t0001.r00000:50")


def test_names_that_are_no_heads_are_not_taken_for_one(place: Place) -> None:
    """Only what signing writes: a size without leading zeros, in ASCII."""
    for name in ("007.note", "\u0669.note", "9.note.bak", "x.note"):
        (place.run / "heads" / name).write_bytes(b"junk")
    assert json.loads(place.inclusion().stdout)["note"] == place.kept.read_text()


def test_a_damaged_head_of_the_ledger_makes_no_proof(place: Place) -> None:
    """Junk, another size than its name says, another log's, one of a link: cannot decide, and names the file."""
    newest = place.run / "heads" / "9.note"
    other = heads.sign(heads.Head(origin=heads.origin(RUN_ID, "0" * 32), size=9, root=bytes(32)), KEY)
    own = heads.origin(RUN_ID, read(place.run).claim.nonce)
    forged = heads.sign(heads.Head(origin=own, size=9, root=bytes(32)), KEY)
    for data, said in (
        (b"junk", "no signed head"),
        (place.kept.read_bytes(), "a head of 3 entries, which its name does not say"),
        (other, "a head of the log"),
        (forged, "the 3 entries of the record do not continue this head of 9"),
    ):
        newest.write_bytes(data)
        refused(place.inclusion(), 3, f"heads/9.note: {said}")
    newest.unlink()
    newest.symlink_to(place.kept)
    refused(place.inclusion(), 3, "9.note")


def test_a_head_that_is_given_must_be_of_this_log(place: Place) -> None:
    """Junk, and another run's head, are wrong usage; a head that the record does not continue is not decided."""
    note = place.kept.parent / "other.note"
    note.write_bytes(b"junk")
    refused(place.inclusion("--entry", 0, "--head", note), 2, f"{note}: no signed head")
    note.write_bytes(heads.sign(heads.Head(origin=heads.origin(RUN_ID, "0" * 32), size=1, root=bytes(32)), KEY))
    refused(place.inclusion("--entry", 0, "--head", note), 2, f"{note}: a head of the log")
    place.take_away(2)
    refused(place.inclusion("--entry", 0, "--head", place.kept), 3, "the 2 entries of the record do not continue")
    words = ("--ledger", place.ledger, "--from", place.kept, "--head", place.kept)
    done = place.ask("prove", "consistency", RUN_ID, *words)
    refused(done, 3, "the 2 entries of the record do not continue")


def test_a_key_signs_no_second_history(place: Place) -> None:
    """Entries were taken away, or rewritten, after the key had signed them; another key has promised nothing."""
    place.take_away(2)
    refused(place.head(), 3, "heads/3.note: this key signed 3 entries of")
    place.add_an_entry(5)
    place.add_an_entry(6)
    refused(place.head(), 3, "another history: 4 entries")
    private_pem(place.key, OTHER_KEY)
    assert place.head().exit_code == 0


def test_a_key_signs_what_continues_its_head(place: Place) -> None:
    """Once more at the same size, and at a later one."""
    assert (place.head().exit_code, place.head().exit_code) == (0, 0)
    place.add_an_entry(3)
    assert place.head().exit_code == 0
    assert sorted(path.name for path in (place.run / "heads").iterdir()) == ["3.note", "4.note"]


def test_nothing_is_signed_or_proven_from_a_damaged_record(place: Place) -> None:
    """One byte of one segment: each command names the file, and writes no output."""
    file = entries(place.run)[1].files[0]
    data = bytearray((place.run / file.path).read_bytes())
    data[len(data) // 2] ^= 1
    (place.run / file.path).write_bytes(data)
    ledger = ("--ledger", place.ledger, "-o", place.proof)
    for done in (
        place.head("-o", place.proof),
        place.inclusion("--entry", 0, "-o", place.proof),
        place.inclusion("--entry", 0, "--head", place.kept, "-o", place.proof),
        place.ask("prove", "consistency", RUN_ID, "--from", place.kept, *ledger),
        place.ask("prove", "equivocation", RUN_ID, "--expect-head", place.kept, "--key", place.public, *ledger),
    ):
        refused(done, 3, file.path)
        assert not place.proof.exists()


def test_columns_that_do_not_give_the_sealed_root_prove_nothing(place: Place) -> None:
    """An entry forged with another root, its own digest and the chain being right: every file holds."""
    known = entries(place.run)
    rewritten(place.run, [msgspec.structs.replace(known[0], events_root="0" * 64), *known[1:]])
    shutil.rmtree(place.run / "heads")
    assert place.head().exit_code == 0
    refused(place.inclusion("--stream", "t0001.r00000", "--seq", 1), 3, "do not give the root of its events")
