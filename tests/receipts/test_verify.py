"""A receipt is held against its ledger as of its basis: one that was recorded, forged, or cut out of the manifest."""

from pathlib import Path

import pytest

from psion_ledger import events, log, open_run
from psion_ledger.contracts import encode_document
from psion_ledger.digest import sha256
from psion_ledger.errors import CannotDecide, Damaged
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from psion_ledger.receipts import Verification, decode_receipt, derive_receipt, record_receipt, verify_receipt
from psion_ledger.replay import record_replay
from tests.corpora import real_contracts, write_shards
from tests.ledgers import COMPLETION, RANK0, RUN_ID, Mark, Script, good_run, opened, record, seal, write_ledger
from tests.receipts.forging import forged, put, resealed

CONTRACTS = real_contracts()


def found(verification: Verification) -> list[tuple[str, str, str, str]]:
    return [(d.code, d.pointer, d.expected, d.actual) for d in verification.differences]


def test_a_recorded_receipt_holds_as_of_its_basis(run: Run, text: bytes) -> None:
    """It names its event's basis: the entries that were sealed before it was derived."""
    verification = verify_receipt(run, text)
    assert (verification.recorded, verification.differences, verification.basis_entries) == (True, [], 3)
    assert sha256(text).hex() == verification.sha256


def test_a_receipt_is_recorded_with_its_basis(good: Path, run: Run, text: bytes) -> None:
    """Its digest, the number of entries, and the tree head over them."""
    row = run.first(
        "select schema_version, sha256, basis_entries, basis_head, derivation_version from receipt_recorded"
    )
    head = read(good / RUN_ID, as_of=3).manifest.head()
    assert ("psion.pretrain_stage_receipt.v1", sha256(text), 3, head, 1) == row


def test_a_receipt_rests_on_sealed_entries_alone(tmp_path: Path) -> None:
    """A replay whose stream is not sealed yet is not in it, though it is in the record."""
    script = good_run(CONTRACTS)
    between = next(n for n, (stream, _) in enumerate(script) if stream == "v.second")
    script = [*script[:between], (RANK0, seal), *script[between:]]
    at = [n for n, (_, step) in enumerate(script) if getattr(step, "__name__", "") == "seal"][2]
    recorded: list[events.ReceiptRecorded] = []

    def keep(folder: Path, writer: log.Writer) -> None:
        recorded.append(record_receipt(folder, writer))

    write_ledger(tmp_path, [*script[:at], (COMPLETION, opened(role="complete")), (COMPLETION, keep)])
    replays = decode_receipt(recorded[0].document).replay_receipt.successful_replays
    assert (replays, recorded[0].basis_entries) == (1, 2)
    with open_run(tmp_path, RUN_ID) as run:
        assert derive_receipt(run).replay_receipt.successful_replays == 2


def test_a_receipt_that_was_never_recorded_is_derived_as_of_now(run: Run, text: bytes) -> None:
    """It says so: the whole manifest is its basis."""
    other = text.replace(b"small-final", b"small-other")
    verification = verify_receipt(run, other)
    entries = len(run.record.manifest.entries)
    assert (False, entries, sha256(other).hex()) == (
        verification.recorded, verification.basis_entries, verification.sha256,
    )  # fmt: skip
    pointer = "/checkpoint_lineage/promoted_checkpoint_label"
    assert [("FieldMismatch", pointer, "small-final", "small-other")] == found(verification)


# --- recorded, and not what the ledger gives ---------------------------------------------------------------------


def until_record(mark: Mark) -> Script:
    """The good run with `mark` where it records its receipt, and nothing after it."""
    script = good_run(CONTRACTS)
    return [*script[: script.index((COMPLETION, record))], (COMPLETION, mark)]


def verified(ledger: Path, text: bytes) -> Verification:
    with open_run(ledger, RUN_ID) as opened:
        return verify_receipt(opened, text)


def test_a_recorded_receipt_that_the_basis_does_not_give_is_named(tmp_path: Path, text: bytes) -> None:
    """To record it, with every digest recomputed, does not make it true."""
    lie = resealed(put(text, "/source_family_reports/1/mean_next_token_loss_milli", 1))
    write_ledger(tmp_path, until_record(forged(lie.decode())))
    verification = verified(tmp_path, lie)
    assert (verification.recorded, verification.basis_entries) == (True, 3)
    assert [d.pointer for d in verification.differences] == [
        "/source_family_reports/1/mean_next_token_loss_milli",
        "/receipt_digest",
    ]


def test_a_basis_of_another_head_is_found(tmp_path: Path, text: bytes) -> None:
    """The event names a head that its entries do not have: nothing is derived from them."""
    write_ledger(tmp_path, until_record(forged(basis_head=bytes(32))))
    head = read(tmp_path / RUN_ID, as_of=3).manifest.head().hex()
    assert [("BasisHeadMismatch", "/", "00" * 32, head)] == found(verified(tmp_path, text))


def test_a_basis_of_fewer_entries_has_another_head(tmp_path: Path, text: bytes) -> None:
    """The head names all three, the number one."""
    folder = write_ledger(tmp_path, until_record(forged(basis_entries=1)))
    heads = [read(folder, as_of=entries).manifest.head().hex() for entries in (3, 1)]
    assert [("BasisHeadMismatch", "/", *heads)] == found(verified(tmp_path, text))


def first_entry_alone(document: str) -> Mark:
    def mark(folder: Path, writer: log.Writer) -> None:
        head = read(folder, as_of=1).manifest.head()
        forged(document, basis_entries=1, basis_head=head)(folder, writer)

    return mark


def test_what_a_basis_does_not_hold_yet_is_not_in_its_receipt(tmp_path: Path, text: bytes) -> None:
    """The head is the first entry's own: the two replays came later, and the receipt that counts them differs."""
    write_ledger(tmp_path, until_record(first_entry_alone(text.decode())))
    verification = verified(tmp_path, text)
    assert [(d.pointer, d.expected, d.actual) for d in verification.differences][:2] == [
        ("/replay_receipt/successful_replays", "0", "2"),
        ("/replay_receipt/exact_replay_observed", "false", "true"),
    ]
    assert {"/replay_receipt/replay_digest", "/replay_receipt/summary", "/receipt_digest"} == {
        d.pointer for d in verification.differences[2:]
    }


def test_a_basis_that_gives_no_receipt_is_found(tmp_path: Path, text: bytes) -> None:
    """As of no entry at all there is nothing to derive from."""
    empty = sha256(b"")
    write_ledger(tmp_path, until_record(forged(basis_entries=0, basis_head=empty)))
    (difference,) = verified(tmp_path, text).differences
    assert (difference.code, difference.pointer, difference.expected) == ("NotDerivable", "/", "a receipt")
    assert "no stage config is declared" in difference.actual


def roll_back(folder: Path, entries_total: int) -> None:
    """Take the entries from this number on away, with their segments: only a kept head could tell."""
    for entry in read(folder).manifest.entries[entries_total:]:
        (folder / f"manifest/{entry.number}.json").unlink()
        for file in entry.files:
            (folder / file.path).unlink()


def test_a_basis_that_is_gone_is_found(tmp_path: Path, text: bytes) -> None:
    """The manifest was cut back to its first entry; the event is still in the unsealed tail."""
    folder = write_ledger(tmp_path, until_record(forged()))
    roll_back(folder, 1)
    assert found(verified(tmp_path, text)) == [("BasisMissing", "/", "3 manifest entries", "1 entries")]


def test_a_manifest_cut_behind_the_basis_forgets_the_receipt(tmp_path: Path, text: bytes) -> None:
    """The entry that held the event is gone, with the journal sealed into it: it counts as never recorded."""
    folder = write_ledger(tmp_path, good_run(CONTRACTS))
    roll_back(folder, 3)
    verification = verified(tmp_path, text)
    assert (verification.recorded, verification.basis_entries, verification.differences) == (False, 3, [])


def test_a_manifest_cut_before_the_replays_forgets_them_too(tmp_path: Path, text: bytes) -> None:
    """As of now there are none."""
    folder = write_ledger(tmp_path, good_run(CONTRACTS))
    roll_back(folder, 1)
    verification = verified(tmp_path, text)
    assert (verification.recorded, verification.basis_entries) == (False, 1)
    assert ("/replay_receipt/successful_replays", "0") in [(d.pointer, d.expected) for d in verification.differences]


def test_a_broken_manifest_gives_no_basis(tmp_path: Path, text: bytes) -> None:
    """Its first entry changed: nothing can rest on the record, and the file is named."""
    folder = write_ledger(tmp_path, good_run(CONTRACTS))
    (folder / "manifest/0.json").write_bytes(b"{}")
    with pytest.raises(Damaged) as refused:
        verified(tmp_path, text)
    assert refused.value.file == "manifest/0.json"


def test_a_later_derivation_asks_for_an_upgrade(tmp_path: Path, text: bytes) -> None:
    """What it means is not known here."""
    write_ledger(tmp_path, until_record(forged(derivation_version=2)))
    with pytest.raises(CannotDecide, match="a receipt of derivation 2; this knows 1: upgrade"):
        verified(tmp_path, text)


def test_a_later_replay_changes_no_recorded_verdict(tmp_path: Path) -> None:
    """It is in the ledger and not in the basis; only what is derived as of now counts it."""
    folder = write_ledger(tmp_path / "ledger", good_run(CONTRACTS))
    shards = write_shards(tmp_path / "corpus", CONTRACTS)
    with open_run(tmp_path / "ledger", RUN_ID) as opened:
        row = opened.first("select document from receipt_recorded")
    assert row is not None
    before = verified(tmp_path / "ledger", row[0].encode())
    record_replay(folder, shards, "0")
    assert before == verified(tmp_path / "ledger", row[0].encode())
    assert (before.recorded, before.differences) == (True, [])
    with open_run(tmp_path / "ledger", RUN_ID) as opened:
        now = derive_receipt(opened)
        assert now.replay_receipt.successful_replays == 3
        verification = verify_receipt(opened, encode_document(now).encode())
    assert (verification.recorded, verification.differences) == (False, [])
