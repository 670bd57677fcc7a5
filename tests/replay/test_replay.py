"""Replay: every effective batch derived again from contracts and shards, and held against the record."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from psion_ledger import events, log, open_run
from psion_ledger.auditing import audit
from psion_ledger.contracts import Contracts
from psion_ledger.errors import CannotDecide
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from psion_ledger.replay import Replay, record_replay, replay
from tests.corpora import real_contracts, token_digest, write_shards
from tests.documents import changed
from tests.edits import edited, place, without
from tests.emitted import checkpoint_id, started
from tests.ledgers import RANK0, RUN_ID, Script, beginning, good_run, opened, resumed_run, training, write_ledger

CONTRACTS = real_contracts()
SMALLER = real_contracts(micro_batch_sequences=2)
DIFFERENT = events.BatchReplayed


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("corpus"), CONTRACTS)


def trained(contracts: Contracts = CONTRACTS, steps: int = 4) -> Script:
    """One rank, two micro steps, batches of four: as far as the last step, with no end."""
    return beginning(contracts) + training(contracts, 1, range(1, steps + 1), checkpoint_id(1, 0))


def replayed(ledger: Path, script: Script, corpus: Path) -> Replay:
    write_ledger(ledger, script)
    with open_run(ledger, RUN_ID) as run:
        return replay(run, corpus)


@pytest.mark.parametrize(
    ("script", "batches"),
    [
        (good_run(CONTRACTS), 8),
        (good_run(CONTRACTS, world=2), 8),
        (good_run(SMALLER, world=2), 16),
        (resumed_run(CONTRACTS), 8),
    ],
    ids=["one rank", "two ranks", "two ranks in two micro steps", "resumed"],
)
def test_a_run_that_did_as_it_promised_has_no_mismatch(
    tmp_path: Path, corpus: Path, script: Script, batches: int
) -> None:
    """However its batches were cut, and with a superseded step left out."""
    expected = Replay(run_id=RUN_ID, batches=batches, steps=4, mismatches=0, first_mismatch_position=None, findings=[])
    assert expected == replayed(tmp_path, script, corpus)


@pytest.mark.parametrize(("cut", "last", "batches"), [(0, 2, 2 * 4), (3, 4, 3 * 2 + 4)])
def test_a_run_that_changed_its_world_size_is_cut_as_each_attempt_cut_it(
    tmp_path: Path, corpus: Path, cut: int, last: int, batches: int
) -> None:
    """An attempt of four ranks behind, or in place of, one of a single rank in two micro steps."""
    loaded = checkpoint_id(1, cut) if cut else None
    script = trained(steps=3)
    for rank in range(4):
        stream = f"t0002.r{rank:05}"
        script += [(stream, opened(2, rank)), (stream, started(CONTRACTS, 4, cut, loaded))]
    script += training(CONTRACTS, 2, range(cut + 1, last + 1), "parent", world=4)
    found = replayed(tmp_path, script, corpus)
    assert (batches, 0, []) == (found.batches, found.mismatches, found.findings)


def test_an_unfinished_run_is_replayed_as_far_as_it_came(tmp_path: Path, corpus: Path) -> None:
    """Two of four steps; the batches of a third that is under way are left out."""
    script = trained(steps=2)
    third = training(CONTRACTS, 1, range(3, 4), "parent")[:2]
    found = replayed(tmp_path, [*script, *third], corpus)
    assert (found.batches, found.steps, found.mismatches) == (4, 2, 0)


def finding(position: int, seq: int, expected: tuple[int, list[int]], actual: tuple[int, bytes, str]) -> dict[str, Any]:
    step, ids = expected
    return {
        "subject": f"position {position}", "event_seq": seq, "stream": RANK0,
        "expected": f"step {step} with tokens {token_digest(ids).hex()}",
        "actual": f"step {actual[0]} with tokens {actual[1].hex()}{actual[2]}",
    }  # fmt: skip


def ids_of(script: Script, nth: int) -> list[int]:
    event = script[place(script, events.BatchReplayed, nth)][1]
    assert isinstance(event, events.BatchReplayed)
    return event.sequence_ids


# The fourth batch of the run: the second micro step of step 2, at position 12.
NTH, POSITION, STEP = 3, 12, 2


def seq_of(script: Script, nth: int) -> int:
    """The seq of a batch: all before it is on one stream, from stream_opened at 0."""
    return place(script, events.BatchReplayed, nth)


@pytest.mark.parametrize(
    "field", ["token_sha256", "sequence_ids", "tokens", "family_tokens", "target_tokens", "sequences", "stride"]
)
def test_one_changed_field_is_found_at_its_position(tmp_path: Path, corpus: Path, field: str) -> None:
    """Each field that identifies a batch."""
    script = trained()
    ids = ids_of(script, NTH)
    digest, note = token_digest(ids), ", in another order or count"
    values: dict[str, Any] = {
        "token_sha256": bytes(32), "sequence_ids": [ids[0], ids[0], *ids[2:]], "tokens": 127,
        "family_tokens": [events.FamilyTokens(source_family_id="library_code", tokens=128)], "target_tokens": 128,
        "sequences": 3, "stride": 2,
    }  # fmt: skip
    found = replayed(tmp_path, edited(script, events.BatchReplayed, NTH, **{field: values[field]}), corpus)
    actual = (STEP, bytes(32), "") if field == "token_sha256" else (STEP, digest, note)
    expected = finding(POSITION, seq_of(script, NTH), (STEP, ids), actual)
    assert (1, POSITION, [expected]) == (found.mismatches, found.first_mismatch_position, found.findings)


def test_swapped_batches_are_found_at_both_positions(tmp_path: Path, corpus: Path) -> None:
    """What stood at 8 was consumed at 12, and the other way round: each digest is right for its own tokens."""
    script = trained()
    first, second = script[place(script, DIFFERENT, 2)][1], script[place(script, DIFFERENT, 3)][1]
    assert isinstance(first, events.BatchReplayed)
    assert isinstance(second, events.BatchReplayed)

    def content(batch: events.BatchReplayed) -> dict[str, Any]:
        return {name: getattr(batch, name) for name in ("sequence_ids", "family_tokens", "token_sha256")}

    swapped = edited(edited(script, DIFFERENT, 2, **content(second)), DIFFERENT, 3, **content(first))
    found = replayed(tmp_path, swapped, corpus)
    expected = [
        finding(8, seq_of(script, 2), (2, first.sequence_ids), (2, second.token_sha256, "")),
        finding(12, seq_of(script, 3), (2, second.sequence_ids), (2, first.token_sha256, "")),
    ]
    assert (2, 8, expected) == (found.mismatches, found.first_mismatch_position, found.findings)


def test_swapped_sequences_within_a_batch_are_found(tmp_path: Path, corpus: Path) -> None:
    """The order within a batch counts: its ids and its digest differ from what is derived."""
    script = trained()
    ids = ids_of(script, NTH)
    swapped = [ids[1], ids[0], *ids[2:]]
    edit = edited(script, DIFFERENT, NTH, sequence_ids=swapped, token_sha256=token_digest(swapped))
    found = replayed(tmp_path, edit, corpus)
    expected = finding(POSITION, seq_of(script, NTH), (STEP, ids), (STEP, token_digest(swapped), ""))
    assert [expected] == found.findings


def test_a_batch_that_is_missing_is_found(tmp_path: Path, corpus: Path) -> None:
    """It was never recorded; what should have been there is named."""
    script = trained()
    found = replayed(tmp_path, without(script, DIFFERENT, NTH), corpus)
    expected = {
        "subject": f"position {POSITION}", "event_seq": None, "stream": None,
        "expected": f"step {STEP} with tokens {token_digest(ids_of(script, NTH)).hex()}", "actual": "no batch",
    }  # fmt: skip
    assert (1, [expected]) == (found.mismatches, found.findings)


def test_a_batch_under_another_step_is_found_at_both(tmp_path: Path, corpus: Path) -> None:
    """The step in which it stands has one too many, the one to which it belongs none."""
    script = trained()
    found = replayed(tmp_path, edited(script, DIFFERENT, NTH, step=1), corpus)
    assert (found.mismatches, found.first_mismatch_position) == (2, POSITION)
    assert {("no such batch", True), ("step 2", False)} == {
        (row["expected"] if row["expected"] == "no such batch" else row["expected"][:6], row["actual"] != "no batch")
        for row in found.findings
    }


def test_a_superseded_batch_is_not_compared(tmp_path: Path, corpus: Path) -> None:
    """Step 3 of the first attempt had other tokens; the second attempt trained it again."""
    script = edited(resumed_run(CONTRACTS), DIFFERENT, 4, token_sha256=bytes(32))
    assert replayed(tmp_path, script, corpus).mismatches == 0


# --- the corpus ----------------------------------------------------------------------------------------------------


def test_a_missing_shard_cannot_decide(tmp_path: Path) -> None:
    """Its file is named, and what to pass."""
    shards = write_shards(tmp_path / "corpus", CONTRACTS)
    missing = shards / "train-library_code-0000.bin"
    missing.unlink()
    with pytest.raises(CannotDecide, match=f"{missing} is missing; pass the folder of its shards with --corpus"):
        replayed(tmp_path / "ledger", trained(), shards)


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


@pytest.mark.parametrize(
    "damage",
    [flipped, lambda data: data[:-2], lambda data: data + b"\0\0", lambda data: b""],
    ids=["flipped", "cut", "longer", "empty"],
)
@pytest.mark.parametrize("name", ["train-library_code-0000", "held_out-held_out_modules-0000"])
def test_a_shard_with_other_bytes_cannot_decide(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    """Whether a batch reads it or not: the corpus is not the one that was promised."""
    shards = write_shards(tmp_path / "corpus", CONTRACTS)
    path = shards / f"{name}.bin"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CannotDecide, match=f"^{path} is not the shard that the contracts name: it has sha256:"):
        replayed(tmp_path / "ledger", trained(), shards)


@pytest.mark.parametrize("kind", ["folder", "nothing"])
def test_a_corpus_that_is_not_there_cannot_decide(tmp_path: Path, kind: str) -> None:
    """An empty folder, or none."""
    if kind == "folder":
        (tmp_path / "corpus").mkdir()
    with pytest.raises(CannotDecide, match=r"the corpus is not at hand: .*--corpus"):
        replayed(tmp_path / "ledger", trained(), tmp_path / "corpus")


def test_a_shard_is_looked_for_by_its_name_alone(tmp_path: Path) -> None:
    """A storage_ref that climbs out of the folder reads the file of that name in it."""
    shards = write_shards(tmp_path / "corpus", CONTRACTS)
    declared = CONTRACTS.tokenized_corpus
    assert declared is not None
    climbing: dict[str, object] = {
        f"/shards/{n}/storage_ref": f"/etc/../{shard.shard_id}.bin" for n, shard in enumerate(declared.shards)
    }
    contracts = msgspec.structs.replace(CONTRACTS, tokenized_corpus=changed(declared, climbing))
    assert replayed(tmp_path / "ledger", trained(contracts), shards).mismatches == 0


def test_a_run_without_a_step_cannot_decide(tmp_path: Path, corpus: Path) -> None:
    """There is nothing to replay."""
    with pytest.raises(CannotDecide, match=f"run {RUN_ID}: no step is completed yet"):
        replayed(tmp_path, beginning(CONTRACTS), corpus)


@pytest.mark.parametrize(("nth", "missing"), [(3, "sampling_policy"), (4, "sampling_plan")])
def test_a_run_without_its_contracts_cannot_decide(tmp_path: Path, corpus: Path, nth: int, missing: str) -> None:
    """The missing one is named."""
    with pytest.raises(CannotDecide, match=f"^run {RUN_ID}: .*{missing}"):
        replayed(tmp_path, without(trained(), events.ContractDeclared, nth), corpus)


def test_contracts_that_do_not_hold_cannot_decide(tmp_path: Path, corpus: Path) -> None:
    """A plan that names a shard which the corpus does not have gives no order; the place is named in one line."""
    plan = changed(CONTRACTS.sampling_plan, {"/families/0/shard_ids": ["none"]})
    contracts = msgspec.structs.replace(CONTRACTS, sampling_plan=plan)
    with pytest.raises(
        CannotDecide, match=r"its contracts do not hold.* sampling_plan#/families/0/shard_ids"
    ) as refused:
        replayed(tmp_path, trained(contracts), corpus)
    assert "\n" not in str(refused.value)


def test_steps_before_every_attempt_are_no_ones(tmp_path: Path, corpus: Path) -> None:
    """The only attempt says that it began behind step 2: the batches of the two before are nobody's."""
    found = replayed(tmp_path, edited(trained(), events.AttemptStarted, cut_step=2), corpus)
    assert (found.batches, found.mismatches, found.first_mismatch_position) == (4, 4, 0)
    assert {"no such batch"} == {finding["expected"] for finding in found.findings}


# --- recording -----------------------------------------------------------------------------------------------------


def verification_rows(ledger: Path) -> list[tuple[Any, ...]]:
    with open_run(ledger, RUN_ID) as run:
        return run.sql(
            "select method, batches, mismatches_claimed, exact, differs from verification_passes order by stream"
        ).fetchall()


@pytest.mark.slow
@pytest.mark.parametrize("sealed", [False, True])
def test_a_recorded_replay_is_a_stream_that_audits_clean(tmp_path: Path, corpus: Path, sealed: bool) -> None:
    """Behind a finished run: nothing that was there changes, the pass is exact, and every law holds."""
    folder = write_ledger(tmp_path, good_run(CONTRACTS))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = record_replay(folder, corpus, "0.1.0")
    if sealed:
        seal_run(folder)
    assert before == {path: path.read_bytes() for path in before}
    (stream,) = {t.stream for t in read(folder).tails} or {e.stream for e in read(folder).manifest.entries[4:]}
    assert (f"{stream}", 8, 0) == (found.recorded_as, found.batches, found.mismatches)
    assert stream.startswith("v.replay-")
    assert verification_rows(tmp_path) == [("content", 8, 0, True, False)] * 3
    with open_run(tmp_path, RUN_ID) as run:
        verdict = audit(run, require="replayed", corpus=corpus, artifacts=tmp_path / "none")
    assert (verdict.verdict, verdict.level, verdict.unproven) == ("PASS", "replayed", [])
    assert [law.name for law in verdict.laws if law.status in ("violated", "vacuous")] == []


def test_a_replay_that_differs_is_recorded_as_it_is(tmp_path: Path, corpus: Path) -> None:
    """The stream holds what was derived, and counts the batch that differs."""
    folder = write_ledger(tmp_path, edited(trained(), DIFFERENT, NTH, token_sha256=bytes(32)))
    found = record_replay(folder, corpus, "0.1.0")
    assert (found.mismatches, found.first_mismatch_position) == (1, POSITION)
    assert verification_rows(tmp_path) == [("content", 8, 1, False, True)]
    with open_run(tmp_path, RUN_ID) as run:
        rows = run.sql("select mismatches, first_mismatch_position from verification_completed").fetchall()
    assert rows == [(1, POSITION)]


def test_a_replay_without_a_corpus_records_nothing(tmp_path: Path) -> None:
    """It is decided before a stream is opened."""
    folder = write_ledger(tmp_path, good_run(CONTRACTS))
    before = sorted(folder.rglob("*"))
    with pytest.raises(CannotDecide):
        record_replay(folder, tmp_path / "none", "0.1.0")
    assert before == sorted(folder.rglob("*"))


def test_replays_are_recorded_side_by_side(tmp_path: Path, corpus: Path) -> None:
    """Each has an id of its own."""
    folder = write_ledger(tmp_path, trained())
    names = {record_replay(folder, corpus, "0.1.0").recorded_as for _ in range(2)}
    assert len(names) == 2
    assert verification_rows(tmp_path) == [("content", 8, 0, True, False)] * 2
    log.refuse_if_live(folder)
