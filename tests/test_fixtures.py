"""The committed fixtures are what their ledger gives, and their run is the one that they need."""

import re

from fixtures import build
from psion_ledger.auditing import audit
from psion_ledger.ledger import open_run


def test_derived_documents_are_byte_for_byte_the_committed_ones() -> None:
    """fixtures/build.py is run again on any machine."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in sorted(build.DERIVED.iterdir())}
    assert committed == build.derived()


def test_the_recorded_run_crosses_an_epoch_and_two_family_passes() -> None:
    """The corpus is small enough that every family is in its third pass."""
    with open_run(build.LEDGER, build.RUN_ID) as run:
        passes = run.sql(
            "select source_family_id, ceil(sum(uses) / count(*)), max(uses) from sequence_uses "
            "join sequence_index using (sequence_id) group by 1 order by 1"
        ).fetchall()
        epochs = run.sql(
            "select (select sum(sequences) from train_batches) / sum(sequences) from plan_families "
            "where split_kind = 'train'"
        ).fetchall()
    assert passes == [("field_notes", 3, 3), ("house_rules", 3, 3)]
    assert epochs[0][0] > 1


def test_the_recorded_run_passes_at_replayed() -> None:
    """The fixture audits as the real run that it was; its checkpoints were not kept."""
    with open_run(build.LEDGER, build.RUN_ID) as run:
        found = audit(run, require="replayed", artifacts=build.RUNS)
    assert (found.verdict, found.level) == ("PASS", "replayed")
    skipped = [law.name for law in found.laws if law.status == "skipped"]
    assert skipped == [
        "columns_give_their_links", "history_continues_the_kept_head", "checkpoint_files_hold_their_digests"
    ]  # fmt: skip


def test_no_path_of_the_recording_machine_is_in_the_fixtures() -> None:
    """Contracts and settings name no folder of the machine that recorded them."""
    with open_run(build.LEDGER, build.RUN_ID) as run:
        settings = run.sql("select unnest(settings, recursive := true) from run_started").fetchall()
        documents = list(run.contracts_text.values())
    named = [
        text for text in [*documents, *(value for _, value in settings)] if re.search(r"/(work|root|home|tmp)/", text)
    ]
    assert named == []
