"""The decoder is what its descriptor says, tensor by tensor, and its file alone gives its logits back."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch.nn import functional

from psion_ledger.contracts import TokenizerBinding, describe
from trainer.model import CompactDecoder, initialise, token_losses

UPSTREAM = Path(__file__).resolve().parents[2] / ".." / "shared" / "upstream"
BINDING = TokenizerBinding(
    tokenizer_id="t",
    tokenizer_version="v1",
    tokenizer_family="byte_pair_encoding",
    tokenizer_digest="d",
    vocab_size=300,
)


@pytest.fixture(scope="module")
def model() -> CompactDecoder:
    return smoke_model()


def smoke_model() -> CompactDecoder:
    descriptor = describe(
        "smoke", model_id="m", revision="v1", vocab_size=300, max_context=16, tokenizer_binding=BINDING
    )
    config = descriptor.config
    model = CompactDecoder(json.loads(json.dumps(_plain(config))))
    initialise(model, 7)
    return model


def _plain(value: Any) -> Any:
    names = getattr(value, "__struct_fields__", None)
    return value if names is None else {name: _plain(getattr(value, name)) for name in names}


def shapes(model: CompactDecoder) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


def test_tensors_are_the_descriptors(model: CompactDecoder) -> None:
    """Every name and shape of the layout, in its order, and no other."""
    descriptor = describe(
        "smoke", model_id="m", revision="v1", vocab_size=300, max_context=16, tokenizer_binding=BINDING
    )
    layout = [(spec.name, spec.shape.dims) for spec in descriptor.checkpoint_contract.tensor_layout]
    assert list(shapes(model).items()) == layout
    assert sum(p.numel() for p in model.parameters()) == descriptor.parameter_count_estimate


@pytest.mark.parametrize("anchor", ["pilot", "internal"])
def test_tensors_are_those_of_the_original(anchor: str) -> None:
    """The original's own descriptors give a model of exactly their tensors."""
    path = UPSTREAM / f"psion_compact_decoder_{anchor}_descriptor_v1.json"
    if not path.exists():
        pytest.skip("the original's descriptors are not at hand")
    descriptor = json.loads(path.read_text(encoding="utf-8"))
    with torch.device("meta"):
        model = CompactDecoder(descriptor["config"])
    layout = descriptor["checkpoint_contract"]["tensor_layout"]
    assert shapes(model) == {spec["name"]: spec["shape"]["dims"] for spec in layout}


def test_logits_survive_the_file(model: CompactDecoder) -> None:
    """Saved and loaded into a fresh model, the logits have the same bits."""
    other = smoke_model()
    initialise(other, 8)
    ids = torch.arange(32).reshape(2, 16) % 300
    assert not torch.equal(other(ids), model(ids))
    other.load_state_dict(safetensors.torch.load(safetensors.torch.save(model.state_dict())))
    assert torch.equal(other(ids), model(ids))


def test_the_file_means_what_the_descriptor_says(model: CompactDecoder) -> None:
    """The logits again, from the named tensors alone: x @ weight + bias with weights [in, out]."""
    tensors = safetensors.torch.load(safetensors.torch.save(model.state_dict()))
    ids = torch.randint(0, 300, (3, 16), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(_logits(tensors, ids), model(ids), rtol=1e-4, atol=1e-5)


def _logits(tensors: dict[str, torch.Tensor], ids: torch.Tensor, heads: int = 4) -> torch.Tensor:
    def project(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * tensors[f"{name}.gamma"] + tensors[f"{name}.beta"]

    rows, tokens = ids.shape
    x = tensors["decoder.embed_tokens.weight"][ids] + tensors["decoder.embed_positions.weight"][:tokens]
    width = x.shape[-1]
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    for layer in range(4):
        name = f"decoder.layers.{layer}"
        y = norm(x, f"{name}.attention_norm")
        q, k, v = (
            project(y, f"{name}.attention.{part}").view(rows, tokens, heads, width // heads).transpose(1, 2)
            for part in ("q_proj", "k_proj", "v_proj")
        )
        scores = (q @ k.transpose(2, 3) / (width // heads) ** 0.5).masked_fill(future, float("-inf"))
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, tokens, width)
        x = x + project(mixed, f"{name}.attention.o_proj")
        y = norm(x, f"{name}.feed_forward_norm")
        gate, up = (project(y, f"{name}.feed_forward.{part}") for part in ("gate_proj", "up_proj"))
        x = x + project(gate * gate.sigmoid() * up, f"{name}.feed_forward.down_proj")
    return norm(x, "decoder.final_norm") @ tensors["decoder.embed_tokens.weight"].T + tensors["lm_head.bias"]


def test_no_token_sees_the_future(model: CompactDecoder) -> None:
    """A changed token changes no logits before it."""
    ids = torch.zeros(1, 16, dtype=torch.long)
    changed = ids.clone()
    changed[0, 9] = 5
    assert torch.equal(model(ids)[0, :9], model(changed)[0, :9])
    assert not torch.equal(model(ids)[0, 9], model(changed)[0, 9])


def test_losses_are_of_the_next_token(model: CompactDecoder) -> None:
    """Position t predicts token t + 1: T - 1 losses a sequence, each its token's surprisal."""
    ids = torch.randint(0, 300, (2, 16), generator=torch.Generator().manual_seed(2))
    surprisal = -functional.log_softmax(model(ids), dim=-1)[:, :-1].gather(2, ids[:, 1:, None]).squeeze(2)
    torch.testing.assert_close(token_losses(model, ids), surprisal, rtol=1e-5, atol=1e-5)


def test_first_weights_are_a_function_of_the_seed() -> None:
    """Equal seeds, equal bits, whatever the global generator did before."""
    first = smoke_model().state_dict()
    torch.rand(3)
    second = smoke_model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
