"""NULL must fail: a value that a law rests on and that is NULL is a finding, in every column that it reads.

A law is run over copies of the good relations in which one column is NULL in one row. Some row must be noticed: not
every row of a relation matters to every law.
"""

import pytest

from psion_ledger import catalog
from psion_ledger.events import KINDS
from psion_ledger.log import columns as log_columns
from tests.laws.copies import EVIDENCE, RECORDED, Copies, columns, count, promise, put_null, reads, restore
from tests.suites import sampled

# Columns that only say where a finding stands.
PLACES = frozenset(("stream", "seq", "event_seq", "train_stream", "train_seq"))

# Which columns can be NULL, in relations that are not made from a contract's JSON alone; and why the others cannot.
NULLABLE: dict[str, tuple[set[str], str]] = {
    "attempts": ({"checkpoint_id"}, "fields of attempt_started"),
    "attempt_claims": (set(), "typed in reading.py"),
    "attempt_faults": (set(), "typed in reading.py; every row is a finding"),
    "base_checkpoint": (set(), "of a contract that the copied runs do not have; its rules ask for each"),
    "base_run": (set(), "typed in evidence.py"),
    "batch_rollup": (set(), "counts and sums over fields of batch_replayed"),
    "checkpoints": ({"parent_checkpoint_id", "effective"}, "fields of checkpoint_written"),
    "completed_stages": (set(), "a stage is listed once its completion is there"),
    "contract_checks": (set(), "typed in evidence.py; every row is a finding"),
    "completion_streams": (set(), "fields of stream_opened, and its name: streams_open_once reads it"),
    "contracts": ({"document"}, "fields of contract_declared"),
    "derived_digests": (set(), "typed in evidence.py"),
    "document_splits": ({"source_id", "document_id"}, "the split's name is a key of the index"),
    "document_index": (set(), "its file has no nulls: the schema refuses them"),
    "drawn_batches": (set(), "fields of batch_replayed"),
    "family_consumption": (set(), "sums over fields of batch_replayed"),
    "equal_checkpoints": (set(), "fields of checkpoint_written; null where no step between updated them"),
    "evaluation_sequences": (set(), "keys and digests of the index: index_covers_the_plan counts them"),
    "first_measurements": (set(), "fields of split_loss_measured"),
    "derived_order": (set(), "typed in ordered.py"),
    "drawn_sequences": (set(), "fields of batch_replayed"),
    "indexed_documents": ({"tokens"}, "counts and sums over the index"),
    "journal_tails": (set(), "typed in relations.py, where what is not damaged is not tampered with"),
    "kept_heads": (set(), "typed in evidence.py"),
    "ledger_files": ({"sha256_actual"}, "typed in reading.py"),
    "losses": ({"is_finite"}, "the subject is made of fields that cannot be null; what is not given is no loss"),
    "manifest_links": (set(), "typed in relations.py"),
    "measured_checkpoints": (set(), "fields of checkpoint_written and sums over measurements; read by a criterion"),
    "measurements": ({"split_kind"}, "fields of split_loss_measured"),
    "progress": ({"horizon_steps"}, "coalesced in the view"),
    "promised_contracts": (set(), "constants, and fields of contract_declared"),
    "promised_checkpoints": (set(), "the view leaves nulls out"),
    "promised_positions": (set(), "a range"),
    "promised_measurements": (
        {"split_name", "split_kind", "source_family_id", "evaluation_set", "sequences"},
        "fields of split_loss_measured",
    ),
    "planned_batches": ({"micro_step"}, "made from planned_steps, a range and attempt_started"),
    "planned_steps": ({"sequences"}, "planned_batches are made of it, and compared"),
    "promised_saves": (set(), "coalesced in the view"),
    "promised_receipts": ({"recorded_seq"}, "fields of receipt_recorded and stage_completed"),
    "promised_steps": (set(), "a range"),
    "checkpoint_files": ({"sha256_actual"}, "typed in evidence.py"),
    "receipt_checks": (set(), "typed in evidence.py; every row is a finding"),
    "reread_entries": (set(), "typed in evidence.py"),
    "replay_here": (set(), "fields of batch_replayed"),
    "required_contracts": (set(), "constants"),
    "run_identity": (set(), "typed in reading.py"),
    "sequence_documents": (set(), "documents_stay_in_one_split finds what has no name"),
    "sequence_index": (set(), "keys and digests of the index: index_covers_the_plan counts them"),
    "sequence_uses": (set(), "positions and ids of batch_replayed"),
    "skips_before": (set(), "sums over fields of batch_skipped"),
    "step_losses": ({"loss_nats"}, "a sum over fields of step_completed that are given"),
    "source_consumption": ({"source_id"}, "sums over the index and batch_replayed"),
    "stage_refusals": (set(), "typed in evidence.py; every row is a finding"),
    "stages": ({"completed_seq"}, "fields of stage_started"),
    "stream_pins": (set(), "fields of stream_opened"),
    "stream_ranges": ({"entry"}, "typed in relations.py"),
    "streams": ({"role", "attempt", "rank", "ended_seq", "verified_seq"}, "sums over stream_ranges"),
    "train_batches": (set(), "fields of batch_replayed"),
    "train_events": (set(), "constants and maxima over events"),
    "train_steps": (set(), "fields of step_completed"),
    "train_streams": ({"started_seq"}, "fields of stream_opened, and whether something is there"),
    "undrawn_steps": (set(), "coalesced in the view; every row is a finding"),
    "unnamed_segments": (set(), "typed in reading.py; every row is a finding"),
    "verification_batches": ({"token_sha256", "train_token_sha256"}, "coalesced in the view"),
    "verification_streams": ({"verification_id"}, "fields of stream_opened, and whether something is there"),
    "verification_passes": ({"completed_seq", "batches_claimed", "mismatches_claimed"}, "coalesced in the view"),
}  # fmt: skip

# Law, relation and column that can be NULL without a finding, by why that is right.
UNNOTICED: dict[str, set[tuple[str, str, str]]] = {
    "only names the finding; another column decides": {
        ("code_share_is_within_policy", "sampling_policy", "policy_id"),
        ("measurements_are_declared", "measurements", "split_kind"),
        ("batches_draw_train_sequences", "plan_families", "split_name"),
        ("batches_draw_train_sequences", "plan_families", "source_family_id"),
        ("stage_names_its_run", "stage_config", "stage_id"),
        ("completion_rests_on_receipts", "stage_config", "stage_id"),
        ("verification_agrees_with_training", "verification_batches", "token_sha256"),
        ("verification_agrees_with_training", "verification_batches", "train_token_sha256"),
    },
    "a verification pass that was aborted": {
        ("verification_agrees_with_training", "verification_passes", "completed_seq"),
        ("verifications_count_themselves", "verification_passes", "completed_seq"),
    },
    "what is not sealed yet": {("replay_was_exact", "stream_ranges", "entry")},
    "nobody knows how many; every row is a finding": {("no_gap_is_recorded", "gap_recorded", "events_lost")},
    "the root has no parent: one_root_checkpoint": {
        ("checkpoint_parents_are_earlier", "checkpoint_written", "parent_checkpoint_id")
    },
    "claims and draws are compared whatever the plan says": {
        ("consumed_tokens_are_the_sequences", "plan_families", "source_family_id"),
        ("consumed_tokens_are_the_sequences", "plan_families", "split_kind"),
    },
    "evaluations_measure_declared_sets finds it": {
        ("evaluation_tokens_stay_the_same", "evaluation_sets", name)
        for name in ("split_name", "source_family_id", "stride")
    },
    "sequences of no one length: none is allowed for rounding": {
        ("code_share_is_within_policy", "sampling_plan", "sequence_tokens"),
        ("family_shares_are_within_caps", "sampling_plan", "sequence_tokens"),
        ("source_shares_are_within_caps", "sampling_plan", "sequence_tokens"),
    },
    "what the superseded attempt did is not compared": {
        ("checkpoints_stand_at_their_cursor", "checkpoints", "effective")
    },
    "another criterion, or the evaluation of its step": {
        ("promotion_names_a_written_checkpoint", "checkpoint_promoted", "criterion_split"),
        ("promotion_rests_on_its_evaluation", "checkpoint_promoted", "evaluation_id"),
    },
    "planned_batches are made from it": {("batches_take_their_positions", "sampling_plan", "rank_layout")},
    "the whole run is one pass": {("order_repeats_as_declared", "unrepeated_orders", "pass_sequences")},
    "the copied runs planned no skip": {
        ("planned_skips_are_taken", "planned_skips", "before_step"),
        ("planned_skips_are_taken", "planned_skips", "sequences"),
    },
    "consumed_sources_are_capped finds it": {("source_shares_are_within_caps", "source_caps", "source_id")},
    "streams_open_once finds it": {("streams_have_ends", "streams", "attempt")},
}


def can_be_null(relation: str, column: str) -> bool:
    if relation in KINDS:
        return bool(log_columns.schema(relation).field(column).nullable)
    return relation not in NULLABLE or column in NULLABLE[relation][0]


# Without windows it finds every family; what it reads of them cannot be null.
OF_WINDOWS = "document_index_covers_the_plan"


LAWS = [law for law in catalog.laws() if law.name != OF_WINDOWS]


@pytest.mark.parametrize("law", sampled(LAWS, 4, lambda law: law.name))
def test_a_null_is_found(resumed_copies: Copies, two_rank_copies: Copies, law: catalog.Query) -> None:
    """Each column that the law reads and that can be NULL is made so; the law finds it, or its reason stands above."""
    copies = two_rank_copies if law.header.get("applies") == "many_ranks" else resumed_copies
    relations = law.words & (RECORDED | EVIDENCE)
    con = copies.connect(frozenset(relations))
    promise(con, law)
    assert con.execute(law.sql).fetchall() == []
    unnoticed, unworded = set(), set()
    for relation in sorted(relations):
        for column in columns(con, relation):
            if column in PLACES or not can_be_null(relation, column) or not reads(con, law, relation, column):
                continue
            found = []
            for row in range(count(con, relation)):
                put_null(con, relation, column, row)
                found += con.execute(law.sql).fetchall()
            restore(con, relation)
            if not found:
                unnoticed.add((law.name, relation, column))
            if any(None in (subject, expected, actual) for subject, _, _, expected, actual in found):
                unworded.add((law.name, relation, column))
    assert unnoticed == {read for known in UNNOTICED.values() for read in known if read[0] == law.name}
    assert unworded == set(), "subject, expected and actual are words in every finding"


def test_the_table_of_nullable_columns_is_about_what_is_there(resumed_copies: Copies) -> None:
    """Every relation and column that the table above names exists."""
    con = resumed_copies.connect(frozenset())
    unknown = {
        (relation, column)
        for relation, (named, _) in NULLABLE.items()
        for column in named - set(columns(con, relation))
    }
    assert unknown == set()
