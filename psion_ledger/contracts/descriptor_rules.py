"""What a model descriptor must hold by itself: dimensions, heads, layout, digests and parameter count."""

from psion_ledger.contracts.finding import ContractFinding, Findings, document_rules, equal
from psion_ledger.contracts.model_descriptor import (
    ANCHORS,
    ROLE,
    SCHEMA_VERSION,
    ModelDescriptor,
    parameter_count,
    tensor_layout_digest,
    tensors,
)


def _dimension_rules(descriptor: ModelDescriptor) -> Findings:
    config, dims = descriptor.config, ANCHORS[descriptor.size_anchor]
    attention, at = config.block.attention, f"{ROLE}#/config"
    yield from equal(f"{at}/hidden_size", dims.hidden_size, config.hidden_size)
    yield from equal(f"{at}/layer_count", dims.layer_count, config.layer_count)
    yield from equal(f"{at}/block/attention/head_count", dims.head_count, attention.head_count)
    inner = config.block.feed_forward.intermediate_size
    yield from equal(f"{at}/block/feed_forward/intermediate_size", dims.intermediate_size, inner)


def _head_rules(descriptor: ModelDescriptor) -> Findings:
    attention, at = descriptor.config.block.attention, f"{ROLE}#/config/block/attention"
    width = descriptor.config.hidden_size
    yield from equal(f"{at}/kv_head_count", attention.head_count, attention.kv_head_count)
    if attention.head_dim * attention.head_count != width:
        expected = f"{width} features / {attention.head_count} heads"
        yield ContractFinding("FieldMismatch", f"{at}/head_dim", expected, str(attention.head_dim))
    yield from equal(f"{at}/rotary_dim", attention.head_dim, attention.rotary_dim)


def _layout_rules(descriptor: ModelDescriptor) -> Findings:
    at = f"{ROLE}#/checkpoint_contract/tensor_layout"
    expected = [f"{name} {dims}" for name, dims in tensors(descriptor.config)]
    actual = [f"{tensor.name} {tensor.shape.dims}" for tensor in descriptor.checkpoint_contract.tensor_layout]
    length = max(len(expected), len(actual))
    for index in range(length):
        wanted = expected[index] if index < len(expected) else "absent"
        found = actual[index] if index < len(actual) else "absent"
        yield from equal(f"{at}/{index}", wanted, found, "TensorLayoutMismatch")


def _file_rules(descriptor: ModelDescriptor) -> Findings:
    checkpoint, export = descriptor.checkpoint_contract, descriptor.export_contract
    digest = tensor_layout_digest(checkpoint.tensor_layout)
    at = f"{ROLE}#/checkpoint_contract/tensor_layout_digest"
    yield from equal(at, digest, checkpoint.tensor_layout_digest, "TensorLayoutDigestMismatch")
    for name in ("checkpoint_file_name", "checkpoint_format", "tensor_layout_digest"):
        yield from equal(f"{ROLE}#/export_contract/{name}", getattr(checkpoint, name), getattr(export, name))
    count = parameter_count(checkpoint.tensor_layout)
    yield from equal(f"{ROLE}#/parameter_count_estimate", count, descriptor.parameter_count_estimate)


def rules(descriptor: ModelDescriptor) -> list[ContractFinding]:
    """What the descriptor must hold by itself.

    The tensors are compared only where the dimensions are the anchor's: others could ask for any number.
    """
    at = f"{ROLE}#/tokenizer_binding/vocab_size"
    dimensions = [*_dimension_rules(descriptor)]
    return [
        *document_rules(ROLE, SCHEMA_VERSION, descriptor),
        *dimensions,
        *_head_rules(descriptor),
        *equal(at, descriptor.config.vocab_size, descriptor.tokenizer_binding.vocab_size),
        *([] if dimensions else _layout_rules(descriptor)),
        *_file_rules(descriptor),
    ]
