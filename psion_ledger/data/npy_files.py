"""numpy's format, of one or two dimensions of integers. numpy's own reader takes archives, pickles and sizes that are
made up; this one takes what `numpy.save` writes of such an array, and nothing else."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from psion_ledger.data.held import Held
from psion_ledger.data.rows import Array, checked, type_of

_HEADER = re.compile(
    rb"\x93NUMPY(?:\x01\0(..)|[\x02\x03]\0(....))"
    rb"\{'descr': '([<>|][iu][1248])', 'fortran_order': (False|True), "
    rb"'shape': \(([0-9]{1,18}),(?: ([0-9]{1,18}))?\), \} *\n",
    re.DOTALL,
)


def array(data: bytes | Any, dimensions: int) -> NDArray[np.integer[Any]]:
    """The integers of a file's bytes, without a copy. Raises ValueError for other contents, and for more dimensions."""
    header = _HEADER.match(data)
    if header is None or (header[6] is not None and dimensions == 1):
        raise ValueError(
            f"its header is not that of {'one dimension' if dimensions == 1 else 'one or two dimensions'} of integers"
        )
    said = int.from_bytes(header[1] or header[2], "little")
    if said != header.end() - (10 if header[1] else 12):
        raise ValueError(f"its header does not end where it says, behind {said} bytes")
    kind = np.dtype(header[3].decode())
    shape = tuple(int(size) for size in header.groups()[4:] if size is not None)
    if len(shape) == 2 and header[4] == b"True":
        raise ValueError("its rows are not written one after another; save numpy.ascontiguousarray of it")
    count = int(np.prod(shape, dtype=object))
    if len(data) != header.end() + count * kind.itemsize:
        raise ValueError(
            f"{len(data) - header.end()} bytes behind its header, which says {count} times {kind.itemsize}"
        )
    return np.frombuffer(data, kind, offset=header.end()).reshape(shape)


def opened(held: Held) -> Array:
    """A stream where the array has one dimension, else a sequence a row. Raises Unreadable."""
    try:
        found = array(held.data, 2)
    except ValueError as error:
        raise held.broken(f"no .npy file of token ids: {error}") from error
    type_of(held, found.dtype)
    return Array(held, checked(held, found.reshape(-1)), None if found.ndim == 1 else found.shape[1])
