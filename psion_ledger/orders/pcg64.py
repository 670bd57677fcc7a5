"""`numpy.pcg64_shuffle`: each pass is shuffled by numpy's PCG64 with a seed of its own, as OLMo-core and OLMo do.

A chunk is a run of neighbours that stay together; entries that fill no chunk are left out.
"""

import numpy as np
from numpy.typing import NDArray

from psion_ledger.contracts import ContractFinding, Contracts
from psion_ledger.orders import passes
from psion_ledger.orders.parameters import Parameter, Specification, given

NAME, VERSION = "numpy.pcg64_shuffle", "1"
# OLMo-core counts its passes from 1, OLMo from 0.
KNOWN: Specification = {"first_pass": Parameter(int, 0), "chunk": Parameter(int, 1, least=1)}


def _whole(contracts: Contracts) -> int:
    """The entries that fill chunks."""
    chunk = given(contracts, KNOWN)["chunk"]
    return passes.entries_total(contracts) // chunk * chunk if isinstance(chunk, int) and chunk > 0 else 0


def made(contracts: Contracts) -> passes.Passes:
    values, seed = given(contracts, KNOWN), contracts.sampling_plan.order.seed or 0
    entries, chunk = _whole(contracts), values["chunk"]

    def shuffled(number: int) -> NDArray[np.uint32]:
        chunks = np.arange(entries // chunk, dtype=np.uint32)
        np.random.Generator(np.random.PCG64(seed + values["first_pass"] + number)).shuffle(chunks)
        rows = chunks[:, None] * np.uint32(chunk) + np.arange(chunk, dtype=np.uint32)
        return rows.reshape(-1).astype(np.uint32)

    return passes.Passes(contracts, shuffled, entries)


def rules(contracts: Contracts) -> list[ContractFinding]:
    return passes.rules(contracts, KNOWN, _whole(contracts))
