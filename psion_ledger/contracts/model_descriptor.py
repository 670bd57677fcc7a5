"""`psion.compact_decoder_descriptor.v1`: the decoder's shape, its tokenizer binding and its tensors.

A size anchor fixes every dimension but vocabulary and context; `describe` builds the whole document from it.
Weights are [in, out]. The output projection is the transposed token embedding, so only its bias has a tensor.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from psion_ledger.contracts.values import Part, TokenizerFamily, debug_name
from psion_ledger.digest import sha256
from psion_ledger.events import Count, Ordinal

SCHEMA_VERSION = "psion.compact_decoder_descriptor.v1"
ROLE = "model_descriptor"

SizeAnchor = Literal["pilot32m", "internal128m", "smoke"]


@dataclass(frozen=True)
class AnchorDims:
    """Widths in features; the head width is `hidden_size / head_count`."""

    hidden_size: int
    layer_count: int
    head_count: int
    intermediate_size: int


ANCHORS: dict[SizeAnchor, AnchorDims] = {
    "pilot32m": AnchorDims(hidden_size=384, layer_count=8, head_count=6, intermediate_size=1536),
    "internal128m": AnchorDims(hidden_size=768, layer_count=12, head_count=12, intermediate_size=3072),
    "smoke": AnchorDims(hidden_size=128, layer_count=4, head_count=4, intermediate_size=512),
}


class ModelIdentity(Part, frozen=True, kw_only=True):
    """model_id: the model. family: the architecture. revision: the model's version."""

    model_id: str
    family: Literal["psion_decoder"]
    revision: str


class AttentionConfig(Part, frozen=True, kw_only=True):
    """Causal self-attention.

    head_count: query heads.
    kv_head_count: key and value heads; equal to `head_count`.
    head_dim: features of one head, `hidden_size / head_count`.
    rotary_dim: equal to `head_dim`; positions are learned embeddings, so nothing is rotated.
    """

    head_count: Ordinal
    kv_head_count: Ordinal
    head_dim: Ordinal
    rotary_dim: Ordinal


class FeedForwardConfig(Part, frozen=True, kw_only=True):
    """intermediate_size: features between the gated up and the down projection. activation: of the gate."""

    intermediate_size: Ordinal
    activation: Literal["Silu"]


class BlockConfig(Part, frozen=True, kw_only=True):
    """attention, feed_forward: the two halves of every layer."""

    attention: AttentionConfig
    feed_forward: FeedForwardConfig


class DecoderConfig(Part, frozen=True, kw_only=True):
    """The decoder's dimensions.

    hidden_size: features. layer_count: layers. vocab_size: token ids. max_context: tokens.
    block: every layer.
    """

    hidden_size: Ordinal
    layer_count: Ordinal
    vocab_size: Ordinal
    max_context: Ordinal
    block: BlockConfig


class TokenizerBinding(Part, frozen=True, kw_only=True):
    """The tokenizer that the model's ids mean something under.

    tokenizer_id, tokenizer_version: its name and version.
    tokenizer_family: its algorithm.
    tokenizer_digest: digest of the tokenizer itself.
    vocab_size: token ids, special ones included.
    special_tokens_digest: digest of the special tokens, where there are any.
    template_digest: digest of the configuration or template, where there is one.
    """

    tokenizer_id: str
    tokenizer_version: str
    tokenizer_family: TokenizerFamily
    tokenizer_digest: str
    vocab_size: Ordinal
    special_tokens_digest: str | None = None
    template_digest: str | None = None


class TensorShape(Part, frozen=True, kw_only=True):
    """dims: elements along each axis; a weight is [in, out]."""

    dims: list[Ordinal]


class TensorSpec(Part, frozen=True, kw_only=True):
    """name: in the state dict. shape: its axes. dtype: element type. quantization: always none."""

    name: str
    shape: TensorShape
    dtype: Literal["F32"]
    quantization: Literal["none"]


class CheckpointContract(Part, frozen=True, kw_only=True):
    """What a checkpoint's weights file holds.

    checkpoint_format: the container.
    checkpoint_file_name: the file's name inside a checkpoint.
    state_dict_namespace: first word of the tensor names.
    tensor_layout: every tensor, in order.
    tensor_layout_digest: hex digest of `tensor_layout`.
    """

    checkpoint_format: Literal["SafeTensors"]
    checkpoint_file_name: str
    state_dict_namespace: Literal["decoder"]
    tensor_layout: list[TensorSpec]
    tensor_layout_digest: str


class ExportContract(Part, frozen=True, kw_only=True):
    """What an export of the model holds; file, format and layout digest are the checkpoint contract's.

    descriptor_file_name: name of this document's file in an export.
    checkpoint_file_name: name of the weights file.
    export_format_id: the export's own format.
    checkpoint_format: the container of the weights.
    tensor_layout_digest: hex digest of the tensor layout.
    """

    descriptor_file_name: str
    checkpoint_file_name: str
    export_format_id: Literal["psionic.decoder_state_dict.safetensors.v1"]
    checkpoint_format: Literal["SafeTensors"]
    tensor_layout_digest: str


class ModelDescriptor(Part, frozen=True, kw_only=True):
    """The model.

    schema_version: `psion.compact_decoder_descriptor.v1`.
    model: its identity.
    size_anchor: which row of `ANCHORS` its dimensions are.
    position_encoding, norm_kind, weight_tying: fixed properties of the architecture.
    config: its dimensions.
    tokenizer_binding: its tokenizer.
    checkpoint_contract, export_contract: its files.
    parameter_count_estimate: elements of all tensors together.
    """

    schema_version: str
    model: ModelIdentity
    size_anchor: SizeAnchor
    position_encoding: Literal["learned_absolute_embeddings"]
    norm_kind: Literal["layer_norm"]
    weight_tying: Literal["input_embedding_and_lm_head_tied"]
    config: DecoderConfig
    tokenizer_binding: TokenizerBinding
    checkpoint_contract: CheckpointContract
    export_contract: ExportContract
    parameter_count_estimate: Count


def tensors(config: DecoderConfig) -> Iterator[tuple[str, list[int]]]:
    """Name and dimensions of every tensor, in the order of the state dict."""
    width, inner = config.hidden_size, config.block.feed_forward.intermediate_size
    yield "decoder.embed_tokens.weight", [config.vocab_size, width]
    yield "decoder.embed_positions.weight", [config.max_context, width]
    for layer in range(config.layer_count):
        prefix = f"decoder.layers.{layer}"
        yield f"{prefix}.attention_norm.gamma", [width]
        yield f"{prefix}.attention_norm.beta", [width]
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield f"{prefix}.attention.{name}.weight", [width, width]
            yield f"{prefix}.attention.{name}.bias", [width]
        yield f"{prefix}.feed_forward_norm.gamma", [width]
        yield f"{prefix}.feed_forward_norm.beta", [width]
        for name, fan_in, fan_out in (
            ("gate_proj", width, inner),
            ("up_proj", width, inner),
            ("down_proj", inner, width),
        ):
            yield f"{prefix}.feed_forward.{name}.weight", [fan_in, fan_out]
            yield f"{prefix}.feed_forward.{name}.bias", [fan_out]
    yield "decoder.final_norm.gamma", [width]
    yield "decoder.final_norm.beta", [width]
    yield "lm_head.bias", [config.vocab_size]


def tensor_layout(config: DecoderConfig) -> list[TensorSpec]:
    """Every tensor of a decoder of these dimensions, float32 and not quantised."""
    return [
        TensorSpec(name=name, shape=TensorShape(dims=dims), dtype="F32", quantization="none")
        for name, dims in tensors(config)
    ]


def tensor_layout_digest(layout: list[TensorSpec]) -> str:
    """Hex SHA-256 over each tensor's `name|dtype|Quantization|` and its dimensions, a comma after each."""
    tensors = "".join(
        f"{tensor.name}|{tensor.dtype}|{debug_name(tensor.quantization)}|"
        + "".join(f"{size}," for size in tensor.shape.dims)
        for tensor in layout
    )
    return sha256(f"psion_compact_decoder_tensor_layout|{tensors}".encode()).hex()


def parameter_count(layout: list[TensorSpec]) -> int:
    """Elements of all tensors together."""
    return sum(math.prod(tensor.shape.dims) for tensor in layout)


def describe(
    anchor: SizeAnchor,
    *,
    model_id: str,
    revision: str,
    vocab_size: int,
    max_context: int,
    tokenizer_binding: TokenizerBinding,
) -> ModelDescriptor:
    """The descriptor of an anchor's decoder: `vocab_size` token ids, a context of `max_context` tokens."""
    dims = ANCHORS[anchor]
    head_dim = dims.hidden_size // dims.head_count
    config = DecoderConfig(
        hidden_size=dims.hidden_size,
        layer_count=dims.layer_count,
        vocab_size=vocab_size,
        max_context=max_context,
        block=BlockConfig(
            attention=AttentionConfig(
                head_count=dims.head_count,
                kv_head_count=dims.head_count,
                head_dim=head_dim,
                rotary_dim=head_dim,
            ),
            feed_forward=FeedForwardConfig(intermediate_size=dims.intermediate_size, activation="Silu"),
        ),
    )
    layout = tensor_layout(config)
    digest = tensor_layout_digest(layout)
    return ModelDescriptor(
        schema_version=SCHEMA_VERSION,
        model=ModelIdentity(model_id=model_id, family="psion_decoder", revision=revision),
        size_anchor=anchor,
        position_encoding="learned_absolute_embeddings",
        norm_kind="layer_norm",
        weight_tying="input_embedding_and_lm_head_tied",
        config=config,
        tokenizer_binding=tokenizer_binding,
        checkpoint_contract=CheckpointContract(
            checkpoint_format="SafeTensors",
            checkpoint_file_name="model.safetensors",
            state_dict_namespace="decoder",
            tensor_layout=layout,
            tensor_layout_digest=digest,
        ),
        export_contract=ExportContract(
            descriptor_file_name="descriptor.json",
            checkpoint_file_name="model.safetensors",
            export_format_id="psionic.decoder_state_dict.safetensors.v1",
            checkpoint_format="SafeTensors",
            tensor_layout_digest=digest,
        ),
        parameter_count_estimate=parameter_count(layout),
    )
