"""The commands about the log itself, as people run them: seal, compact, fsck, head, prove, and an audit with a head."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from psion_ledger import events, heads, log
from psion_ledger.log import canonical, manifest, open_writer
from psion_ledger.reading import read
from tests.cli import FIXTURE, FIXTURE_LEDGER, psion
from tests.laws.forging import entries, rewritten
from tests.ledgers import RANK0, opened
from tests.log.processes import live_writer


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURE_LEDGER, tmp_path / "ledger")
    return tmp_path / "ledger"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A private and a public key, made as the documentation says."""
    folder = tmp_path_factory.mktemp("keys")
    key, public = folder / "key.pem", folder / "pub.pem"
    for words in (("genpkey", "-algorithm", "ed25519", "-out", key), ("pkey", "-in", key, "-pubout", "-out", public)):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
    key.chmod(0o600)
    return key, public


def signed(ledger: Path, keys: tuple[Path, Path], name: str) -> Path:
    path = ledger.parent / name
    done = psion("head", FIXTURE, "--ledger", ledger, "--key", keys[0], "-o", path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return path


def audit(ledger: Path, keys: tuple[Path, Path], note: Path, *words: object) -> tuple[int, dict[str, Any]]:
    done = psion(
        "audit", FIXTURE, "--ledger", ledger, "--require", "witnessed", "--expect-head", note, "--key", keys[1],
        "--format", "json", *words,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout)


def verifier(ledger: Path) -> log.Writer:
    claimed = log.attempt_sha256(ledger / FIXTURE, 1)
    return open_writer(ledger / FIXTURE, opened(role="verify", attempt_sha256=claimed), stream="v.later")


def add_an_entry(ledger: Path) -> None:
    with verifier(ledger):
        pass
    log.seal_run(ledger / FIXTURE)


def add_two_entries(ledger: Path) -> None:
    """Of one stream, so that there is something to compact: a verification that has begun."""
    with verifier(ledger) as writer:
        writer.rotate()
        writer.emit(
            events.VerificationStarted(
                verification_id="later", method="content", first_step=1, end_step=41, sample_bps=10_000,
                corpus_digest=None,
            )
        )  # fmt: skip
    assert len(log.seal_run(ledger / FIXTURE).entries) == 2


def test_what_a_dead_writer_left_is_sealed(tmp_path: Path) -> None:
    """A killed run is sealed as resuming would; a live one is left alone."""
    run = log.create_run(tmp_path, "killed")
    with live_writer(run):
        done = psion("seal", "killed", "--ledger", tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "nothing to seal\n")
    with (run / "journal" / RANK0 / f"{0:012}.wal").open("ab") as file:
        file.write(b"half a frame")
    done = psion("seal", "killed", "--ledger", tmp_path)
    assert (done.returncode, done.stdout) == (0, f"entry 0  {RANK0}  seq 0 to 0\n")
    assert done.stderr.startswith(f"torn tail: journal/{RANK0}/{0:012}.wal: cut at byte ")


def test_segments_are_compacted_and_pruned(ledger: Path) -> None:
    """The audit before and after says the same."""
    add_two_entries(ledger)
    before = psion("audit", FIXTURE, "--ledger", ledger)
    assert before.returncode == 0, before.stdout
    done = psion("compact", FIXTURE, "--ledger", ledger)
    assert (done.returncode, done.stdout) == (0, "entry 6  v.later  seq 0 to 1, for entries 4, 5\n")
    assert psion("compact", FIXTURE, "--ledger", ledger, "--prune").stdout == "2 files deleted\n"
    after = psion("audit", FIXTURE, "--ledger", ledger)
    assert (after.returncode, after.stdout.splitlines()[-2]) == (0, before.stdout.splitlines()[-2])
    assert psion("fsck", FIXTURE, "--ledger", ledger, "--deep").returncode == 0


def test_fsck_names_the_fault(ledger: Path) -> None:
    """For people and for machines: file, stream and events."""
    file = next(f for f in entries(ledger / FIXTURE)[0].files if f.kind == "step_completed")
    data = bytearray((ledger / FIXTURE / file.path).read_bytes())
    data[50] ^= 1
    (ledger / FIXTURE / file.path).write_bytes(data)
    done = psion("fsck", FIXTURE, "--ledger", ledger)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(f"FAIL  run {FIXTURE}\n  4 manifest entries, 23 segments, 0 journals, 0 heads\n")
    # A line is folded at 100 columns.
    assert f"file_changed{file.path}streamt0001.r00000,seq0to103" in "".join(done.stdout.split())
    found = json.loads(psion("fsck", FIXTURE, "--ledger", ledger, "--format", "json").stdout)
    (finding,) = found.pop("findings")
    assert found == {"schema": "psion_ledger.fsck.v1", "run_id": FIXTURE, "verdict": "FAIL", "deep": False}
    assert list(finding) == ["code", "file", "stream", "seq_first", "seq_last", "detail"]
    assert list(finding.values())[:5] == ["file_changed", file.path, RANK0, 0, 103]


@pytest.mark.slow
def test_a_kept_head_anchors_the_record(ledger: Path, keys: tuple[Path, Path]) -> None:
    """To the entry that it was signed at; what came later is said to be not anchored."""
    note = signed(ledger, keys, "kept.note")
    code, found = audit(ledger, keys, note)
    assert (code, found["verdict"], found["required_level"], found["witness_required"]) == (
        0, "PASS", "accounted", True,
    )  # fmt: skip
    add_an_entry(ledger)
    done = psion("audit", FIXTURE, "--ledger", ledger, "--expect-head", note, "--key", keys[1])
    assert "witnessed to entry 4 of 5" in done.stdout


def test_without_a_kept_head_nothing_is_witnessed(ledger: Path) -> None:
    """The report says so; asked for, it is unproven, with what to pass."""
    done = psion("audit", FIXTURE, "--ledger", ledger, "--require", "witnessed")
    assert done.returncode == 3
    closes = f"psion-ledger audit {FIXTURE} --require witnessed --expect-head NOTE --key PUB --ledger {ledger}"
    assert closes in [line.strip() for line in done.stdout.splitlines()]


def test_a_rollback_is_found(ledger: Path, keys: tuple[Path, Path]) -> None:
    """The last entry was taken away: what is left holds by itself."""
    note = signed(ledger, keys, "kept.note")
    manifest.path_of(ledger / FIXTURE, 3).unlink()
    code, found = audit(ledger, keys, note)
    assert (code, found["verdict"]) == (1, "FAIL")


def test_a_fork_is_found_and_proven(ledger: Path, keys: tuple[Path, Path]) -> None:
    """The history was rewritten, every digest forged, and the new one signed with the same key: two signed heads
    prove it to anybody who has the key, and no ledger."""
    note = signed(ledger, keys, "kept.note")
    run = ledger / FIXTURE
    known = entries(run)
    first = canonical.encode(known[0])[0]
    rewritten(run, [*known[:2], *known[3:]])
    for file in known[2].files:
        (run / file.path).unlink()
    (run / "heads" / "4.note").unlink()
    add_an_entry(ledger)
    add_an_entry_again = canonical.encode(entries(run)[0])[0]
    assert first == add_an_entry_again
    code, found = audit(ledger, keys, note)
    assert (code, found["verdict"]) == (1, "FAIL")
    signed(ledger, keys, "forked.note")
    proof = ledger.parent / "equivocation.json"
    words = ("--ledger", ledger, "--expect-head", note, "--key", keys[1], "-o", proof)
    assert psion("prove", "equivocation", FIXTURE, *words).returncode == 0
    shutil.rmtree(ledger)
    done = psion("prove", "check", proof, "--key", keys[1])
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "PASS")


@pytest.mark.slow
def test_compaction_after_a_kept_head_needs_the_deep_check(ledger: Path, keys: tuple[Path, Path]) -> None:
    """The head vouches for the old segments; that the new ones hold the same events, only their columns show."""
    add_two_entries(ledger)
    note = signed(ledger, keys, "kept.note")
    assert psion("compact", FIXTURE, "--ledger", ledger, "--prune").returncode == 0
    code, found = audit(ledger, keys, note)
    assert (code, found["unproven"]) == (3, ["compacted_since"])
    code, found = audit(ledger, keys, note, "--deep")
    assert (code, found["verdict"], found["unproven"]) == (0, "PASS", [])


def test_an_event_is_proven_without_the_ledger(ledger: Path, keys: tuple[Path, Path]) -> None:
    """Down to its bytes, before its segment was compacted and after; a changed proof is refused."""
    add_two_entries(ledger)
    signed(ledger, keys, "kept.note")
    proof = ledger.parent / "proof.json"
    words = ("--stream", "v.later", "--seq", 1, "--ledger", ledger, "-o", proof)
    assert psion("prove", "inclusion", FIXTURE, *words).returncode == 0
    before = json.loads(proof.read_text())
    assert psion("compact", FIXTURE, "--ledger", ledger, "--prune").stdout != ""
    assert psion("prove", "inclusion", FIXTURE, *words).returncode == 0
    assert before == json.loads(proof.read_text())
    shutil.rmtree(ledger)
    assert psion("prove", "check", proof, "--key", keys[1]).stdout.startswith("PASS\n  signed: 6 entries of ")
    assert proof.read_text().count('"seq": 1,') == 1
    proof.write_text(proof.read_text().replace('"seq": 1,', '"seq": 0,'))
    done = psion("prove", "check", proof, "--key", keys[1], "--format", "json")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (1, "FAIL")


def test_a_head_is_shown_to_continue_an_older_one(ledger: Path, keys: tuple[Path, Path]) -> None:
    """Two signed heads and a path between them."""
    note = signed(ledger, keys, "kept.note")
    add_an_entry(ledger)
    signed(ledger, keys, "newer.note")
    proof = ledger.parent / "consistency.json"
    assert psion("prove", "consistency", FIXTURE, "--from", note, "--ledger", ledger, "-o", proof).returncode == 0
    done = psion("prove", "check", proof, "--key", keys[1])
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 4)


def test_a_private_key_that_others_can_read_is_refused(ledger: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    """Nothing is signed with it."""
    key = tmp_path / "key.pem"
    shutil.copy(keys[0], key)
    key.chmod(0o644)
    done = psion("head", FIXTURE, "--ledger", ledger, "--key", key)
    assert (done.returncode, done.stdout, "chmod 600" in done.stderr) == (2, "", True)
    assert not (ledger / FIXTURE / "heads").exists()


def test_a_head_without_its_key_is_wrong_usage(ledger: Path, keys: tuple[Path, Path]) -> None:
    """A key that nobody pinned is worth nothing; and the key must be the one that signed."""
    note = signed(ledger, keys, "kept.note")
    done = psion("audit", FIXTURE, "--ledger", ledger, "--expect-head", note)
    assert (done.returncode, "give both --expect-head and --key" in done.stderr) == (2, True)
    note.write_bytes(note.read_bytes()[:-4])
    done = psion("audit", FIXTURE, "--ledger", ledger, "--expect-head", note, "--key", keys[1])
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_an_unsigned_head_is_what_would_be_signed(ledger: Path) -> None:
    """Origin, size and root, to read; nothing is kept."""
    done = psion("head", FIXTURE, "--ledger", ledger)
    claimed = read(ledger / FIXTURE).claim
    assert done.stdout.splitlines()[:2] == [f"psion-ledger/{FIXTURE}/{claimed.nonce}", "4"]
    assert (done.returncode, done.stderr) == (0, "not signed: give --key to sign it\n")
    assert not (ledger / FIXTURE / "heads").exists()


def test_a_command_that_is_killed_cannot_decide(tmp_path: Path) -> None:
    """Not: violated. The parent says which signal ended it, as it would when hostile bytes bring a library down."""
    code = (
        "import os, signal; from psion_ledger.cli import supervise; supervise.supervised(); "
        "os.kill(os.getpid(), signal.SIGSEGV)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    said = "psion-ledger: cannot decide: ended by SIGSEGV while it read the record\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", said)


def test_a_proof_says_what_it_proves(ledger: Path, keys: tuple[Path, Path]) -> None:
    """One of an event, one of its entry, one of another event: three documents, each of its own fact."""
    signed(ledger, keys, "kept.note")
    said = []
    for words in (("--stream", RANK0, "--seq", 50), ("--entry", 0), ("--stream", RANK0, "--seq", 0)):
        proof = ledger.parent / "proof.json"
        assert psion("prove", "inclusion", FIXTURE, *words, "--ledger", ledger, "-o", proof).returncode == 0
        done = psion("prove", "check", proof, "--key", keys[1], "--format", "json")
        said.append(json.loads(done.stdout))
    claimed = read(ledger / FIXTURE).claim
    origin = f"psion-ledger/{FIXTURE}/{claimed.nonce}"
    assert {(found["verdict"], found["proves"]["origin"], found["proves"]["run"]) for found in said} == {
        ("PASS", origin, FIXTURE)
    }
    event, entry, opening = (found["proves"] for found in said)
    assert [found["kind"] for found in (event, entry, opening)] == [
        "event_inclusion", "entry_inclusion", "event_inclusion",
    ]  # fmt: skip
    assert entry["entry"] == {"number": 0, "stream": RANK0, "first_seq": 0, "last_seq": 103}
    assert (event["event"]["seq"], opening["event"]["seq"], opening["event"]["kind"]) == (50, 0, "stream_opened")
    assert opening["event"]["fields"]["role"] == "train"
    assert entry["event"] is None


@pytest.mark.slow
def test_a_head_that_does_not_cover_the_receipt_witnesses_nothing(ledger: Path, keys: tuple[Path, Path]) -> None:
    """The receipt stands in entry 3, and the kept head has three entries."""
    private = heads.load_private_key(keys[0])
    record = read(ledger / FIXTURE)
    origin = heads.origin(FIXTURE, record.claim.nonce)
    tree = heads.Tree(record.manifest.leaf_hashes)
    for size, code, verdict in ((0, 3, "UNPROVEN"), (3, 3, "UNPROVEN"), (4, 0, "PASS")):
        note = ledger.parent / f"{size}.note"
        note.write_bytes(heads.sign(heads.Head(origin=origin, size=size, root=tree.root(size)), private))
        found_code, found = audit(ledger, keys, note)
        assert (found_code, found["verdict"]) == (code, verdict)
        short = [point["values"] for point in found["not_proven"] if point["code"] == "head_covers_less"]
        assert short == ([{"covered": size, "first_uncovered": size, "last_uncovered": 3}] if size < 4 else [])


def test_a_log_of_nothing_has_no_head(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    """Nothing is sealed yet."""
    log.create_run(tmp_path, "empty")
    done = psion("head", "empty", "--ledger", tmp_path, "--key", keys[0])
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
