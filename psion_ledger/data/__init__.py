"""How token data is described, before a run is recorded, and read again, when it is replayed. One file a format.

    from psion_ledger import data

    own = [data.npy("tokens/train-*.npy"), data.npy("tokens/val.npy", split="validation")]
    found = data.describe(own, sequence_tokens=2048)

What is described goes into the plan (`families`), the contract `token_data` and the index (`index_parts`). numpy and
pyarrow are loaded when a file is opened.
"""

from typing import TYPE_CHECKING

from psion_ledger.data.describing import Data, Progress, Unit, describe, look
from psion_ledger.data.sources import Source, folders, hf_dataset, index, megatron, npy, parquet, shards

if TYPE_CHECKING:
    from psion_ledger.data.reading import Tokens

__all__ = [
    "Data",
    "Progress",
    "Source",
    "Tokens",
    "Unit",
    "describe",
    "folders",
    "hf_dataset",
    "index",
    "look",
    "megatron",
    "npy",
    "parquet",
    "shards",
]


def __getattr__(name: str) -> object:
    if name == "Tokens":
        from psion_ledger.data.reading import Tokens

        return Tokens
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
