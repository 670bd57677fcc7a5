"""`sequential`: the train sequences by their ids, pass after pass."""

import numpy as np

from psion_ledger.contracts import ContractFinding, Contracts
from psion_ledger.contracts.plan_binding import SEQUENTIAL
from psion_ledger.contracts.sampling_plan import ROLE
from psion_ledger.orders import passes

NAME, VERSION = SEQUENTIAL, "1"


def made(contracts: Contracts) -> passes.Passes:
    entries = passes.entries_total(contracts)
    return passes.Passes(contracts, lambda number: np.arange(entries, dtype=np.int64))


def rules(contracts: Contracts) -> list[ContractFinding]:
    found = passes.rules(contracts, {})
    seed = contracts.sampling_plan.order.seed
    if seed != 0:
        found.append(ContractFinding("OrderMismatch", f"{ROLE}#/order/seed", "0: nothing is drawn", str(seed)))
    return found
