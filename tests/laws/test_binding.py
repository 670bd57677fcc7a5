"""The binding laws, each on a ledger that breaks it: contracts, their digests and each other."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from psion_ledger import events, log
from psion_ledger.contracts import Contracts, encode_document, tokenizer_binding_digest
from psion_ledger.digest import sha256
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from tests.corpora import index_parts, index_rows, real_contracts
from tests.documents import config_of, descriptor_of
from tests.edits import edited, inserted, place, without
from tests.emitted import batch, declared
from tests.laws import OTHER, findings, status, with_change
from tests.ledgers import RANK0, RUN_ID, Script, beginning, close, good_run, opened, seal


def test_a_contract_that_was_never_declared_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The trainer starts its attempt without having declared the model descriptor."""
    script = without(beginning(contracts), events.ContractDeclared, nth=1)
    assert findings(tmp_path, script, "contracts_are_declared_once") == [
        ("model_descriptor", None, None, "1 declaration", "0 declarations")
    ]


def test_a_contract_that_is_declared_again_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A second stage config is declared behind the first, as if a promise could be changed."""
    second = declared(contracts)[0]
    script = inserted(beginning(contracts), second, after=events.StageStarted)
    assert findings(tmp_path, script, "contracts_are_declared_once") == [
        ("stage_config", 2, RANK0, "1 declaration", "2 declarations"),
        ("stage_config", 9, RANK0, "1 declaration", "2 declarations"),
    ]


def test_a_run_that_was_never_started_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """Everything else is there."""
    script = without(good_run(contracts), events.RunStarted)
    assert findings(tmp_path, script, "contracts_precede_first_batch") == [
        ("run_started", None, None, "before the first attempt", "never recorded")
    ]


def test_a_contract_of_another_digest_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The document that was recorded is not the one whose digest was."""
    script = edited(beginning(contracts), events.ContractDeclared, sha256=sha256(b"another document"))
    text = encode_document(config_of(contracts))
    assert findings(tmp_path, script, "contracts_hold_their_digests") == [
        ("stage_config", 2, RANK0, sha256(b"another document").hex(), sha256(text.encode()).hex())
    ]


def test_an_index_of_another_digest_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The list of the index's files is not the one whose digest was declared."""

    def declare(folder: Path, writer: log.Writer) -> None:
        listed = log.add_files(folder, "sequence_index", index_parts(index_rows(contracts)))
        writer.emit(
            events.ContractDeclared(
                contract_role="sequence_index", schema_version="psion_ledger.sequence_index.v1", sha256=OTHER,
                document=listed,
            )
        )  # fmt: skip

    script = beginning(contracts)
    at = place(script, events.StageStarted) - 1
    ((*found, actual),) = findings(
        tmp_path, [*script[:at], (RANK0, declare), *script[at + 1 :]], "contracts_hold_their_digests"
    )
    assert found == ["sequence_index", 7, RANK0, OTHER.hex()]
    with Run(read(tmp_path / "ledger" / RUN_ID)) as run:
        assert actual == sha256(run.contracts_text["sequence_index"].encode()).hex()


def test_a_broken_rule_of_a_contract_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The sampling policy's weights do not sum to 10,000."""
    other = with_change(contracts, "sampling_policy", "/source_family_weights/0/sampling_weight_bps", 3999)
    assert findings(tmp_path, beginning(other), "contracts_hold_their_rules") == [
        ("sampling_policy#/source_family_weights", 5, RANK0, "ShareTotalMismatch: 10000", "9999")
    ]


def test_a_contract_that_is_no_json_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A document was cut short before it was declared."""
    script = edited(beginning(contracts), events.ContractDeclared, nth=2, document='{"schema_version"')
    (found,) = findings(tmp_path, script, "contracts_hold_their_rules")
    assert found[:4] == ("tokenized_corpus#", 4, RANK0, "Malformed: its schema")
    assert "tokenized_corpus" in found[4]


def test_a_contract_behind_the_first_batch_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The policy is declared when the first batch has been consumed already."""
    script = beginning(contracts)
    policy = script[place(script, events.ContractDeclared, nth=3)]
    script = without(script, events.ContractDeclared, nth=3)
    script += [(RANK0, batch(contracts, 1, 1, 0, 0)), policy]
    assert findings(tmp_path, script, "contracts_precede_first_batch") == [
        ("sampling_policy", 16, RANK0, f"before seq 15 of {RANK0}", f"seq 16 of {RANK0}")
    ]


@pytest.mark.parametrize(
    ("role", "pointer"),
    [
        ("stage_config", "/dataset_identity"),
        ("stage_config", "/objective_config/dataset_identity"),
        ("sampling_policy", "/dataset_identity"),
        ("sampling_plan", "/dataset_identity"),
        ("tokenized_corpus", "/replay_contract/stable_dataset_identity"),
    ],
)
def test_a_contract_for_another_dataset_is_found(tmp_path: Path, contracts: Contracts, role: str, pointer: str) -> None:
    """One of the documents was made for another version of the corpus."""
    other = with_change(contracts, role, pointer, "small-corpus@2")
    assert findings(tmp_path, beginning(other), "dataset_identity_agrees") == [
        (f"{role}{pointer}", 2, RANK0, "small-corpus@1", "small-corpus@2")
    ]


def indexed(rows: list[dict[str, Any]]) -> Script:
    """A run's beginning over an index of these rows, which its plan names."""
    return beginning(real_contracts(), rows=rows)


def expected_of_held_out(ids: str = "0 to 15") -> str:
    return f"ids {ids}, 16 sequences, 512 tokens"


def test_an_index_that_lacks_a_planned_sequence_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The index was written before the last held-out sequence was packed."""
    rows = [row for row in index_rows(contracts) if row["sequence_id"] != 15]
    assert findings(tmp_path, indexed(rows), "index_covers_the_plan") == [
        (
            "held_out held_out_modules",
            None,
            None,
            expected_of_held_out(),
            "ids 0 to 14, 15 sequences (15 distinct, 15 digests), 480 tokens (of documents: 480)",
        )
    ]


def test_an_index_that_has_a_sequence_twice_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """One sequence stands in the index twice, in the place of another."""
    rows = index_rows(contracts)
    rows[3] = rows[2]
    assert findings(tmp_path, indexed(rows), "index_covers_the_plan") == [
        (
            "held_out held_out_modules",
            None,
            None,
            expected_of_held_out(),
            "ids 0 to 15, 16 sequences (15 distinct, 16 digests), 512 tokens (of documents: 512)",
        )
    ]


def test_an_index_with_an_unplanned_family_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The index holds a sequence of a family that the plan does not know."""
    rows = index_rows(contracts)
    rows.append({**rows[-1], "sequence_id": 100, "source_family_id": "scraped"})
    assert findings(tmp_path, indexed(rows), "index_covers_the_plan") == [
        (
            "validation scraped",
            None,
            None,
            "no such pair in the plan",
            "ids 100 to 100, 1 sequences (1 distinct, 1 digests), 32 tokens (of documents: 32)",
        )
    ]


def test_a_sequence_whose_documents_are_unknown_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """A sequence names no document, so no source could be held to its cap for it."""
    rows = index_rows(contracts)
    rows[0] = {**rows[0], "documents": []}
    assert findings(tmp_path, indexed(rows), "index_covers_the_plan") == [
        (
            "held_out held_out_modules",
            None,
            None,
            expected_of_held_out(),
            "ids 0 to 15, 16 sequences (16 distinct, 16 digests), 512 tokens (of documents: 480)",
        )
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_context_tokens", 64),
        ("tokenizer_binding_digest", "2" * 64),
    ],
)
def test_an_objective_of_another_model_is_found(tmp_path: Path, contracts: Contracts, name: str, value: object) -> None:
    """The objective was written for another context length, or another tokenizer."""
    expected = str(getattr(config_of(contracts).objective_config, name))
    other = with_change(contracts, "stage_config", f"/objective_config/{name}", value)
    assert findings(tmp_path, beginning(other), "objective_is_bound") == [(name, 2, RANK0, expected, str(value))]


def test_an_objective_of_another_kind_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The declared config trains something else than next-token prediction."""
    text = encode_document(config_of(contracts)).replace("next_token_prediction", "fill_in_the_middle")
    script = edited(beginning(contracts), events.ContractDeclared, document=text)
    assert findings(tmp_path, script, "objective_is_bound") == [
        ("objective_kind", 2, RANK0, "next_token_prediction", "fill_in_the_middle"),
        (
            "tokenizer_binding_digest",
            2,
            RANK0,
            "null",
            tokenizer_binding_digest(descriptor_of(contracts).tokenizer_binding),
        ),
    ]


def test_a_plan_that_leaves_sequences_out_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The corpus counts more held-out sequences than the plan has."""
    other = with_change(contracts, "tokenized_corpus", "/splits/0/sequence_count", 17)
    assert findings(tmp_path, beginning(other), "plan_covers_the_corpus") == [
        ("held_out", None, None, "17 sequences, 512 tokens", "16 sequences, 512 tokens")
    ]


def test_a_split_without_a_plan_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The corpus promises a split that the plan does not order."""
    plan = contracts.sampling_plan
    others = [family for family in plan.families if family.split_name != "held_out"]
    other = msgspec.structs.replace(contracts, sampling_plan=msgspec.structs.replace(plan, families=others))
    assert findings(tmp_path, beginning(other), "plan_covers_the_corpus") == [
        ("held_out", None, None, "16 sequences, 512 tokens", "not planned")
    ]


def test_a_plan_with_another_seed_is_found(tmp_path: Path, contracts: Contracts) -> None:
    """The plan shuffles with a seed that the replay contract does not have."""
    other = with_change(contracts, "sampling_plan", "/order/seed", 8)
    assert findings(tmp_path, beginning(other), "plan_keeps_the_replay_seed") == [("order/seed", 6, RANK0, "7", "8")]


@pytest.mark.parametrize(
    ("field", "declared_value"), [("sampling_policy_id", "small-mix"), ("sampling_policy_version", "1")]
)
def test_a_stage_of_another_policy_is_found(
    tmp_path: Path, contracts: Contracts, field: str, declared_value: str
) -> None:
    """The stage names a policy other than the declared one."""
    other = with_change(contracts, "stage_config", f"/{field}", "other")
    assert findings(tmp_path, beginning(other), "policy_is_the_declared_one") == [
        (field, 2, RANK0, declared_value, "other")
    ]


@pytest.mark.parametrize("field", ["model_id", "model_descriptor_digest", "tokenizer_binding_digest"])
def test_a_stage_of_another_model_is_found(tmp_path: Path, contracts: Contracts, field: str) -> None:
    """The stage config was bound to another model than the declared one."""
    other = with_change(contracts, "stage_config", f"/{field}", "other")
    assert findings(tmp_path, beginning(other), "stage_binds_its_model") == [
        (field, 2, RANK0, getattr(contracts.stage_config, field), "other")
    ]


def test_contracts_in_two_attempts_are_one_declaration_each(tmp_path: Path, contracts: Contracts) -> None:
    """Killed between two declarations, a resume declares only what was lacking."""
    script = beginning(contracts)
    cut = place(script, events.ContractDeclared, nth=3)
    second = "t0002.r00000"
    rest: Script = [(second, step) for _, step in script[cut:]]
    resumed = [*script[:cut], (RANK0, close), (RANK0, seal), (second, opened(attempt=2)), *rest]
    assert status(tmp_path, resumed, "contracts_are_declared_once") == "held"
