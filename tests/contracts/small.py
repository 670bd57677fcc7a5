"""The small set of contracts that hold together, copies of it with one document changed, and pointers into it."""

import msgspec

from psion_ledger.contracts import Contracts, tokenizer_binding_digest
from psion_ledger.contracts.finding import ContractFinding
from tests.documents import changed, config_for, small_contracts, small_corpus, small_descriptor, small_policy

F = ContractFinding
CONFIG = "stage_config#"
OBJECTIVE = f"{CONFIG}/objective_config"
BINDING = "model_descriptor#/tokenizer_binding"
POLICY = "sampling_policy#"
PLAN = "sampling_plan#"
BLANK = "text that is not white space"

SMALL = small_contracts()
DESCRIPTOR, CORPUS, SAMPLING = small_descriptor(), small_corpus(), small_policy()
STAGE = config_for(DESCRIPTOR, CORPUS, SAMPLING)
DESCRIPTOR_DIGEST = STAGE.model_descriptor_digest
BINDING_DIGEST = tokenizer_binding_digest(DESCRIPTOR.tokenizer_binding)


def with_changes(role: str, changes: dict[str, object]) -> Contracts:
    return msgspec.structs.replace(SMALL, **{role: changed(getattr(SMALL, role), changes)})
