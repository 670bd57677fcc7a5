"""What a run promises before its first batch: its documents, their own rules, and what binds them together.

    PretrainStageConfig   what the stage is bound to, by id and digest     psion.pretrain_stage_config.v1
    ModelDescriptor       the decoder, its tokenizer, its tensors          psion.compact_decoder_descriptor.v1
    TokenizedCorpus       splits, shards, sources                          psion.tokenized_corpus_manifest.v1
    SamplingPolicy        how often each family is drawn, and its caps     psion.sampling_policy.v1
    BaseCheckpoint        weights to begin with, if not from nothing       psion_ledger.base_checkpoint.v1
    TensorLayout          any other model, in the descriptor's place       psion_ledger.tensor_layout.v1
    SamplingPlan          sequences, order, steps, evaluation sets         psion_ledger.sampling_plan.v1
    TokenData             files of sequences, in the corpus's place        psion_ledger.token_data.v1

`check_documents` returns what does not hold as findings; what an order asks besides is in `orders`.
"""

from typing import Literal, overload

import msgspec

from psion_ledger.contracts import (
    base_checkpoint,
    model_descriptor,
    sampling_plan,
    sampling_policy,
    stage_config,
    tensor_layout,
    token_data,
    tokenized_corpus,
)
from psion_ledger.contracts.base_checkpoint import BaseCheckpoint, BaseFile, BaseRun, CheckpointReference
from psion_ledger.contracts.binding import Contracts, check_documents
from psion_ledger.contracts.codec import decode_struct, encode_document
from psion_ledger.contracts.digests import (
    model_descriptor_digest,
    tensor_layout_digest,
    tokenizer_binding_digest,
)
from psion_ledger.contracts.finding import ContractFinding
from psion_ledger.contracts.model_descriptor import ModelDescriptor, SizeAnchor, TokenizerBinding, describe
from psion_ledger.contracts.sampling_plan import (
    EvaluationSet,
    PlanFamily,
    SamplingPlan,
)
from psion_ledger.contracts.sampling_policy import SamplingPolicy
from psion_ledger.contracts.stage_config import ObjectiveConfig, PretrainStageConfig
from psion_ledger.contracts.tensor_layout import LayoutTensor, TensorLayout
from psion_ledger.contracts.token_data import DocumentIndexFile, FileFormat, TokenData, TokenFile, TokenType
from psion_ledger.contracts.tokenized_corpus import TokenizedCorpus

__all__ = [
    "DOCUMENTS",
    "BaseCheckpoint",
    "BaseFile",
    "BaseRun",
    "CheckpointReference",
    "ContractFinding",
    "Contracts",
    "Document",
    "DocumentIndexFile",
    "DocumentRole",
    "EvaluationSet",
    "FileFormat",
    "LayoutTensor",
    "ModelDescriptor",
    "ObjectiveConfig",
    "PlanFamily",
    "PretrainStageConfig",
    "SamplingPlan",
    "SamplingPolicy",
    "SizeAnchor",
    "TensorLayout",
    "TokenData",
    "TokenFile",
    "TokenType",
    "TokenizedCorpus",
    "TokenizerBinding",
    "check_documents",
    "decode_base",
    "decode_document",
    "decode_model",
    "describe",
    "encode_document",
    "model_descriptor_digest",
    "tensor_layout_digest",
    "tokenizer_binding_digest",
]

Document = PretrainStageConfig | ModelDescriptor | TokenizedCorpus | SamplingPolicy | SamplingPlan | TokenData
DocumentRole = Literal[
    "stage_config", "model_descriptor", "tokenized_corpus", "sampling_policy", "sampling_plan", "token_data"
]  # fmt: skip
# Role -> type and schema version.
DOCUMENTS: dict[DocumentRole, tuple[type[Document], str]] = {
    "stage_config": (PretrainStageConfig, stage_config.SCHEMA_VERSION),
    "model_descriptor": (ModelDescriptor, model_descriptor.SCHEMA_VERSION),
    "tokenized_corpus": (TokenizedCorpus, tokenized_corpus.SCHEMA_VERSION),
    "sampling_policy": (SamplingPolicy, sampling_policy.SCHEMA_VERSION),
    "sampling_plan": (SamplingPlan, sampling_plan.SCHEMA_VERSION),
    "token_data": (TokenData, token_data.SCHEMA_VERSION),
}


@overload
def decode_document(role: Literal["stage_config"], text: str | bytes) -> PretrainStageConfig: ...
@overload
def decode_document(role: Literal["model_descriptor"], text: str | bytes) -> ModelDescriptor: ...
@overload
def decode_document(role: Literal["tokenized_corpus"], text: str | bytes) -> TokenizedCorpus: ...
@overload
def decode_document(role: Literal["sampling_policy"], text: str | bytes) -> SamplingPolicy: ...
@overload
def decode_document(role: Literal["sampling_plan"], text: str | bytes) -> SamplingPlan: ...
@overload
def decode_document(role: Literal["token_data"], text: str | bytes) -> TokenData: ...
@overload
def decode_document(role: DocumentRole, text: str | bytes) -> Document: ...
def decode_document(role: DocumentRole, text: str | bytes) -> Document:
    """The document of a role from its JSON text.

    Raises ContractRefused, with the role, a JSON pointer and what to do, for malformed JSON, another schema
    version, unknown or missing fields, wrong types and values out of range.
    """
    kind, schema_version = DOCUMENTS[role]
    return decode_struct(kind, schema_version, role, text)


def decode_model(text: str | bytes) -> ModelDescriptor | TensorLayout:
    """The document of the model: a compact decoder's descriptor, or the tensor layout of any other one. Raises as
    `decode_document`."""
    try:
        other = msgspec.json.decode(text, type=_Header).schema_version == tensor_layout.SCHEMA_VERSION
    except (ValueError, RecursionError):
        other = False
    if other:
        return decode_struct(TensorLayout, tensor_layout.SCHEMA_VERSION, tensor_layout.ROLE, text)
    return decode_document("model_descriptor", text)


def decode_base(text: str | bytes) -> BaseCheckpoint:
    """The document of a base checkpoint. Raises as `decode_document`."""
    return decode_struct(BaseCheckpoint, base_checkpoint.SCHEMA_VERSION, base_checkpoint.ROLE, text)


class _Header(msgspec.Struct):
    schema_version: str
