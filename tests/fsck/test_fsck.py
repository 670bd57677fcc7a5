"""A check of the files names every fault: which file, which stream, which events; and says nothing of a clean run."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from psion_ledger import heads, log, open_run
from psion_ledger.errors import NoSuchRun
from psion_ledger.fsck import Checked, Finding, fsck
from psion_ledger.log import canonical, manifest
from psion_ledger.log.segment import seal_run
from psion_ledger.reading import read
from tests.corpora import real_contracts
from tests.laws.forging import entries
from tests.laws.test_outside import replaced, with_rows
from tests.ledgers import RANK0, RUN_ID, beginning, good_run, opened, write_ledger
from tests.log.processes import live_writer
from tests.log.streams import numbered

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SECOND = "t0002.r00000"
JOURNAL = f"journal/{SECOND}/{0:012}.wal"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sealed ranges of one stream, an index, a signed head, a second attempt that is not sealed."""
    run = log.create_run(tmp_path_factory.mktemp("whole"), RUN_ID)
    log.claim_attempt(run)
    log.add_files(run, "sequence_index", [(b"PAR1", 1)])
    with log.open_writer(run, opened()) as writer:
        for step in (1, 2, 3):
            writer.emit(numbered(step))
            if step == 2:
                writer.rotate()
    seal_run(run)
    record = read(run)
    name = heads.origin(RUN_ID, record.claim.nonce)
    log.keep_head(run, 2, heads.sign(heads.Head(origin=name, size=2, root=record.manifest.head()), KEY))
    log.claim_attempt(run)
    with log.open_writer(run, opened(attempt=2)) as writer:
        for step in (4, 5):
            writer.emit(numbered(step))
    return run


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / RUN_ID)
    return tmp_path / RUN_ID


def checked(run: Path, *, deep: bool = False, key: bool = True) -> Checked:
    return fsck(run.parent, RUN_ID, deep=deep, key=KEY.public_key() if key else None)


def found(run: Path) -> list[tuple[str, str, str | None, int | None, int | None]]:
    return [(f.code, f.file, f.stream, f.seq_first, f.seq_last) for f in checked(run, deep=True).findings]


def flip(path: Path, place: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[place if place >= 0 else len(data) // 2] ^= 1
    path.write_bytes(data)


def segment(run: Path, number: int = 0, kind: str = "batch_replayed") -> str:
    return next(file.path for file in entries(run)[number].files if file.kind == kind)


def test_a_clean_run_has_no_finding(run: Path) -> None:
    """Whatever is asked for; and it says what it looked at."""
    found = checked(run, deep=True)
    assert (found.verdict, found.exit_code, found.findings) == ("PASS", 0, [])
    assert (found.entries, found.files, found.journals, found.heads) == (2, 3, 1, 1)


def test_a_run_that_is_being_written_has_no_finding(tmp_path: Path) -> None:
    """Its writer is alive, and half a frame at the end of its journal is not torn: it is being written."""
    run = log.create_run(tmp_path, RUN_ID)
    with live_writer(run):
        path = run / "journal" / RANK0 / f"{0:012}.wal"
        with path.open("ab") as file:
            file.write(b"\1\2\3")
        assert found(run) == []
    assert [finding[0] for finding in found(run)] == ["journal_torn"]


FAULTS: dict[str, tuple[Callable[[Path], object], tuple[str, str, str | None, int | None, int | None]]] = {
    "claim": (lambda run: flip(run / "CLAIM"), ("claim_damaged", "CLAIM", None, None, None)),
    "attempt": (lambda run: flip(run / "attempts/1.json"), ("attempt_damaged", "attempts/1.json", None, None, None)),
    "attempt gone": (
        lambda run: (run / "attempts/1.json").unlink(), ("attempt_missing", "attempts/1.json", None, None, None)
    ),
    "entry": (lambda run: flip(run / "manifest/1.json"), ("manifest_broken", "manifest/1.json", None, None, None)),
    "index": (
        lambda run: flip(next((run / "contracts").iterdir())),
        ("index_changed", "contracts/sequence_index-{index}.parquet", None, None, None),
    ),
    "segment": (lambda run: flip(run / segment(run)), ("file_changed", "{segment}", RANK0, 0, 2)),
    "segment gone": (lambda run: (run / segment(run)).unlink(), ("file_missing", "{segment}", RANK0, 0, 2)),
    "segment cut": (lambda run: os.truncate(run / segment(run), 100), ("file_changed", "{segment}", RANK0, 0, 2)),
    "journal's magic": (lambda run: flip(run / JOURNAL, 3), ("journal_unreadable", JOURNAL, SECOND, 0, None)),
    "journal's header": (lambda run: flip(run / JOURNAL, 40), ("journal_unreadable", JOURNAL, SECOND, 0, None)),
    "durable event": (lambda run: flip(run / JOURNAL, 150), ("journal_tampered", JOURNAL, SECOND, 0, None)),
    "last event": (
        lambda run: flip(run / JOURNAL, (run / JOURNAL).stat().st_size - 1), ("journal_torn", JOURNAL, SECOND, 2, None)
    ),
    "head": (lambda run: flip(run / "heads/2.note"), ("head_damaged", "heads/2.note", None, None, None)),
    "head under another size": (
        lambda run: (run / "heads/2.note").rename(run / "heads/1.note"),
        ("head_damaged", "heads/1.note", None, None, None),
    ),
    "orphan": (lambda run: (run / "segments/x").write_bytes(b""), ("orphan", "segments/x", None, None, None)),
    "leftover": (lambda run: (run / "tmp/x").write_bytes(b""), ("leftover", "tmp/x", None, None, None)),
}  # fmt: skip
VERDICTS = {"journal_torn": ("UNPROVEN", 3), "orphan": ("PASS", 0), "leftover": ("PASS", 0)}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_where_it_is(run: Path, fault: str) -> None:
    """Each alone, with its file and the events that it concerns; and it decides the verdict as it should."""
    damage, (code, file, *where) = FAULTS[fault]
    (index,) = (run / "contracts").iterdir()
    names = {"segment": segment(run), "index": index.stem.removeprefix("sequence_index-")}
    damage(run)
    assert found(run) == [(code, file.format(**names), *where)]
    result = checked(run)
    assert (result.verdict, result.exit_code) == VERDICTS.get(code, ("FAIL", 1))


@pytest.mark.parametrize("sealed", [True, False])
def test_a_declared_file_that_is_gone_is_missed_at_its_declaration(tmp_path: Path, sealed: bool) -> None:
    """The event that declared it says where, sealed or not; of two files the one that is there is no fault."""
    run = write_ledger(tmp_path, (good_run if sealed else beginning)(real_contracts()))
    index, _ = sorted((run / "contracts").iterdir())
    index.unlink()
    (finding,) = fsck(tmp_path, RUN_ID).findings
    assert (finding.code, finding.file) == ("index_missing", f"contracts/{index.name}")
    with open_run(tmp_path, RUN_ID, despite_damage=True) as opened:
        declared = opened.first("select stream, seq from contract_declared where contract_role = 'sequence_index'")
    assert (finding.stream, finding.seq_first) == declared


def test_several_faults_are_all_found(run: Path) -> None:
    """It goes on after the first."""
    for path in ("attempts/2.json", segment(run), segment(run, 1), JOURNAL):
        flip(run / path)
    assert [code for code, *_ in found(run)] == ["attempt_damaged", "file_changed", "file_changed", "journal_torn"]


def test_a_signature_is_checked_under_the_pinned_key_alone(run: Path) -> None:
    """Another key signed the head: without a key to pin, nobody can tell."""
    note = heads.sign(heads.unverified((run / "heads/2.note").read_bytes()).head, Ed25519PrivateKey.generate())
    (run / "heads/2.note").write_bytes(note)
    assert [f.code for f in checked(run).findings] == ["head_damaged"]
    assert checked(run, key=False).findings == []


def test_a_rewritten_manifest_contradicts_its_heads(run: Path) -> None:
    """All digests were forged around the change; the signed head was not, and neither is one that is rolled back."""
    known = entries(run)
    data, _ = canonical.encode(msgspec.structs.replace(known[1], events_root="0" * 64))
    manifest.path_of(run, 1).write_bytes(data)
    assert found(run)[0] == ("head_contradicts", "heads/2.note", None, None, None)
    manifest.path_of(run, 1).unlink()
    (rolled,) = (finding for finding in checked(run).findings if finding.code == "head_contradicts")
    assert rolled.detail == "a head of 2 entries, and the manifest has 1: it was rolled back"


def test_a_stream_with_a_hole_is_found(run: Path) -> None:
    """A journal that continues nothing: the one before it is gone."""
    with log.open_writer(run, opened(attempt=3)) as writer:
        writer.rotate()
        writer.emit(numbered(6))
    (run / f"journal/t0003.r00000/{0:012}.wal").unlink()
    assert found(run) == [("stream_broken", f"journal/t0003.r00000/{1:012}.wal", "t0003.r00000", 1, 1)]


def test_a_journal_of_another_run_is_found(run: Path, tmp_path: Path) -> None:
    """Same name, same stream, another nonce."""
    other = log.create_run(tmp_path / "other", RUN_ID)
    with log.open_writer(other, opened(attempt=2)):
        pass
    shutil.copy(other / JOURNAL, run / JOURNAL)
    assert found(run) == [("journal_foreign", JOURNAL, SECOND, None, None)]


def test_a_forged_column_is_found_by_the_deep_check_alone(tmp_path: Path) -> None:
    """Every digest over the file was made anew: only encoding its events again shows it."""
    run = write_ledger(tmp_path, good_run(real_contracts()))
    with_rows(lambda table: replaced(table, "loss_nats", 0, 1.0))(run)
    last = entries(run)[0].last_seq
    assert checked(run).findings == []
    detail = f"seqs 0 to {last} do not give the link and root that were sealed"
    assert checked(run, deep=True).findings == [
        Finding(code="columns_differ", file="manifest/0.json", stream=RANK0, seq_first=0, seq_last=last, detail=detail)
    ]


def test_a_run_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """No finding, for there is nothing to find anything in."""
    with pytest.raises(NoSuchRun):
        fsck(tmp_path, RUN_ID)


def test_a_journal_that_is_sealed_already_is_no_fault(run: Path, whole: Path) -> None:
    """A sealer was stopped before it dropped the journal; the next one does."""
    kept = (run / JOURNAL).read_bytes()
    seal_run(run)
    (run / JOURNAL).write_bytes(kept)
    assert found(run) == []


def test_entries_that_were_taken_away_are_missed(tmp_path: Path) -> None:
    """The last two entries are deleted; their segments are there, and no journal is: no crash leaves that."""
    run = write_ledger(tmp_path, good_run(real_contracts()))
    taken = entries(run)[2:]
    for entry in taken:
        (run / "manifest" / f"{entry.number}.json").unlink()
    found = fsck(tmp_path, RUN_ID, deep=True)
    assert found.verdict == "FAIL"
    expected = sorted(file.path for entry in taken for file in entry.files)
    assert sorted(finding.file for finding in found.findings if finding.code == "entry_missing") == expected
