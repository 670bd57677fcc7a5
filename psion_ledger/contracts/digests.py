"""The original's digests of a model descriptor and of its parts: lowercase hex SHA-256 over UTF-8 text.

The JSON inside is compact, in declaration order, non-ASCII raw, absent optionals left out.
"""

import msgspec

from psion_ledger.contracts.model_descriptor import ModelDescriptor, TokenizerBinding, tensor_layout_digest
from psion_ledger.digest import sha256

__all__ = ["model_descriptor_digest", "tensor_layout_digest", "tokenizer_binding_digest"]


def model_descriptor_digest(descriptor: ModelDescriptor) -> str:
    """Over the whole document and, once more, its tokenizer's family."""
    pair = [descriptor, descriptor.tokenizer_binding.tokenizer_family]
    return sha256(b"psion_compact_decoder_descriptor|" + msgspec.json.encode(pair)).hex()


def tokenizer_binding_digest(binding: TokenizerBinding) -> str:
    """Over the binding and, once more, its family."""
    pair = [binding, binding.tokenizer_family]
    return sha256(b"psion_compact_decoder_tokenizer_binding|" + msgspec.json.encode(pair)).hex()
