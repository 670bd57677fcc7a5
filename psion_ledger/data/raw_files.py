"""Raw files: little-endian token ids and nothing else. They do not say what they hold, so the caller does."""

import numpy as np

from psion_ledger.contracts.token_data import TOKEN_BYTES, TokenType
from psion_ledger.data.held import Held
from psion_ledger.data.rows import Array, checked


def opened(held: Held, dtype: TokenType) -> Array:
    """The ids as a stream. Raises Unreadable for half an id at the end."""
    width = TOKEN_BYTES[dtype]
    if held.bytes % width:
        raise held.broken(
            f"{held.bytes:,} bytes are no whole number of ids of {width}; was it cut, or is it no {dtype}?"
        )
    return Array(held, checked(held, np.frombuffer(held.data, np.dtype(dtype).newbyteorder("<"))), None)
