"""No law passes on nothing: where its population is empty it is vacuous, and the verdict UNPROVEN."""

from pathlib import Path

import pytest

from psion_ledger import catalog
from psion_ledger.auditing import Audit, audit, run_law
from psion_ledger.contracts import Contracts
from psion_ledger.evidence import Sources
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from tests.laws.copies import RECORDED, CopiedRun, Copies, empty, kept, promise
from tests.ledgers import RANK0, RUN_ID, beginning, opened, write_ledger

# What must be empty with a law's population: else what is left over has no counterpart, which is a violation.
WITH_IT: dict[str, tuple[str, ...]] = {
    "batches_follow_the_order": ("drawn_sequences",),
    "consumed_sources_are_capped": ("source_consumption",),
    "every_split_family_is_reported": ("final_split_loss",),
    "family_shares_are_within_caps": ("family_consumption",),
    "index_covers_the_plan": ("indexed_families",),
    "document_index_covers_the_plan": ("indexed_documents",),
    "measurements_are_declared": ("measurements",),
    "checkpoint_files_hold_their_digests": ("kept_files",),
    "steps_are_dense": ("batch_rollup", "train_steps"),
    "streams_have_ends": ("stream_pins",),
}
# Without a completed step there is nothing to derive; a kept head is a row by itself; entries are read from disk.
SKIPPED = {"replay_here_agrees", "history_continues_the_kept_head", "columns_give_their_links"}
# Without anything to examine these do not apply.
SKIPPED |= {law.name for law in catalog.laws() if law.header["over"] == law.header.get("applies")}
# The base is looked for in another ledger.
SKIPPED.add("base_was_promoted_by_its_run")


@pytest.mark.parametrize("law", [law for law in catalog.laws() if law.name not in SKIPPED], ids=lambda law: law.name)
def test_a_law_over_nothing_is_vacuous(resumed_copies: Copies, two_rank_copies: Copies, law: catalog.Query) -> None:
    """A law's population is emptied and everything else is there: it neither holds nor is violated."""
    copies = two_rank_copies if law.header.get("applies") == "many_ranks" else resumed_copies
    con = copies.connect(RECORDED)
    promise(con, law)
    for name in (law.header["over"], *WITH_IT.get(law.name, ())):
        if name in RECORDED:
            empty(con, name)
    sources = Sources(artifacts=copies.artifacts, corpus=None, kept=kept(copies.record), deep=True)
    result = run_law(CopiedRun(copies, con), law, sources, {})
    assert (result.status, result.examined, result.findings) == ("vacuous", 0, [])


def test_a_vacuous_law_leaves_a_selection_unproven(resumed_copies: Copies) -> None:
    """The selection's verdict is neither HELD nor FAIL, and it names the law."""
    con = resumed_copies.connect(RECORDED)
    empty(con, "source_caps")
    empty(con, "source_consumption")
    found = audit(CopiedRun(resumed_copies, con), select=["source_shares_are_within_caps"])
    assert (found.verdict, found.exit_code, found.level) == ("UNPROVEN", 3, None)
    assert [point.values for point in found.not_proven if point.blocks] == [{"laws": ["source_shares_are_within_caps"]}]


def audited(folder: Path, artifacts: Path) -> Audit:
    with Run(read(folder)) as run:
        return audit(run, require="replayed", artifacts=artifacts, deep=True)


def test_a_run_that_only_opened_its_stream_proves_nothing(tmp_path: Path, artifacts: Path) -> None:
    """Nothing was promised or done: what is there is intact, and all else is vacuous."""
    found = audited(write_ledger(tmp_path, [(RANK0, opened())]), artifacts)
    there = {
        "damage_is_a_torn_tail": "held",
        "contracts_are_declared_once": "held",
        "no_gap_is_recorded": "held",
        "streams_are_dense": "held",
    }
    there |= {"streams_have_ends": "held", "streams_open_once": "held"}
    # What must be declared is known before anything is.
    there |= dict.fromkeys(
        ("contracts_precede_first_batch", "contracts_hold_their_digests", "contracts_hold_their_rules"), "held"
    )
    there |= {"attempts_are_claimed": "held", "entries_are_not_taken_away": "held"}
    unpromised = {law.name: "not_applicable" for law in catalog.laws() if "applies" in law.header}
    underivable = dict.fromkeys(
        (
            "replay_here_agrees",
            "history_continues_the_kept_head",
            "batches_follow_the_order",
        ),
        "skipped",
    )
    assert {law.name: law.status for law in found.laws} == (
        {law.name: "vacuous" for law in catalog.laws()} | there | unpromised | underivable
    )
    assert (found.verdict, found.exit_code) == ("UNPROVEN", 3)


def test_a_replay_of_nothing_is_unproven(tmp_path: Path, artifacts: Path, contracts: Contracts) -> None:
    """The corpus is at hand and no step is completed: the audit says that there is nothing to replay."""
    found = audited(write_ledger(tmp_path, beginning(contracts)), artifacts)
    reason = (
        f"the batches could not be derived again: run {RUN_ID}: no step is completed yet, so there is nothing to replay"
    )
    assert [law.skipped.reason for law in found.laws if law.name == "replay_here_agrees" and law.skipped] == [reason]
    assert (found.verdict, "order_and_content" in found.unproven) == ("UNPROVEN", True)
