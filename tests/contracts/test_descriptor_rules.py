"""What a model descriptor must hold by itself: each test breaks one rule of the small descriptor."""

import pytest

from psion_ledger.contracts import ModelDescriptor, tensor_layout_digest
from psion_ledger.contracts.descriptor_rules import rules
from psion_ledger.contracts.finding import ContractFinding
from psion_ledger.contracts.model_descriptor import parameter_count
from tests.documents import changed, small_descriptor

F = ContractFinding
AT = "model_descriptor#"
ATTENTION = f"{AT}/config/block/attention"
LAYOUT_DIGEST = small_descriptor().checkpoint_contract.tensor_layout_digest

CASES: dict[str, tuple[dict[str, object], list[ContractFinding]]] = {
    "schema_version": (
        {"/schema_version": "v2"},
        [F("SchemaVersionMismatch", f"{AT}/schema_version", "psion.compact_decoder_descriptor.v1", "v2")],
    ),
    "blank_revision": (
        {"/model/revision": " "},
        [F("MissingField", f"{AT}/model/revision", "text that is not white space", " ")],
    ),
    "layer_count_of_another_anchor": (
        {"/config/layer_count": 2**31 - 1},
        [F("FieldMismatch", f"{AT}/config/layer_count", "4", "2147483647")],
    ),
    "inner_width_of_another_anchor": (
        {"/config/block/feed_forward/intermediate_size": 1024},
        [F("FieldMismatch", f"{AT}/config/block/feed_forward/intermediate_size", "512", "1024")],
    ),
    "hidden_size_of_another_anchor": (
        {
            "/config/hidden_size": 256,
            "/config/block/attention/head_dim": 64,
            "/config/block/attention/rotary_dim": 64,
        },
        [F("FieldMismatch", f"{AT}/config/hidden_size", "128", "256")],
    ),
    "heads_of_another_anchor": (
        {
            "/config/block/attention/head_count": 8,
            "/config/block/attention/kv_head_count": 8,
            "/config/block/attention/head_dim": 16,
            "/config/block/attention/rotary_dim": 16,
        },
        [F("FieldMismatch", f"{ATTENTION}/head_count", "4", "8")],
    ),
    "kv_heads": (
        {"/config/block/attention/kv_head_count": 2},
        [F("FieldMismatch", f"{ATTENTION}/kv_head_count", "4", "2")],
    ),
    "head_width": (
        {"/config/block/attention/head_dim": 64, "/config/block/attention/rotary_dim": 64},
        [F("FieldMismatch", f"{ATTENTION}/head_dim", "128 features / 4 heads", "64")],
    ),
    "rotary_width": (
        {"/config/block/attention/rotary_dim": 16},
        [F("FieldMismatch", f"{ATTENTION}/rotary_dim", "32", "16")],
    ),
    "vocabulary": (
        {"/tokenizer_binding/vocab_size": 513},
        [F("FieldMismatch", f"{AT}/tokenizer_binding/vocab_size", "512", "513")],
    ),
    "export_file": (
        {"/export_contract/checkpoint_file_name": "other.safetensors"},
        [
            F(
                "FieldMismatch",
                f"{AT}/export_contract/checkpoint_file_name",
                "model.safetensors",
                "other.safetensors",
            )
        ],
    ),
    "export_layout": (
        {"/export_contract/tensor_layout_digest": "other"},
        [F("FieldMismatch", f"{AT}/export_contract/tensor_layout_digest", LAYOUT_DIGEST, "other")],
    ),
    "layout_digest": (
        {"/checkpoint_contract/tensor_layout_digest": "x", "/export_contract/tensor_layout_digest": "x"},
        [
            F(
                "TensorLayoutDigestMismatch",
                f"{AT}/checkpoint_contract/tensor_layout_digest",
                LAYOUT_DIGEST,
                "x",
            )
        ],
    ),
    "parameter_count": (
        {"/parameter_count_estimate": 1},
        [
            F(
                "FieldMismatch",
                f"{AT}/parameter_count_estimate",
                str(small_descriptor().parameter_count_estimate),
                "1",
            )
        ],
    ),
}


def resealed(descriptor: ModelDescriptor) -> ModelDescriptor:
    """The same layout with digests and parameter count made to fit it."""
    layout = descriptor.checkpoint_contract.tensor_layout
    digest = tensor_layout_digest(layout)
    return changed(
        descriptor,
        {
            "/checkpoint_contract/tensor_layout_digest": digest,
            "/export_contract/tensor_layout_digest": digest,
            "/parameter_count_estimate": parameter_count(layout),
        },
    )


def test_a_described_anchor_is_accepted() -> None:
    """What `describe` builds breaks nothing."""
    assert rules(small_descriptor()) == []


@pytest.mark.parametrize("name", CASES)
def test_a_broken_rule_is_found(name: str) -> None:
    """One change, and exactly the findings that it deserves."""
    changes, expected = CASES[name]
    assert expected == rules(changed(small_descriptor(), changes))


def test_a_tensor_of_another_shape_is_found() -> None:
    """Even when digests and parameter count were made to fit it."""
    descriptor = resealed(changed(small_descriptor(), {"/checkpoint_contract/tensor_layout/0/shape/dims": [128, 512]}))
    at = f"{AT}/checkpoint_contract/tensor_layout/0"
    name = "decoder.embed_tokens.weight"
    expected = [F("TensorLayoutMismatch", at, f"{name} [512, 128]", f"{name} [128, 512]")]
    assert expected == rules(descriptor)


def test_a_missing_tensor_is_found() -> None:
    """The last tensor of the layout left out."""
    layout = small_descriptor().checkpoint_contract.tensor_layout
    descriptor = resealed(changed(small_descriptor(), {"/checkpoint_contract/tensor_layout": layout[:-1]}))
    at = f"{AT}/checkpoint_contract/tensor_layout/{len(layout) - 1}"
    assert [F("TensorLayoutMismatch", at, "lm_head.bias [512]", "absent")] == rules(descriptor)


def test_a_tensor_too_many_is_found() -> None:
    """The last tensor of the layout listed twice."""
    layout = small_descriptor().checkpoint_contract.tensor_layout
    descriptor = resealed(changed(small_descriptor(), {"/checkpoint_contract/tensor_layout/-": layout[-1]}))
    at = f"{AT}/checkpoint_contract/tensor_layout/{len(layout)}"
    assert [F("TensorLayoutMismatch", at, "absent", "lm_head.bias [512]")] == rules(descriptor)
