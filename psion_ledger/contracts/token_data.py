"""`psion_ledger.token_data.v1`: the files that hold the sequences of a plan, where no corpus of the original's kind is.

A run declares this or a tokenised corpus, or neither: then nobody can replay the content of its batches.
`token_data_rules` has what it must hold.
"""

from typing import Literal

from psion_ledger.contracts.values import Part, Sha256Hex
from psion_ledger.digest import canonical_json, sha256
from psion_ledger.events import Count

SCHEMA_VERSION = "psion_ledger.token_data.v1"
ROLE = "token_data"

FileFormat = Literal["raw", "npy", "parquet", "megatron", "arrow"]
TokenType = Literal["uint8", "uint16", "uint32", "uint64", "int32", "int64"]
# Bytes of one token id.
TOKEN_BYTES: dict[TokenType, int] = {"uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8, "int32": 4, "int64": 8}


class DocumentIndexFile(Part, frozen=True, kw_only=True):
    """path: Megatron's `.idx`, relative to the corpus folder. bytes: its size. sha256: hex."""

    path: str
    bytes: Count
    sha256: Sha256Hex


class TokenFile(Part, frozen=True, kw_only=True):
    """A file of token ids.

    file_id: its name, as `PlanFamily.shard_ids` lists it.
    path: where it is, relative to the corpus folder.
    format: `raw` is little-endian ids and nothing else, `arrow` a stream of record batches, `megatron` a `.bin`.
    dtype: type of an id in it. column: the column of ids, of parquet and arrow.
    bytes: its size. sha256: hex.
    sequences: of the plan that begin in it. tokens: that sequences of the plan are made of; in a stream they stand
    first, and a tail that is too short for a sequence is not counted.
    index: the `.idx` beside a `.bin`.
    """

    file_id: str
    path: str
    format: FileFormat
    dtype: TokenType
    column: str | None = None
    bytes: Count
    sha256: Sha256Hex
    sequences: Count
    tokens: Count
    index: DocumentIndexFile | None = None


class TokenData(Part, frozen=True, kw_only=True):
    """The data.

    schema_version: `psion_ledger.token_data.v1`.
    dataset_identity: `dataset_id@dataset_version`, the plan's.
    files: in the order in which the plan's families list them.
    """

    schema_version: str
    dataset_identity: str
    files: list[TokenFile]

    @property
    def digest(self) -> bytes:
        """One digest for all files: sha256 over the canonical JSON of file id -> hex sha256, 32 bytes."""
        return sha256(canonical_json({file.file_id: file.sha256 for file in self.files}))
