"""Documents to text and back: exact, and strict about what is read."""

import json
from typing import Any, get_args

import msgspec
import msgspec.inspect as mi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psion_ledger.contracts import DOCUMENTS, DocumentRole, decode_document, encode_document
from psion_ledger.contracts.codec import decode_struct
from psion_ledger.errors import ContractRefused
from psion_ledger.receipts import documents as receipts
from tests.documents import config_for, small_contracts, small_corpus, small_descriptor, small_policy

ROLES: tuple[DocumentRole, ...] = get_args(DocumentRole)


def _values(kind: mi.Type) -> st.SearchStrategy[Any]:
    """Values of a field's declared type."""
    match kind:
        case mi.StrType(pattern=None):
            return st.text(max_size=8)
        case mi.StrType():
            return st.binary(min_size=32, max_size=32).map(bytes.hex)
        case mi.IntType(ge=low, le=high):
            return st.integers(low or 0, high or 2**64 - 1)
        case mi.BoolType():
            return st.booleans()
        case mi.NoneType():
            return st.none()
        case mi.LiteralType(values=values):
            return st.sampled_from(values)
        case mi.ListType(item_type=item):
            return st.lists(_values(item), max_size=2)
        case mi.UnionType(types=types):
            return st.one_of(*map(_values, types))
        case mi.StructType(cls=cls):
            return _documents(cls)
    raise AssertionError(kind)


def _documents(kind: type[msgspec.Struct], schema_version: str | None = None) -> st.SearchStrategy[msgspec.Struct]:
    described = mi.type_info(kind)
    assert isinstance(described, mi.StructType)
    fields = {field.name: _values(field.type) for field in described.fields}
    if schema_version is not None:
        fields["schema_version"] = st.just(schema_version)
    return st.builds(kind, **fields)


@pytest.mark.parametrize("role", ROLES)
def test_what_was_encoded_decodes_to_itself(role: DocumentRole) -> None:
    """Any values of the declared types, whatever text they hold."""
    kind, schema_version = DOCUMENTS[role]

    @given(_documents(kind, schema_version))
    def holds(document: msgspec.Struct) -> None:
        text = encode_document(document)
        assert document == decode_document(role, text)
        assert text == encode_document(decode_document(role, text.encode()))

    holds()


@given(_documents(receipts.PretrainStageReceipt, receipts.SCHEMA_VERSION))
def test_a_receipt_that_was_encoded_decodes_to_itself(receipt: msgspec.Struct) -> None:
    """The receipt has the same spelling as the contracts."""
    text = encode_document(receipt)
    kind, version = receipts.PretrainStageReceipt, receipts.SCHEMA_VERSION
    assert receipt == decode_struct(kind, version, "receipt", text)


def test_the_text_is_indented_raw_and_without_absent_optionals() -> None:
    """Two spaces, declaration order, a newline at the end, non-ASCII as it is, no null."""
    binding = msgspec.structs.replace(
        small_descriptor().tokenizer_binding,
        tokenizer_id="größe 🙂",
        tokenizer_digest="d",
        special_tokens_digest=None,
    )
    expected = """{
  "tokenizer_id": "größe 🙂",
  "tokenizer_version": "1",
  "tokenizer_family": "byte_pair_encoding",
  "tokenizer_digest": "d",
  "vocab_size": 512
}
"""
    assert expected == encode_document(binding)


CONFIG = json.loads(encode_document(config_for(small_descriptor(), small_corpus(), small_policy())))
CORPUS = json.loads(encode_document(small_corpus()))
OBJECTIVE = CONFIG["objective_config"]
ASKS = "correct it to what psion.pretrain_stage_config.v1 asks for"

REFUSED: dict[str, tuple[str | bytes, str]] = {
    "another_version": (
        json.dumps({**CONFIG, "schema_version": "psion.pretrain_stage_config.v2", "new": 1}),
        "stage_config#/schema_version: SchemaVersionMismatch: found 'psion.pretrain_stage_config.v2'; "
        "give a document of 'psion.pretrain_stage_config.v1'",
    ),
    "no_version": (
        "{}",
        f"stage_config#/schema_version: missing required field; {ASKS}",
    ),
    "unknown_field": (
        json.dumps({**CONFIG, "objective_config": {**OBJECTIVE, "a/b~c": 1}}),
        f"stage_config#/objective_config/a~1b~0c: contains unknown field; {ASKS}",
    ),
    "missing_field": (
        json.dumps({name: value for name, value in CONFIG.items() if name != "run_id"}),
        f"stage_config#/run_id: missing required field; {ASKS}",
    ),
    "null_field": (
        json.dumps({**CONFIG, "run_id": None}),
        f"stage_config#/run_id: Expected `str`, got `null`; {ASKS}",
    ),
    "wrong_type": (
        json.dumps({**CONFIG, "objective_config": {**OBJECTIVE, "max_context_tokens": 32.0}}),
        f"stage_config#/objective_config/max_context_tokens: Expected `int`, got `float`; {ASKS}",
    ),
    "out_of_range": (
        json.dumps({**CONFIG, "objective_config": {**OBJECTIVE, "label_smoothing_bps": 2**32}}),
        f"stage_config#/objective_config/label_smoothing_bps: Expected `int` <= 4294967295; {ASKS}",
    ),
    "unknown_label": (
        json.dumps({**CONFIG, "stage_kind": "Pretrain"}),
        f"stage_config#/stage_kind: Invalid enum value 'Pretrain'; {ASKS}",
    ),
    "an_array": (
        json.dumps([CONFIG]),
        f"stage_config#: Expected `object`, got `array`; {ASKS}",
    ),
    "cut_short": (
        json.dumps(CONFIG)[:-1],
        "stage_config#: not JSON in UTF-8: Input data was truncated; give the document's own text",
    ),
    "empty": (
        b"",
        "stage_config#: not JSON in UTF-8: Input data was truncated; give the document's own text",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_the_document_is_refused(name: str) -> None:
    """The refusal names the role, where in the document, what is wrong and what to do."""
    text, expected = REFUSED[name]
    with pytest.raises(ContractRefused) as refusal:
        decode_document("stage_config", text)
    assert expected == str(refusal.value)


def test_a_pointer_goes_through_arrays() -> None:
    """The index of an array's element is a step of its own."""
    shards = [CORPUS["shards"][0], {**CORPUS["shards"][1], "token_count": -1}]
    with pytest.raises(ContractRefused) as refusal:
        decode_document("tokenized_corpus", json.dumps({**CORPUS, "shards": shards}))
    expected = (
        "tokenized_corpus#/shards/1/token_count: Expected `int` >= 0; "
        "correct it to what psion.tokenized_corpus_manifest.v1 asks for"
    )
    assert expected == str(refusal.value)


@pytest.mark.parametrize(
    "text",
    [
        b'{"schema_version": "\xff"}',
        '{"schema_version": "\ud800"}',
        '{"schema_version": "\\ud800"}',
        '{"x": ' + "[" * 100_000,
        '{"schema_version": ' + "9" * 10_000 + "}",
    ],
    ids=["not_utf8", "surrogate", "escaped_surrogate", "deep", "long_number"],
)
def test_hostile_text_is_refused_without_a_traceback(text: str | bytes) -> None:
    """Text that no parser should fall over."""
    with pytest.raises(ContractRefused):
        decode_document("stage_config", text)


def test_a_digest_must_be_hex() -> None:
    """The sequence index is named by 64 lowercase hex digits, and nothing after them."""
    plan = json.loads(encode_document(small_contracts().sampling_plan))
    for wrong in ("0" * 63, "0" * 64 + "\n", "A" * 64):
        with pytest.raises(ContractRefused, match=r"sampling_plan#/sequence_index_sha256: "):
            decode_document("sampling_plan", json.dumps({**plan, "sequence_index_sha256": wrong}))
