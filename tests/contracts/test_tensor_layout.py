"""A model of any other architecture, by its tensors: its rules, its digest, and where it stands."""

import hashlib
import json

import msgspec
import pytest

from psion_ledger.contracts import (
    Contracts,
    LayoutTensor,
    TensorLayout,
    check_documents,
    decode_model,
    encode_document,
)
from psion_ledger.contracts.finding import ContractFinding
from psion_ledger.contracts.tensor_layout import AXES_MAX, rules
from psion_ledger.errors import ContractRefused
from tests.documents import changed, small_contracts, small_corpus, small_descriptor, small_plan, small_policy

F = ContractFinding
AT = "model_descriptor#"
BLANK = "text that is not white space"
LAYOUT = TensorLayout(
    schema_version="psion_ledger.tensor_layout.v1",
    model_id="a-model",
    architecture="GPTNeoX",
    tokenizer_binding=small_descriptor().tokenizer_binding,
    max_context_tokens=32,
    tensors=[
        LayoutTensor(name="bias", dtype="float32", shape=[]),
        LayoutTensor(name="head", dtype="bfloat16", shape=[4, 8]),
        LayoutTensor(name="rest", dtype="float32", shape=[0, 7]),
    ],
    parameters=33,
)


def test_a_layout_that_adds_up_is_accepted() -> None:
    """A scalar is one element, and an axis of nothing is none."""
    assert rules(LAYOUT) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"/schema_version": "psion_ledger.tensor_layout.v2"},
            F("SchemaVersionMismatch", f"{AT}/schema_version", LAYOUT.schema_version, "psion_ledger.tensor_layout.v2"),
        ),
        ({"/model_id": " "}, F("MissingField", f"{AT}/model_id", BLANK, " ")),
        ({"/architecture": ""}, F("MissingField", f"{AT}/architecture", BLANK, "")),
        ({"/tensors/1/dtype": "\u2003"}, F("MissingField", f"{AT}/tensors/1/dtype", BLANK, "\u2003")),
        ({"/parameters": 34}, F("CountMismatch", f"{AT}/parameters", "33", "34")),
        ({"/tensors/1/shape": [4, 7]}, F("CountMismatch", f"{AT}/parameters", "29", "33")),
        ({"/tensors/1/name": "bias"}, F("DuplicateEntry", f"{AT}/tensors/1", "each name once", "bias")),
        (
            {"/tensors/1/name": "zero"},
            F("TensorLayoutMismatch", f"{AT}/tensors", "tensors sorted by name, one at least", "3"),
        ),
        (
            {"/tensors": [], "/parameters": 0},
            F("TensorLayoutMismatch", f"{AT}/tensors", "tensors sorted by name, one at least", "0"),
        ),
        (
            {"/tensors/1/shape": [2**62] * (AXES_MAX + 1)},
            F("InvalidCount", f"{AT}/tensors/1/shape", f"at most {AXES_MAX} axes", str(AXES_MAX + 1)),
        ),
        (
            {"/tensors/1/shape": [2**62] * AXES_MAX},
            F("CountMismatch", f"{AT}/parameters", str(2 ** (62 * AXES_MAX) + 1), "33"),
        ),
    ],
)
def test_a_broken_rule_is_found(changes: dict[str, object], expected: ContractFinding) -> None:
    """One change, and exactly the finding that it deserves; sizes that nobody can print are none."""
    assert [expected] == rules(changed(LAYOUT, changes))


def test_the_digest_is_over_names_types_and_shapes() -> None:
    """By its formula; each of the three makes another, and nothing else of the document does."""
    text = b'psion_ledger_tensor_layout|[["bias","float32",[]],["head","bfloat16",[4,8]],["rest","float32",[0,7]]]'
    assert hashlib.sha256(text).hexdigest() == LAYOUT.digest
    others: list[dict[str, object]] = [
        {"/tensors/0/name": "c"}, {"/tensors/0/dtype": "f"}, {"/tensors/1/shape": [8, 4]}, {"/tensors/0/shape": [1]}
    ]  # fmt: skip
    assert len({LAYOUT.digest, *(changed(LAYOUT, other).digest for other in others)}) == 5
    assert changed(LAYOUT, {"/model_id": "b", "/max_context_tokens": None}).digest == LAYOUT.digest


# --- in the place of a descriptor ----------------------------------------------------------------------------------


def test_the_model_is_read_by_its_schema_version() -> None:
    """A layout, or a compact decoder's descriptor."""
    for document in (LAYOUT, small_descriptor()):
        assert document == decode_model(encode_document(document))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "model_descriptor#: not JSON in UTF-8"),
        ("[]", "model_descriptor#"),
        ('{"schema_version": 1}', "model_descriptor#/schema_version"),
        ('{"schema_version": "v9"}', "model_descriptor#/schema_version: SchemaVersionMismatch: found 'v9'"),
        ("[" * 100_000, "model_descriptor#"),
        (
            json.dumps(msgspec.to_builtins(LAYOUT) | {"ghost": 1}),
            "model_descriptor#/ghost: contains unknown field; correct it to what psion_ledger.tensor_layout.v1 asks",
        ),
        (
            json.dumps(msgspec.to_builtins(LAYOUT) | {"config_digest": "abc"}),
            "model_descriptor#/config_digest: Expected `str` matching regex",
        ),
    ],
)
def test_what_is_no_model_is_refused(text: str, told: str) -> None:
    """As of any other document, with its place."""
    with pytest.raises(ContractRefused) as refused:
        decode_model(text)
    assert str(refused.value).startswith(told)


def against(changes: dict[str, object]) -> list[ContractFinding]:
    """The small plan and corpus beside a layout."""
    return check_documents(
        Contracts(
            sampling_plan=small_plan(), tokenized_corpus=small_corpus(), sampling_policy=small_policy(),
            model_descriptor=changed(LAYOUT, changes),
        )
    )  # fmt: skip


def test_a_plan_is_held_against_a_layout() -> None:
    """Its context and its vocabulary, where it says them."""
    assert against({}) == []
    assert against({"/max_context_tokens": None, "/tokenizer_binding": None}) == []
    expected = F("ContextLengthMismatch", "sampling_plan#/sequence_tokens", "at most 31, the model's context", "32")
    assert [expected] == against({"/max_context_tokens": 31})
    expected = F("TokenWidthMismatch", "sampling_plan#/token_dtype", "uint32, for 65537 token ids", "uint16")
    assert [expected] == against({"/tokenizer_binding/vocab_size": 65_537})


def test_a_layout_has_no_stage_of_a_compact_decoder() -> None:
    """The original's stage config binds a descriptor by its digest."""
    expected = F(
        "SchemaVersionMismatch",
        f"{AT}/schema_version",
        "a compact decoder's descriptor",
        "psion_ledger.tensor_layout.v1",
    )
    assert [expected] == check_documents(msgspec.structs.replace(small_contracts(), model_descriptor=LAYOUT))


# --- what is not promised ------------------------------------------------------------------------------------------


def only(*roles: str) -> Contracts:
    """The small contracts, without all but the plan and these."""
    whole = small_contracts()
    names = {name for name in whole.__struct_fields__ if name not in (*roles, "sampling_plan")}
    return msgspec.structs.replace(whole, **dict.fromkeys(names))


@pytest.mark.parametrize(
    "roles",
    [(), ("tokenized_corpus",), ("model_descriptor",), ("model_descriptor", "tokenized_corpus"),
     ("tokenized_corpus", "sampling_policy")],
)  # fmt: skip
def test_what_is_not_promised_is_not_asked_for(roles: tuple[str, ...]) -> None:
    """A plan alone, and with what stands by itself."""
    assert check_documents(only(*roles)) == []


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (
            ("stage_config",),
            [("stage_config#", name) for name in ("model_descriptor", "tokenized_corpus", "sampling_policy")],
        ),
        (("stage_config", "model_descriptor", "tokenized_corpus"), [("stage_config#", "sampling_policy")]),
        (("sampling_policy",), [("sampling_policy#", "tokenized_corpus")]),
    ],
)
def test_what_a_document_is_bound_to_is_missed(roles: tuple[str, ...], expected: list[tuple[str, str]]) -> None:
    """A stage needs the model, the corpus and the policy; a policy needs the corpus."""
    assert [F("MissingContract", at, f"{name} beside it", "not declared") for at, name in expected] == check_documents(
        only(*roles)
    )


@pytest.mark.parametrize(
    ("role", "changes", "pointer"),
    [
        ("model_descriptor", {"/model/revision": " "}, f"{AT}/model/revision"),
        ("tokenized_corpus", {"/dataset_id": " "}, "tokenized_corpus#/dataset_id"),
        ("sampling_plan", {"/horizon_steps": 0}, "sampling_plan#/horizon_steps"),
    ],
)
def test_a_document_alone_is_held_to_its_own_rules(role: str, changes: dict[str, object], pointer: str) -> None:
    """Whatever is not beside it."""
    contracts = only(role)
    broken = msgspec.structs.replace(contracts, **{role: changed(getattr(contracts, role), changes)})
    assert pointer in [finding.pointer for finding in check_documents(broken)]
