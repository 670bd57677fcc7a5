"""Orders by name and version: what is not in the table is not derived."""

import msgspec
import pytest

from psion_ledger import orders
from psion_ledger.errors import CannotDecide
from tests.documents import small_contracts


def test_our_own_order_is_known() -> None:
    """By the name that the trainer promises."""
    ids = orders.derived(small_contracts()).sequence_ids(0, 8)
    assert (len(set(ids.tolist())), str(ids.dtype)) == (8, "int64")


@pytest.mark.parametrize("changes", [{"sampler_name": "another"}, {"sampler_version": "v2"}, {"sampler_version": ""}])
def test_an_order_that_is_not_known_is_never_taken_for_ours(changes: dict[str, str]) -> None:
    """Nobody can say where its sequences belong; the message names those that are known."""
    contracts = small_contracts()
    plan = msgspec.structs.replace(contracts.sampling_plan, **changes)
    with pytest.raises(CannotDecide, match="psion_ledger_weighted_feistel v1"):
        orders.derived(msgspec.structs.replace(contracts, sampling_plan=plan))
