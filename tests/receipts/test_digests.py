"""Digests of receipts and of the stage program, as the original computes them."""

import hashlib

import msgspec
import pytest

from psion_ledger.contracts import encode_document
from psion_ledger.contracts.codec import decode_struct
from psion_ledger.receipts.digests import (
    checkpoint_lineage_digest,
    receipt_digest,
    replay_digest,
    stage_completion_digest,
    stage_promotion_digest,
    stage_transition_digest,
)
from psion_ledger.receipts.documents import SCHEMA_VERSION, PretrainStageReceipt
from tests.documents import UPSTREAM, changed, needs_upstream

BASES = ("base_plain", "base_with_base_checkpoint", "base_cuda", "base_cuda_topology")


def read(name: str) -> PretrainStageReceipt:
    return decode_struct(PretrainStageReceipt, SCHEMA_VERSION, "receipt", (UPSTREAM / name).read_bytes())


def hex_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@needs_upstream
def test_the_canonical_receipt_has_the_originals_digests() -> None:
    """Replay, lineage and the receipt itself."""
    receipt = read("psion_pretrain_stage_receipt_v1.json")
    expected = (
        "532e70275ad6d01616decae818df0f5b8012bc91316f3329c223c125874d1733",
        "3e3254008f21c49032c86c5575c7286f64a3ddceb8cadff54277411ab10e3c72",
        "0170d57acd38021560eb4ee389daee573dbf65f037b36769c10586faa462ce31",
    )
    actual = (
        replay_digest(receipt.replay_receipt),
        checkpoint_lineage_digest(receipt.checkpoint_lineage),
        receipt_digest(receipt),
    )
    assert expected == actual


@needs_upstream
@pytest.mark.parametrize("base", BASES)
def test_each_base_receipt_has_the_digests_that_it_states(base: str) -> None:
    """Without and with a base checkpoint, delivered execution, a topology and an accelerator."""
    receipt = read(f"bases/{base}.json")
    expected = (
        receipt.replay_receipt.replay_digest,
        receipt.checkpoint_lineage.checkpoint_lineage_digest,
        receipt.receipt_digest,
    )
    actual = (
        replay_digest(receipt.replay_receipt),
        checkpoint_lineage_digest(receipt.checkpoint_lineage),
        receipt_digest(receipt),
    )
    assert expected == actual


@needs_upstream
@pytest.mark.parametrize("base", BASES)
def test_each_base_receipt_is_spelled_as_the_original_spells_it(base: str) -> None:
    """Reading and writing gives the original's bytes, but for the newline at the end."""
    text = (UPSTREAM / f"bases/{base}.json").read_bytes()
    assert text.rstrip(b"\n") + b"\n" == encode_document(read(f"bases/{base}.json")).encode()


@needs_upstream
def test_a_replay_that_was_not_exact_is_digested_as_such() -> None:
    """The flag is a word in the digest's text."""
    replay = changed(
        read("psion_pretrain_stage_receipt_v1.json").replay_receipt,
        {
            "/exact_replay_observed": False,
            "/summary": "größe",
            "/receipt_id": "r",
            "/iteration_mode": "single_pass",
        },
    )
    expected = hex_of(
        "psion_pretrain_replay_receipt|r|psion_corpus_tokenized@v1|SinglePass|DeterministicShuffle|1337|2|"
        "non_exact|größe"
    )
    assert expected == replay_digest(replay)


@needs_upstream
def test_an_accelerator_that_did_not_back_the_run_is_digested_as_such() -> None:
    """The flag is lower case in the digest's text."""
    receipt = read("bases/base_cuda.json")
    changes: dict[str, object] = {
        "/accelerator_execution/accelerator_backed": False,
        "/source_family_reports": [],
    }
    head = "|".join(
        (
            "psion_pretrain_stage_receipt",
            receipt.run_id,
            receipt.stage_id,
            receipt.model_id,
            receipt.model_descriptor_digest,
            receipt.tokenizer_binding_digest,
            receipt.dataset_identity,
            receipt.sampling_policy_id,
            receipt.sampling_policy_version,
            receipt.replay_receipt.replay_digest,
            receipt.checkpoint_lineage.checkpoint_lineage_digest,
        )
    )
    expected = hex_of(f"{head}|backend|cuda|device|cuda:0|accelerator|false|16|40|{receipt.summary}")
    assert expected == receipt_digest(changed(receipt, changes))


@needs_upstream
def test_what_the_original_leaves_out_changes_no_digest() -> None:
    """Row details and a checkpoint's step are covered by nothing but the receipt's exact bytes."""
    receipt = read("psion_pretrain_stage_receipt_v1.json")
    other = changed(
        receipt,
        {"/source_family_reports/0/detail": "other", "/checkpoint_lineage/promoted_checkpoint/step": 1},
    )
    assert receipt.receipt_digest == receipt_digest(other)
    assert msgspec.json.encode(receipt) != msgspec.json.encode(other)


def test_a_completion_is_digested_over_its_counts() -> None:
    """Labels are snake case here."""
    expected = hex_of("psionic_train_stage_completion|r|r-stage-1-pretrain|pretrain|0|1|1700000000000")
    actual = stage_completion_digest(
        run_id="r",
        stage_id="r-stage-1-pretrain",
        stage_kind="pretrain",
        trace_count=0,
        pretrain_run_count=1,
        completed_at_ms=1_700_000_000_000,
    )
    assert expected == actual


def test_a_promotion_is_digested_over_both_stages_and_the_checkpoint() -> None:
    """From which stage, to which kind, and what is handed on."""
    expected = hex_of("psionic_train_stage_promotion|r|r-stage-1-pretrain|pretrain|general_sft|f|s|o")
    actual = stage_promotion_digest(
        run_id="r",
        from_stage_id="r-stage-1-pretrain",
        from_kind="pretrain",
        to_kind="general_sft",
        checkpoint_family="f",
        stream_id="s",
        object_digest="o",
    )
    assert expected == actual


def test_a_first_transition_has_neither_previous_stage_nor_checkpoint() -> None:
    """Both parts are left out with their names."""
    expected = hex_of("psionic_train_stage_transition|r|next|r-stage-1-pretrain|pretrain|5")
    actual = stage_transition_digest(
        run_id="r",
        previous_stage_id=None,
        next_stage_id="r-stage-1-pretrain",
        next_kind="pretrain",
        checkpoint=None,
        transitioned_at_ms=5,
    )
    assert expected == actual


def test_a_later_transition_names_what_it_came_from() -> None:
    """The stage before and the checkpoint that it handed on."""
    expected = hex_of(
        "psionic_train_stage_transition|r|previous|r-stage-1-pretrain|next|r-stage-2-rl|rl|checkpoint|s|o|5"
    )
    actual = stage_transition_digest(
        run_id="r",
        previous_stage_id="r-stage-1-pretrain",
        next_stage_id="r-stage-2-rl",
        next_kind="rl",
        checkpoint=("s", "o"),
        transitioned_at_ms=5,
    )
    assert expected == actual
