"""Replay under other plans: what is not promised, what was left out, and an order that stands in files."""

import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from psion_ledger import events, log, open_run
from psion_ledger.auditing import audit
from psion_ledger.contracts import Contracts, encode_document
from psion_ledger.contracts.steps import Cell
from psion_ledger.digest import sha256
from psion_ledger.errors import CannotDecide
from psion_ledger.replay import replay
from tests.corpora import order_of, write_shards
from tests.documents import changed
from tests.edits import edited, inserted, place
from tests.emitted import batch_of
from tests.ledgers import RANK0, RUN_ID, Mark, Script, write_ledger
from tests.replay.test_replay import CONTRACTS, DIFFERENT, NTH, POSITION, replayed, trained


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("corpus"), CONTRACTS)


def with_plan(changes: dict[str, object]) -> Contracts:
    return msgspec.structs.replace(CONTRACTS, sampling_plan=changed(CONTRACTS.sampling_plan, changes))


def declaring(script: Script, contracts: Contracts) -> Script:
    """The script under another plan."""
    text = encode_document(contracts.sampling_plan)
    return edited(script, events.ContractDeclared, 4, document=text, sha256=sha256(text.encode()))


@pytest.mark.parametrize("batch", [{"schedule": [{"first_step": 1, "sequences": 8}]}, {}])
def test_batches_that_are_not_promised_are_replayed_as_they_were_recorded(
    tmp_path: Path, corpus: Path, batch: dict[str, object]
) -> None:
    """Without the size of micro batches, or of any batch: where each stood is the record's word."""
    script = declaring(trained(), with_plan({"/batch": batch}))
    found = replayed(tmp_path / "whole", script, corpus)
    assert (found.batches, found.steps, found.mismatches) == (8, 4, 0)
    found = replayed(tmp_path / "other", edited(script, DIFFERENT, NTH, token_sha256=bytes(32)), corpus)
    assert (found.batches, found.mismatches, found.first_mismatch_position) == (8, 1, POSITION)


SKIPPING = with_plan({"/planned_skips": [{"before_step": 3, "sequences": 4}]})


def skipping(**changes: Any) -> Script:
    """A run that leaves the four sequences from position 16 on out, before its third step."""
    left_out = batch_of(SKIPPING, 3, Cell(rank=0, micro_step=0, first_position=16, stride=1, sequences=4), **changes)
    script = trained(SKIPPING)
    at = place(script, DIFFERENT, 4)
    skip = events.BatchSkipped(**msgspec.structs.asdict(left_out), reason="the loss rose")
    return [*script[:at], (RANK0, skip), *script[at:]]


def test_what_was_left_out_is_replayed_too(tmp_path: Path, corpus: Path) -> None:
    """Its sequences count as drawn: they are those of their positions, and the steps behind stand behind them."""
    found = replayed(tmp_path / "whole", skipping(), corpus)
    assert (found.batches, found.steps, found.mismatches) == (9, 4, 0)
    found = replayed(tmp_path / "other", skipping(token_sha256=bytes(32)), corpus)
    assert (found.batches, found.mismatches, found.first_mismatch_position) == (9, 1, 16)


def test_a_sequence_that_no_shard_holds_cannot_decide(tmp_path: Path, corpus: Path) -> None:
    """A plan that gives one family a sequence of the other's: the split's total is right, a shard is too short."""
    moved: dict[str, object] = {
        "/families/1/end_sequence_id": 57, "/families/1/sequences": 41, "/families/1/tokens": 41 * 32,
        "/families/2/first_sequence_id": 57, "/families/2/sequences": 23, "/families/2/tokens": 23 * 32,
        "/order": {"kind": "materialised", "may_repeat": "anything"},
        "/evaluation_sets/2/first_sequence_id": 57, "/evaluation_sets/2/end_sequence_id": 64,
    }  # fmt: skip
    script = declaring(in_files([*ENTRIES[:12], 40, *ENTRIES[13:]]), with_plan(moved))
    with pytest.raises(CannotDecide, match="no shard that the contracts name holds sequence 56"):
        replayed(tmp_path, script, corpus)


# --- an order in files ---------------------------------------------------------------------------------------------

ENTRIES = [i - 16 for i in order_of(CONTRACTS).sequence_ids(0, 32).tolist()]  # The train sequences begin at 16.
IN_FILES = {"/order": {"kind": "materialised", "may_repeat": "anything"}}


def in_files(entries: list[int], files: int = 2) -> Script:
    """The run of the small contracts, whose order was written to files before it began."""
    script = declaring(trained(), with_plan(dict(IN_FILES)))
    size = len(entries) // files
    parts = [entries[n : n + size] for n in range(0, len(entries), size)]

    def declare(folder: Path, writer: log.Writer) -> None:
        listed = log.add_files(folder, "order_files", [(struct.pack(f"<{len(p)}I", *p), len(p)) for p in parts], "u4")
        writer.emit(
            events.ContractDeclared(
                contract_role="order_files", schema_version="psion_ledger.order_files.v1",
                sha256=sha256(listed.encode()), document=listed,
            )
        )  # fmt: skip

    mark: Mark = declare
    return inserted(script, mark, after=events.ContractDeclared, nth=4)


@pytest.mark.parametrize("files", [1, 2, 8])
def test_an_order_in_files_is_replayed(tmp_path: Path, corpus: Path, files: int) -> None:
    """However many there are; a batch that follows another order is found."""
    found = replayed(tmp_path / "whole", in_files(ENTRIES, files), corpus)
    assert (found.batches, found.steps, found.mismatches) == (8, 4, 0)
    other = [*ENTRIES[:12], ENTRIES[13], ENTRIES[12], *ENTRIES[14:]]
    found = replayed(tmp_path / "other", in_files(other, files), corpus)
    assert (found.batches, found.mismatches, found.first_mismatch_position) == (8, 1, 12)


def test_an_order_in_files_that_are_not_declared_cannot_decide(tmp_path: Path, corpus: Path) -> None:
    """Nothing says which sequences belong at its positions."""
    with pytest.raises(CannotDecide, match="its order is in files, and none are declared"):
        replayed(tmp_path, declaring(trained(), with_plan(dict(IN_FILES))), corpus)


def test_an_order_in_files_that_ends_before_the_run_cannot_decide(tmp_path: Path, corpus: Path) -> None:
    """The last batches stand beyond it."""
    with pytest.raises(CannotDecide, match="the order files end at position 24, and 32 are asked for"):
        replayed(tmp_path, in_files(ENTRIES[:24]), corpus)


def test_an_order_in_files_that_names_no_sequence_cannot_decide(tmp_path: Path, corpus: Path) -> None:
    """Its batch has no content; the audit says that it could not be derived, and is no less whole."""
    script = in_files([*ENTRIES[:12], 64, *ENTRIES[13:]])
    write_ledger(tmp_path, script)
    with open_run(tmp_path, RUN_ID) as run:
        with pytest.raises(CannotDecide, match="the order names no train sequence at position 12"):
            replay(run, corpus)
        verdict = audit(run, require="replayed", corpus=corpus, artifacts=tmp_path / "none")
    (law,) = (law for law in verdict.laws if law.name == "replay_here_agrees")
    assert law.status == "skipped"
