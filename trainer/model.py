"""The compact decoder, tensor for tensor as its descriptor says.

A pre-norm transformer: learned absolute positions, causal attention, a gated feed-forward (SwiGLU), and an
output projection tied to the token embedding, which adds only a bias. The names in the state dict are the
descriptor's, and weights are [in, out] as it says, where torch's own Linear holds [out, in]: what is stored
is what is trained, and nothing is transposed on the way.

Sources: Radford et al. 2019 (pre-norm decoder); Shazeer 2020 (gated linear units).
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

INITIAL_DEVIATION = 0.02


class Embedding(nn.Module):
    """Rows of `weight` [entries, width], by index."""

    def __init__(self, entries: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(entries, width))

    def forward(self, indices: Tensor) -> Tensor:
        return functional.embedding(indices, self.weight)


class Projection(nn.Module):
    """x @ weight + bias, with `weight` [in, out]."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width_in, width_out))
        self.bias = nn.Parameter(torch.empty(width_out))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight.t(), self.bias)


class Norm(nn.Module):
    """Layer normalisation over the last axis, scaled by `gamma` and shifted by `beta`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(width))
        self.beta = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.gamma.shape, self.gamma, self.beta)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = Projection(width, width)
        self.k_proj = Projection(width, width)
        self.v_proj = Projection(width, width)
        self.o_proj = Projection(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = (
            projection(x).view(batch, tokens, self.heads, width // self.heads).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return out


class FeedForward(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = Projection(width, inner)
        self.up_proj = Projection(width, inner)
        self.down_proj = Projection(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.attention_norm = Norm(width)
        self.attention = Attention(width, heads)
        self.feed_forward_norm = Norm(width)
        self.feed_forward = FeedForward(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        out: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return out


class Decoder(nn.Module):
    """Token ids [batch, tokens] to the last hidden states [batch, tokens, width]."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, block = config["hidden_size"], config["block"]
        heads, inner = block["attention"]["head_count"], block["feed_forward"]["intermediate_size"]
        self.embed_tokens = Embedding(config["vocab_size"], width)
        self.embed_positions = Embedding(config["max_context"], width)
        self.layers = nn.ModuleList(Layer(width, heads, inner) for _ in range(config["layer_count"]))
        self.final_norm = Norm(width)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed_tokens(ids) + self.embed_positions.weight[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.final_norm(x)
        return out


class TiedHead(nn.Module):
    """Logits from hidden states by the token embedding itself; only the bias is the head's own."""

    def __init__(self, vocab: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(vocab))

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        return functional.linear(hidden, embedding, self.bias)


class CompactDecoder(nn.Module):
    """The model of a descriptor; `config` is the descriptor's. Call `initialise` or load a state dict."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.decoder = Decoder(config)
        self.lm_head = TiedHead(config["vocab_size"])

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids [batch, tokens] to logits [batch, tokens, vocab]: row t scores token t + 1."""
        logits: Tensor = self.lm_head(self.decoder(ids), self.decoder.embed_tokens.weight)
        return logits


def initialise(model: CompactDecoder, seed: int) -> None:
    """First weights from a seed: normal, biases zero, projections onto the residual stream scaled."""
    generator = torch.Generator().manual_seed(seed)
    residual_scale = 1 / math.sqrt(2 * len(model.decoder.layers))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("gamma"):
                parameter.fill_(1.0)
            elif name.endswith(("beta", "bias")):
                parameter.zero_()
            else:
                scale = residual_scale if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
                parameter.normal_(0.0, INITIAL_DEVIATION * scale, generator=generator)


def token_losses(model: nn.Module, ids: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Nats of each token after the first, float32 [batch, tokens - 1]; `label_smoothing` is in [0, 1]."""
    logits = model(ids[:, :-1])
    losses = functional.cross_entropy(
        logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none", label_smoothing=label_smoothing
    )
    return losses.view(ids.shape[0], -1)
