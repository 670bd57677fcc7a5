"""The integrity laws, each on a ledger that breaks it: files, manifest, chains and ends of streams."""

from pathlib import Path

import msgspec
import pytest

from psion_ledger import events, log
from psion_ledger.contracts import Contracts
from psion_ledger.digest import sha256, sha256_file
from psion_ledger.log import canonical, frame, manifest, open_writer, previous_ends
from tests.edits import edited, inserted, place
from tests.emitted import checkpoint_id, declared, started
from tests.laws import OTHER, SECOND, audited, findings, findings_after, violations
from tests.laws.forging import entries, forged, step_file
from tests.ledgers import (
    COMPLETION,
    RANK0,
    RUN_ID,
    beginning,
    close,
    opened,
    resumed_run,
    rotate,
    seal,
    trained_run,
    write_ledger,
)

RANK1 = "t0001.r00001"


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_one_flipped_bit_of_a_segment_is_found(tmp_path: Path, good: Path) -> None:
    """A disk turns over one bit of a sealed file."""
    file = step_file(good)
    found = findings_after(tmp_path, good, lambda folder: flipped(folder / file.path), "files_hold_their_digests")
    actual = sha256_file(tmp_path / "ledger" / RUN_ID / file.path).hex()
    assert found == [(file.path, 0, RANK0, file.sha256, actual)]


def test_a_deleted_segment_is_missing(tmp_path: Path, good: Path) -> None:
    """Somebody deletes a file that the manifest names."""
    file = step_file(good)
    found = findings_after(tmp_path, good, lambda folder: (folder / file.path).unlink(), "files_hold_their_digests")
    assert found == [(file.path, 0, RANK0, file.sha256, "missing")]


def test_a_link_in_a_segments_place_is_no_file(tmp_path: Path, good: Path) -> None:
    """A segment is moved away and a link to it is left: links are not followed."""
    file = step_file(good)

    def linked(folder: Path) -> None:
        moved = (folder / file.path).rename(tmp_path / "elsewhere.parquet")
        (folder / file.path).symlink_to(moved)

    found = findings_after(tmp_path, good, linked, "files_hold_their_digests")
    assert found == [(file.path, 0, RANK0, file.sha256, "missing")]


def test_a_changed_sequence_index_is_found(tmp_path: Path, good: Path) -> None:
    """The index is no segment, but it is named by its digest like one."""
    index = sorted((good / "contracts").iterdir())[1]
    name, expected = f"contracts/{index.name}", sha256_file(index).hex()
    found = findings_after(tmp_path, good, lambda folder: flipped(folder / name), "files_hold_their_digests")
    actual = sha256_file(tmp_path / "ledger" / RUN_ID / name).hex()
    assert found == [(name, 7, RANK0, expected, actual)]


def test_an_edited_manifest_entry_is_found(tmp_path: Path, good: Path) -> None:
    """An entry is edited by hand, and its own digest left as it was."""

    def edit(folder: Path) -> None:
        path = folder / "manifest" / "1.json"
        path.write_bytes(path.read_bytes().replace(b'"rank":0', b'"rank":1'))

    found = findings_after(tmp_path, good, edit, "manifest_is_chained")
    _, own = canonical.encode(msgspec.structs.replace(entries(good)[1], rank=1))
    assert found == [("manifest/1.json", None, None, f"its own sha256 {own}", "other bytes")]


def test_a_missing_manifest_entry_is_found(tmp_path: Path, good: Path) -> None:
    """An entry in the middle is deleted."""
    found = findings_after(
        tmp_path, good, lambda folder: (folder / "manifest" / "1.json").unlink(), "manifest_is_chained"
    )
    assert found == [("manifest/1.json", None, None, "present", "missing, 2 is there")]


def test_an_entry_that_follows_another_is_found(tmp_path: Path, good: Path) -> None:
    """An entry is edited and its own digest made anew; the entry after it names the old one."""
    changed = msgspec.structs.replace(entries(good)[1], rank=1)
    data, own = canonical.encode(changed)
    found = findings_after(
        tmp_path,
        good,
        lambda folder: (folder / "manifest" / "1.json").write_bytes(data),
        "manifest_is_chained",
    )
    expected = entries(good)[2].previous_sha256
    assert found == [("manifest/2.json", None, None, f"follows {own}", expected)]


def rotated(tmp_path: Path, contracts: Contracts) -> Path:
    """A run of one stream that was sealed twice."""
    script = beginning(contracts)
    parts = [*script[:9], (RANK0, rotate), (RANK0, seal), *script[9:], (RANK0, close), (RANK0, seal)]
    return write_ledger(tmp_path / "rotated", parts)


def test_a_manifest_without_an_entry_leaves_a_hole_in_its_stream(tmp_path: Path, contracts: Contracts) -> None:
    """An entry is dropped and the whole manifest forged around it."""
    folder = rotated(tmp_path, contracts)
    first, last = entries(folder)
    found = findings_after(tmp_path, folder, forged(lambda known: known[1:]), "streams_are_dense")
    assert found == [
        (
            RANK0,
            last.first_seq,
            RANK0,
            f"seq 0, link {first.link_before}",
            f"seq {last.first_seq}, link {last.link_before}, 7 events through seq {last.last_seq}",
        )
    ]


def test_a_range_that_continues_another_chain_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A later range is replaced by one whose first frame follows another event."""
    folder = rotated(tmp_path, contracts)
    first, last = entries(folder)
    foreign = msgspec.structs.replace(last, link_before="0" * 64)
    found = findings_after(tmp_path, folder, forged(lambda known: [known[0], foreign]), "streams_are_dense")
    assert found == [
        (
            RANK0,
            last.first_seq,
            RANK0,
            f"seq {last.first_seq}, link {first.link_after}",
            f"seq {last.first_seq}, link {'0' * 64}, 7 events through seq {last.last_seq}",
        )
    ]


def test_a_segment_left_out_of_an_entry_is_found(tmp_path: Path, good: Path) -> None:
    """An entry forgets its file of run_finished: it has fewer events than its range."""

    def forgetful(known: list[manifest.Entry]) -> list[manifest.Entry]:
        files = [file for file in known[3].files if file.kind != "run_finished"]
        return [*known[:3], msgspec.structs.replace(known[3], files=files)]

    last = entries(good)[3]
    found = findings_after(tmp_path, good, forged(forgetful), "streams_are_dense")
    assert found == [
        (
            "c.1",
            last.first_seq,
            "c.1",
            f"seq {last.first_seq}, link {last.link_before}",
            f"seq {last.first_seq}, link {last.link_before}, 3 events through seq {last.last_seq}",
        )
    ]


def end_of(folder: Path, stream: str) -> tuple[int, str]:
    last = [entry for entry in entries(folder) if entry.stream == stream][-1]
    return last.last_seq, last.link_after


ENDED = "stream_ended, or an end that rank 0 of the next attempt pins"


def test_a_rank_that_the_completion_does_not_rest_on_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """Rank 0 completes the run, and pins every stream but rank 1's, which could be cut without a trace."""
    script = trained_run(contracts, world=2)
    at = place(script, events.StreamOpened, stream=COMPLETION)
    folder = write_ledger(tmp_path, script[:at])
    ends = [end for end in log.completion_ends(folder, 1) if end.stream == RANK0]
    claimed = log.attempt_sha256(folder, 1)
    with open_writer(
        folder, opened(role="complete", previous=ends, attempt_sha256=claimed), stream=COMPLETION
    ) as writer:
        writer.emit(events.RunFinished(outcome="completed", reason=None))
    seq, link = end_of(folder, RANK1)
    expected = "an end that the completion pins"
    assert violations(folder, "streams_have_ends") == [(RANK1, seq, RANK1, expected, f"seq {seq}, link {link}")]


def test_an_event_behind_the_end_of_a_completion_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A completion stream goes on after it said that the run was finished."""
    script = trained_run(contracts)
    removed = events.CheckpointRemoved(checkpoint_id="a0001-s000000", reason="space")
    script += [(COMPLETION, removed), (COMPLETION, close), (COMPLETION, seal)]
    found = findings(tmp_path, script, "streams_have_ends")
    seq, link = end_of(tmp_path / "ledger" / RUN_ID, COMPLETION)
    assert found == [(COMPLETION, seq, COMPLETION, "run_finished", f"seq {seq}, link {link}")]


def test_a_stream_that_goes_on_behind_its_completion_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The completion pins where rank 0's stream ended, and more stands behind it by now."""
    script = trained_run(contracts)
    at = place(script, events.StreamEnded)
    moved = [step for step in script if step not in ((RANK0, close), (RANK0, seal))]
    removed = events.CheckpointRemoved(checkpoint_id="a0001-s000000", reason="space")
    script = [*moved[: at + 1], (RANK0, rotate), (RANK0, seal), *moved[at + 1 :], (RANK0, removed)]
    found = findings(tmp_path, [*script, (RANK0, close), (RANK0, seal)], "streams_have_ends")
    assert [row[:3] for row in found] == [(RANK0, 42, RANK0)]
    assert found[0][3].startswith("seq 41, link ")


@pytest.mark.parametrize("pinned", [29, 30])
def test_a_stream_pinned_elsewhere_is_found(tmp_path: Path, contracts: Contracts, pinned: int) -> None:
    """The next attempt saw the stream end at another event: what it saw was cut, added to or replaced since."""
    pin = events.StreamEnd(stream=RANK0, last_seq=pinned, chain_head=sha256(b"the end that was seen"))
    script = resumed_run(contracts)
    script = script[: place(script, events.CheckpointLoaded)]
    script = edited(script, events.StreamOpened, stream=SECOND, previous=[pin])
    found = findings(tmp_path, script, "streams_have_ends")
    seq, link = end_of(tmp_path / "ledger" / RUN_ID, RANK0)
    expected = f"seq {pinned}, link {sha256(b'the end that was seen').hex()}"
    assert found == [(RANK0, seq, RANK0, expected, f"seq {seq}, link {link}")]


def test_a_stream_that_the_next_attempt_forgot_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The second attempt pins rank 0's end and not rank 1's: rank 1's stream could be cut without a trace."""
    script = trained_run(contracts, world=2)
    script = script[: place(script, events.BatchReplayed, nth=4)]
    folder = write_ledger(tmp_path, [*script, (RANK0, close), (RANK1, close), (RANK0, seal)])
    (end,) = (end for end in previous_ends(folder, 2) if end.stream == RANK0)
    log.claim_attempt(folder)
    claimed = log.attempt_sha256(folder, 2)
    with open_writer(folder, opened(attempt=2, previous=[end], attempt_sha256=claimed)) as writer:
        writer.emit(started(contracts, 2, 2, checkpoint_id(1, 2)))
    seq, link = end_of(folder, RANK1)
    assert violations(folder, "streams_have_ends") == [(RANK1, seq, RANK1, ENDED, f"seq {seq}, link {link}")]


def test_a_pinned_stream_that_is_gone_is_found(tmp_path: Path, resumed: Path) -> None:
    """Every entry of the first attempt's stream is forged away; the second attempt still names its end."""
    seq, link = end_of(resumed, RANK0)
    found = findings_after(
        tmp_path, resumed, forged(lambda known: [e for e in known if e.stream != RANK0]), "streams_have_ends"
    )
    assert found == [(RANK0, seq, RANK0, f"seq {seq}, link {link}", "no such stream")]


OPENED = "one stream_opened, at seq 0, of the role, attempt and rank in its name"


def test_a_stream_opened_twice_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A second process takes over a stream and opens it again."""
    script = inserted(trained_run(contracts), opened(), after=events.StageStarted)
    assert findings(tmp_path, script, "streams_open_once") == [(RANK0, 9, RANK0, OPENED, "another at seq 9")]


def test_a_stream_of_another_attempt_than_its_name_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A stream named after attempt 1 says that it is attempt 3's."""
    script = edited(trained_run(contracts), events.StreamOpened, attempt=3)
    assert findings(tmp_path, script, "streams_open_once") == [(RANK0, 0, RANK0, OPENED, "train attempt 3 rank 0")]


def test_a_verification_in_a_train_streams_name_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A verification stream takes the name of a rank's."""
    script = [*trained_run(contracts), ("t0001.r00001", opened(rank=1, role="verify"))]
    assert findings(tmp_path, script, "streams_open_once") == [
        ("t0001.r00001", 0, "t0001.r00001", OPENED, "verify attempt 1 rank 1")
    ]


def test_a_stream_without_its_beginning_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The range that holds a stream's first event is forged away."""
    folder = rotated(tmp_path, contracts)
    found = findings_after(tmp_path, folder, forged(lambda known: known[1:]), "streams_open_once")
    assert found == [(RANK0, 0, RANK0, OPENED, "none at seq 0")]


def test_a_recorded_gap_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The disk was full: a later stream says what an earlier one could not write."""
    gap = events.GapRecorded(gap_stream=RANK0, after_seq=29, events_lost=2, reason="the disk was full")
    script = inserted(resumed_run(contracts), gap, after=events.AttemptStarted, stream=SECOND)
    assert findings(tmp_path, script, "no_gap_is_recorded") == [
        (RANK0, 2, SECOND, "no gap", "2 events lost after seq 29: the disk was full")
    ]


def test_a_gap_of_unknown_size_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """Nobody knows how many events a dead writer had accepted."""
    gap = events.GapRecorded(gap_stream=RANK0, after_seq=29, events_lost=None, reason="the host is gone")
    script = inserted(resumed_run(contracts), gap, after=events.AttemptStarted, stream=SECOND)
    assert findings(tmp_path, script, "no_gap_is_recorded") == [
        (RANK0, 2, SECOND, "no gap", "unknown number of events lost after seq 29: the host is gone")
    ]


def second_event_changed(folder: Path) -> None:
    """In the last event of an unsealed journal stands that the second one was synced."""
    path = folder / "journal" / RANK0 / f"{0:012}.wal"
    data = bytearray(path.read_bytes())
    _, first = frame.read_header(bytes(data), path)
    second = first + 8 + int.from_bytes(data[first : first + 4], "little")
    data[second + 40] ^= 1
    path.write_bytes(data)


def test_damage_that_no_crash_leaves_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A byte of the second event of an unsealed journal was changed, long after it was synced."""
    run = log.create_run(tmp_path / "whole", RUN_ID)
    with log.open_writer(run, opened()) as writer:
        for event in declared(contracts):
            writer.emit(event)
    expected = (
        f"journal/{RANK0}/{0:012}.wal", 1, RANK0, "whole at seq 1, or torn and never synced",
        "crc32 differs, durable through seq 4",
    )  # fmt: skip
    assert findings_after(tmp_path, run, second_event_changed, "damage_is_a_torn_tail") == [expected]


def test_a_rollback_leaves_its_segments_behind(tmp_path: Path, good: Path) -> None:
    """The last two entries are deleted; their segments are there, and no journal is."""
    known = entries(good)
    taken = [known[2], known[3]]

    def roll_back(folder: Path) -> None:
        for entry in taken:
            (folder / "manifest" / f"{entry.number}.json").unlink()

    found = findings_after(tmp_path, good, roll_back, "entries_are_not_taken_away")
    assert [(row[0], row[1], row[2]) for row in found] == sorted(
        (file.path, entry.first_seq, entry.stream) for entry in taken for file in entry.files
    )


def test_segments_that_a_crash_left_before_their_entry_are_no_rollback(tmp_path: Path, contracts: Contracts) -> None:
    """Their journal is still there: the next sealing writes them again."""
    folder = write_ledger(tmp_path / "ledger", trained_run(contracts))
    (journal,) = (folder / "journal").glob(f"{COMPLETION}/*.wal")
    kept = journal.read_bytes()
    log.seal_run(folder)
    (folder / "manifest" / f"{len(entries(folder)) - 1}.json").unlink()
    journal.write_bytes(kept)
    assert audited(folder, "entries_are_not_taken_away").status == "held"
    journal.unlink()
    assert audited(folder, "entries_are_not_taken_away").status == "violated"


@pytest.mark.parametrize("damage", ["missing", "flipped", "foreign"])
def test_an_attempt_that_nobody_of_this_run_claimed_is_found(tmp_path: Path, good: Path, damage: str) -> None:
    """The claim of attempt 1 is deleted, changed by a bit, or that of another run."""

    def change(folder: Path) -> None:
        path = folder / "attempts" / "1.json"
        if damage == "flipped":
            flipped(path)
            return
        path.unlink()
        if damage == "foreign":
            other = log.create_run(tmp_path / "other", RUN_ID)
            log.claim_attempt(other)
            (other / "attempts" / "1.json").rename(path)

    found = findings_after(tmp_path, good, change, "attempts_are_claimed")
    assert {row[0] for row in found} == {"attempts/1.json"}
    # Each of the streams names a claim that is not there.
    assert {row[2] for row in found} == {None, RANK0, "v.first", "v.second", COMPLETION}


def test_a_stream_of_another_claim_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A rank names another start of training than the one whose number it bears."""
    script = edited(trained_run(contracts, world=2), events.StreamOpened, stream=RANK1, attempt_sha256=OTHER)
    ((*found, expected, actual),) = findings(tmp_path, script, "attempts_are_claimed")
    assert (found, actual) == (["attempts/1.json", 0, RANK1], f"sha256 {OTHER.hex()}")
    assert expected == f"sha256 {log.attempt_sha256(tmp_path / 'ledger' / RUN_ID, 1).hex()}"
