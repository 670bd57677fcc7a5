"""What a run begins with must be another run's checkpoint or foreign files, and have the digest that it is known by."""

import json

import msgspec
import pytest

from psion_ledger.contracts import (
    BaseCheckpoint,
    BaseFile,
    BaseRun,
    CheckpointReference,
    check_documents,
    decode_base,
    encode_document,
)
from psion_ledger.contracts.base_checkpoint import rules
from psion_ledger.contracts.finding import ContractFinding
from psion_ledger.errors import ContractRefused
from tests.documents import changed, small_contracts

F = ContractFinding
AT = "base_checkpoint#"
BLANK = "text that is not white space"
WEIGHTS, OTHER = "ab" * 32, "cd" * 32
FOREIGN = BaseCheckpoint(
    schema_version="psion_ledger.base_checkpoint.v1",
    checkpoint_id="the-base",
    object_sha256=WEIGHTS,
    files=[
        BaseFile(path="model.safetensors", bytes=9, sha256=WEIGHTS, role="weights"),
        BaseFile(path="config.json", bytes=2, sha256=OTHER, role="other"),
    ],
)
REFERENCE = CheckpointReference(
    checkpoint_family="f", stream_id="s", manifest_digest="m", object_digest=WEIGHTS, writer_node_id="n",
    membership_epoch=1, cluster_state_digest="c", topology_digest="t", started_at_ms=1,
)  # fmt: skip
PROMOTED = BaseCheckpoint(
    schema_version="psion_ledger.base_checkpoint.v1",
    checkpoint_id="the-base",
    object_sha256=WEIGHTS,
    run=BaseRun(run_id="run-first", receipt_sha256=OTHER, reference=REFERENCE),
)
SHARDED: dict[str, object] = {
    "/files": [{"path": str(n), "bytes": 1, "sha256": OTHER, "role": "weights"} for n in range(2)]
}


@pytest.mark.parametrize("base", [FOREIGN, PROMOTED, changed(FOREIGN, SHARDED)])
def test_a_base_of_each_kind_is_accepted_and_read_back(base: BaseCheckpoint) -> None:
    """Foreign, promoted elsewhere, and foreign in several files, of which the digest is no one's."""
    assert rules(base) == []
    assert base == decode_base(encode_document(base))


@pytest.mark.parametrize(
    ("base", "changes", "expected"),
    [
        (
            FOREIGN,
            {"/schema_version": "v2"},
            F("SchemaVersionMismatch", f"{AT}/schema_version", "psion_ledger.base_checkpoint.v1", "v2"),
        ),
        (FOREIGN, {"/checkpoint_id": " "}, F("MissingField", f"{AT}/checkpoint_id", BLANK, " ")),
        (FOREIGN, {"/files": None}, F("BaseMismatch", AT, "a run or foreign files", "neither")),
        (FOREIGN, {"/run": PROMOTED.run}, F("BaseMismatch", AT, "a run or foreign files", "both")),
        (FOREIGN, {"/object_sha256": OTHER}, F("BaseMismatch", f"{AT}/files", f"weights of {OTHER}", WEIGHTS)),
        (FOREIGN, {"/files/0/role": "other"}, F("BaseMismatch", f"{AT}/files", f"weights of {WEIGHTS}", "none")),
        (FOREIGN, {"/files": []}, F("BaseMismatch", f"{AT}/files", f"weights of {WEIGHTS}", "none")),
        (
            FOREIGN,
            {"/files/1/path": "model.safetensors"},
            F("DuplicateEntry", f"{AT}/files/1", "each name once", "model.safetensors"),
        ),
        (PROMOTED, {"/object_sha256": OTHER}, F("BaseMismatch", f"{AT}/run/reference/object_digest", OTHER, WEIGHTS)),
    ],
)  # fmt: skip
def test_a_broken_rule_is_found(base: BaseCheckpoint, changes: dict[str, object], expected: ContractFinding) -> None:
    """One change, and exactly the finding that it deserves; among the other contracts too."""
    broken = changed(base, changes)
    assert [expected] == rules(broken)
    assert [expected] == check_documents(msgspec.structs.replace(small_contracts(), base_checkpoint=broken))


def test_a_run_without_a_name_is_found_once() -> None:
    """A string that says nothing is one fault."""
    expected = F("MissingField", f"{AT}/run/run_id", BLANK, "")
    assert [expected] == rules(changed(PROMOTED, {"/run/run_id": ""}))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"object_sha256": "ab"}, "base_checkpoint#/object_sha256: Expected `str` matching regex"),
        ({"schema_version": "v2"}, "base_checkpoint#/schema_version: SchemaVersionMismatch: found 'v2'"),
        ({"ghost": 1}, "base_checkpoint#/ghost: contains unknown field"),
        ({"files": [{"path": "a"}]}, "base_checkpoint#/files/0/bytes: missing required field"),
    ],
)
def test_what_is_no_base_is_refused(changes: dict[str, object], told: str) -> None:
    """With its place."""
    with pytest.raises(ContractRefused) as refused:
        decode_base(json.dumps(msgspec.to_builtins(FOREIGN) | changes))
    assert str(refused.value).startswith(told)
