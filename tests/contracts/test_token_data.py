"""Token data must describe the plan's sequences, file by file, in one way only."""

import json

import msgspec
import pytest

from psion_ledger.contracts import (
    Contracts,
    DocumentIndexFile,
    TokenData,
    TokenFile,
    check_documents,
    decode_document,
    encode_document,
)
from psion_ledger.contracts.finding import ContractFinding
from psion_ledger.contracts.token_data import FileFormat
from psion_ledger.contracts.token_data_rules import rules
from psion_ledger.errors import ContractRefused
from tests.contracts.test_tensor_layout import LAYOUT
from tests.documents import changed, small_corpus, small_plan

F = ContractFinding
AT, PLAN = "token_data#", "sampling_plan#"
SHA = "ab" * 32
KINDS: dict[int, FileFormat] = {0: "raw", 1: "megatron", 2: "parquet"}


def small_data() -> TokenData:
    """A file for each family of the small plan: raw, a pair of Megatron's, and columns."""
    plan = small_plan()
    files = []
    for number, family in enumerate(plan.families):
        (name,) = family.shard_ids
        kind = KINDS.get(number, "npy")
        files.append(
            TokenFile(
                file_id=name, path=f"tokens/{name}", format=kind, dtype="uint16", sha256=SHA,
                column="ids" if kind == "parquet" else None, bytes=family.tokens * 2, sequences=family.sequences,
                tokens=family.tokens,
                index=DocumentIndexFile(path=f"tokens/{name}.idx", bytes=9, sha256=SHA) if kind == "megatron" else None,
            )
        )  # fmt: skip
    return TokenData(schema_version="psion_ledger.token_data.v1", dataset_identity=plan.dataset_identity, files=files)


DATA = small_data()
COUNT = len(DATA.files)
FIRST = DATA.files[0]
UNDECLARED = {"kind": "undeclared", "why": "a test", "may_repeat": "anything"}


def found(changes: dict[str, object], plan_changes: dict[str, object] | None = None) -> list[ContractFinding]:
    plan = changed(small_plan(), {"/order": UNDECLARED})
    contracts = Contracts(sampling_plan=changed(plan, plan_changes or {}), token_data=changed(DATA, changes))
    return check_documents(contracts)


def test_data_that_holds_is_accepted_and_read_back() -> None:
    """Beside a plan that says the type of ids, or leaves it to the files."""
    assert found({}) == []
    assert found({}, {"/token_dtype": None}) == []
    assert decode_document("token_data", encode_document(DATA)) == DATA


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"/schema_version": "v2"}, ("SchemaVersionMismatch", f"{AT}/schema_version")),
        ({"/dataset_identity": "other@1"}, ("FieldMismatch", f"{AT}/dataset_identity")),
        ({"/files/0/file_id": " "}, ("MissingField", f"{AT}/files/0/file_id")),
        ({"/files/1/path": FIRST.path}, ("DuplicateEntry", f"{AT}/files/1")),
        *(
            ({"/files/0/path": path}, ("FieldMismatch", f"{AT}/files/0/path"))
            for path in ("/etc/passwd", "../a", "a/../b", "a//b", "./a", "a/", "a\\b", "a\0b")
        ),
        ({"/files/1/index/path": "../a.idx"}, ("FieldMismatch", f"{AT}/files/1/index/path")),
        ({"/files/0/column": "ids"}, ("FieldMismatch", f"{AT}/files/0/column")),
        ({"/files/2/column": None}, ("FieldMismatch", f"{AT}/files/2/column")),
        ({"/files/1/index": None}, ("FieldMismatch", f"{AT}/files/1/index")),
        ({"/files/0/format": "megatron"}, ("FieldMismatch", f"{AT}/files/0/index")),
        ({"/files/0/bytes": FIRST.bytes - 1}, ("CountMismatch", f"{AT}/files/0/bytes")),
        ({"/files/0/tokens": FIRST.tokens - FIRST.sequences}, ("CountMismatch", f"{PLAN}/families/0/tokens")),
        ({"/files/0/dtype": "uint8"}, ("TokenWidthMismatch", f"{AT}/files/0/dtype")),
    ],
)
def test_a_broken_rule_is_found(changes: dict[str, object], expected: tuple[str, str]) -> None:
    """One change, and the finding at its place."""
    assert expected in [(finding.code, finding.pointer) for finding in found(changes)]


def test_every_file_is_one_family_s_once_and_in_order() -> None:
    """One that nobody lists, one that nobody has, one of two families, and the files in another order."""
    unknown = found({}, {"/families/0/shard_ids": ["none"]})
    assert [f.code for f in unknown if f.pointer == f"{AT}/files"] == ["CoverageMismatch", "CoverageMismatch"]
    twice = found({}, {"/families/1/shard_ids": [DATA.files[1].file_id, FIRST.file_id]})
    assert ("DuplicateEntry", f"{PLAN}/families/2") in [(f.code, f.pointer) for f in twice]
    backwards = [msgspec.to_builtins(file) for file in reversed(DATA.files)]
    assert [(f.code, f.pointer) for f in found({"/files": backwards})] == [("FamilyOrderMismatch", f"{AT}/files")]
    assert ("CoverageMismatch", f"{AT}/files") in [(f.code, f.pointer) for f in rules(changed(DATA, {"/files": []}))]


def test_sequences_of_a_raw_file_have_one_length() -> None:
    """Nothing else says where they end; windows are cut at any token."""
    bent: dict[str, object] = {"/sequence_tokens": None, "/families/0/tokens": FIRST.tokens - 1}
    broken = found({"/files/0/tokens": FIRST.tokens - 1}, bent)
    assert [(f.code, f.pointer) for f in broken] == [("CountMismatch", f"{AT}/files/0/sequences")]


def test_ids_fit_the_type_of_each_file() -> None:
    """Of the model's vocabulary, where it says one."""
    wide = changed(LAYOUT, {"/tokenizer_binding/vocab_size": 65_537})
    plan = changed(
        small_plan(), {"/token_dtype": None, "/order": {"kind": "undeclared", "why": "a", "may_repeat": "anything"}}
    )
    contracts = Contracts(sampling_plan=plan, token_data=DATA, model_descriptor=wide)
    places = [(f.code, f.pointer) for f in check_documents(contracts)]
    assert places == [("TokenWidthMismatch", f"{AT}/files/{n}/dtype") for n in range(COUNT)]


def test_one_description_of_the_data_is_enough() -> None:
    """A corpus beside it; and a corpus needs the type that the plan says."""
    plan = small_plan()
    both = check_documents(Contracts(sampling_plan=plan, token_data=DATA, tokenized_corpus=small_corpus()))
    assert [(f.code, f.pointer) for f in both] == [("ConflictingContract", AT)]
    untyped = changed(plan, {"/token_dtype": None})
    alone = check_documents(Contracts(sampling_plan=untyped, tokenized_corpus=small_corpus()))
    assert [(f.code, f.pointer) for f in alone] == [("MissingField", f"{PLAN}/token_dtype")]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"format": "csv"}, "/files/0/format"), ({"dtype": "float32"}, "/files/0/dtype"),
        ({"sha256": "AB"}, "/files/0/sha256"), ({"bytes": -1}, "/files/0/bytes"), ({"ghost": 1}, "/files/0/ghost"),
    ],
)  # fmt: skip
def test_what_is_no_token_data_is_refused(changes: dict[str, object], pointer: str) -> None:
    """Names its place."""
    document = msgspec.to_builtins(DATA)
    document["files"][0] |= changes
    with pytest.raises(ContractRefused, match=f"token_data#{pointer}"):
        decode_document("token_data", json.dumps(document))
