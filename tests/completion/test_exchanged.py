"""What a completion pinned or the streams name was exchanged or taken away: the laws find it."""

from pathlib import Path

import msgspec
import pytest

from psion_ledger import events, log
from psion_ledger.digest import sha256
from tests.corpora import real_contracts
from tests.edits import place
from tests.laws import audited, rows, violations
from tests.laws.forging import entries, rewritten
from tests.ledgers import COMPLETION, RANK0, good_run, seal, trained_run, verification, write_ledger

CONTRACTS = real_contracts()


def test_a_verification_that_was_cut_after_it_was_pinned_is_found(tmp_path: Path) -> None:
    """The verification was sealed in two parts, and the second was taken away, with all digests forged."""
    passed = verification(CONTRACTS, "first")
    at = len(passed) - 2
    script = good_run(CONTRACTS)
    first = place(script, events.StreamOpened, stream="v.first")
    script[first : first + len(passed)] = [
        *passed[:at], ("v.first", lambda folder, writer: writer.rotate()), (RANK0, seal), *passed[at:],
    ]  # fmt: skip
    run = write_ledger(tmp_path / "ledger", script)
    assert rows(audited(run, "streams_have_ends")) == []
    known = entries(run)
    whole = [entry for entry in known if entry.stream == "v.first"]
    rewritten(run, [entry for entry in known if entry is not whole[-1]])
    expected, actual = (f"seq {entry.last_seq}, link {entry.link_after}" for entry in reversed(whole))
    assert violations(run, "streams_have_ends") == [
        ("v.first", whole[0].last_seq, "v.first", expected, actual),
    ]  # fmt: skip


def test_a_verification_that_was_taken_away_after_it_was_pinned_is_found(tmp_path: Path) -> None:
    """All of it, entry and files."""
    run = write_ledger(tmp_path / "ledger", good_run(CONTRACTS))
    known = entries(run)
    (gone,) = (entry for entry in known if entry.stream == "v.second")
    rewritten(run, [entry for entry in known if entry is not gone])
    expected = f"seq {gone.last_seq}, link {gone.link_after}"
    assert violations(run, "streams_have_ends") == [("v.second", gone.last_seq, "v.second", expected, "no such stream")]


@pytest.mark.slow
@pytest.mark.parametrize("stream", [RANK0, "v.first", COMPLETION])
def test_a_stream_of_another_claim_is_found(tmp_path: Path, stream: str) -> None:
    """Its first event has the digest of the claim of another run's attempt, or of none."""
    others = sha256(b"the claim of another run's first attempt")
    script = good_run(CONTRACTS)
    at = place(script, events.StreamOpened, stream=stream)
    first = script[at][1]
    assert isinstance(first, events.StreamOpened)
    script[at] = (stream, msgspec.structs.replace(first, attempt_sha256=others))
    run = write_ledger(tmp_path / "ledger", script)
    own = sha256((run / "attempts" / "1.json").read_bytes())
    assert violations(run, "attempts_are_claimed") == [
        ("attempts/1.json", 0, stream, f"sha256 {own.hex()}", f"sha256 {others.hex()}")
    ]


def test_a_claim_that_was_exchanged_is_found_by_every_stream(tmp_path: Path) -> None:
    """Somebody claims the attempt anew, with all that a claim says: the streams name the one that was there."""
    run = write_ledger(tmp_path / "ledger", trained_run(CONTRACTS))
    (run / "attempts" / "1.json").unlink()
    assert log.claim_attempt(run) == 1
    found = violations(run, "attempts_are_claimed")
    assert [(row[0], row[2]) for row in found] == [("attempts/1.json", COMPLETION), ("attempts/1.json", RANK0)]
