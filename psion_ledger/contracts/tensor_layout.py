"""`psion_ledger.tensor_layout.v1`: any model, by its tensors; it stands where a compact decoder's descriptor would."""

import math

import msgspec

from psion_ledger.contracts.finding import ContractFinding, Findings, document_rules, equal, unique
from psion_ledger.contracts.model_descriptor import TokenizerBinding
from psion_ledger.contracts.values import Part, Sha256Hex
from psion_ledger.digest import sha256
from psion_ledger.events import Count, Ordinal

SCHEMA_VERSION = "psion_ledger.tensor_layout.v1"
ROLE = "model_descriptor"
AXES_MAX = 32


class LayoutTensor(Part, frozen=True, kw_only=True):
    """name: in the state dict. dtype: element type, such as `float32`. shape: elements along each axis."""

    name: str
    dtype: str
    shape: list[Count]


class TensorLayout(Part, frozen=True, kw_only=True):
    """A model of any architecture.

    schema_version: `psion_ledger.tensor_layout.v1`.
    model_id: its name. architecture: its kind, such as a class.
    config_digest: hex SHA-256 of its configuration, where there is one.
    tokenizer_binding: the tokenizer that its ids mean something under, where that is promised.
    max_context_tokens: the longest sequence that it takes, where there is a longest.
    tensors: every tensor of a checkpoint, sorted by name.
    parameters: elements of all tensors together.
    """

    schema_version: str
    model_id: str
    architecture: str
    config_digest: Sha256Hex | None = None
    tokenizer_binding: TokenizerBinding | None = None
    max_context_tokens: Ordinal | None = None
    tensors: list[LayoutTensor]
    parameters: Count

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the JSON of [name, dtype, shape] of every tensor: the layout digest of checkpoints."""
        rows = [[tensor.name, tensor.dtype, tensor.shape] for tensor in self.tensors]
        return sha256(b"psion_ledger_tensor_layout|" + msgspec.json.encode(rows)).hex()


def rules(layout: TensorLayout) -> list[ContractFinding]:
    """What the layout must hold by itself."""
    return [*document_rules(ROLE, SCHEMA_VERSION, layout), *_tensor_rules(layout)]


def _tensor_rules(layout: TensorLayout) -> Findings:
    at, names = f"{ROLE}#/tensors", [tensor.name for tensor in layout.tensors]
    yield from unique(at, names)
    if names != sorted(names) or not names:
        yield ContractFinding("TensorLayoutMismatch", at, "tensors sorted by name, one at least", str(len(names)))
    if deep := [index for index, tensor in enumerate(layout.tensors) if len(tensor.shape) > AXES_MAX]:
        # Their elements would be a number that nobody can print.
        for index in deep:
            axes = str(len(layout.tensors[index].shape))
            yield ContractFinding("InvalidCount", f"{at}/{index}/shape", f"at most {AXES_MAX} axes", axes)
        return
    total = sum(math.prod(tensor.shape) for tensor in layout.tensors)
    yield from equal(f"{ROLE}#/parameters", total, layout.parameters, "CountMismatch")
