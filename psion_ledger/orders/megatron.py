"""`megatron.gpt`: the shuffle of Megatron-LM's GPTDataset. An entry is a sample; the index says of which pieces.

One RandomState shuffles the documents first and the samples then, so the number of documents is needed to derive the
samples. Where the last epoch would add few samples it is shuffled apart.
"""

import numpy as np
from numpy.typing import NDArray

from psion_ledger.contracts import ContractFinding, Contracts
from psion_ledger.contracts.sampling_plan import ROLE
from psion_ledger.orders import passes
from psion_ledger.orders.parameters import AT, Parameter, Specification, given

NAME, VERSION = "megatron.gpt", "1"
KNOWN: Specification = {
    "documents": Parameter(int, least=1),
    "epochs": Parameter(int, least=1),
    # Samples of all epochs but the last, where that one is shuffled apart; 0: it is not.
    "samples_before_last": Parameter(int, 0),
}
# Documents times epochs are shuffled in memory.
DOCUMENTS_MAX = 1 << 31


def made(contracts: Contracts) -> passes.Passes:
    values, seed = given(contracts, KNOWN), contracts.sampling_plan.order.seed or 0
    samples = passes.entries_total(contracts)

    def shuffled(number: int) -> NDArray[np.uint32]:
        state = np.random.RandomState(seed)
        apart = values["samples_before_last"]
        epochs = [values["epochs"] - 1, 1] if apart else [values["epochs"]]
        for count in epochs:
            state.shuffle(np.tile(np.arange(values["documents"], dtype=np.int32), count))
        parts = [np.arange(0, apart, dtype=np.uint32)] if apart else []
        parts.append(np.arange(apart, samples, dtype=np.uint32))
        for part in parts:
            state.shuffle(part)
        return np.concatenate(parts)

    return passes.Passes(contracts, shuffled)


def rules(contracts: Contracts) -> list[ContractFinding]:
    if found := passes.rules(contracts, KNOWN):
        return found
    values, samples = given(contracts, KNOWN), passes.entries_total(contracts)
    apart, documents = values["samples_before_last"], values["documents"] * values["epochs"]
    if documents > DOCUMENTS_MAX:
        expected = f"at most {DOCUMENTS_MAX} in all epochs"
        found.append(ContractFinding("OrderMismatch", f"{AT}/documents", expected, str(documents)))
    most = samples if values["epochs"] > 1 else 0
    if apart > most:
        expected = f"at most {most} of {samples} samples, in {values['epochs']} epochs"
        found.append(ContractFinding("OrderMismatch", f"{AT}/samples_before_last", expected, str(apart)))
    seed = contracts.sampling_plan.order.seed or 0
    if seed >= 2**32:
        found.append(ContractFinding("OrderMismatch", f"{ROLE}#/order/seed", "below 2**32", str(seed)))
    return found
