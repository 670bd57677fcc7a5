"""The order of a run, derived from its contracts: which sequence belongs at each position, whatever the run says."""

import pyarrow as pa

from psion_ledger import catalog, orders
from psion_ledger.contracts import Contracts, check_contracts
from psion_ledger.errors import CannotDecide, ContractRefused
from psion_ledger.ledger import Run

LAW = "batches_follow_the_order"
SCHEMA = pa.schema(
    [pa.field("position", pa.int64(), nullable=False), pa.field("sequence_id", pa.int64(), nullable=False)]
)


def contracts_that_hold(run: Run) -> Contracts:
    """The contracts, if they keep their rules: else nothing follows from them. Raises CannotDecide, ContractRefused."""
    if broken := check_contracts(run.contracts):
        raise CannotDecide(
            f"run {run.run_id}: its contracts do not hold, so no order follows from them: {broken[0].pointer}: "
            f"{broken[0].code}: expected {broken[0].expected}, found {broken[0].actual}"
        )
    return run.contracts


def derived_order(run: Run) -> pa.Table:
    """The sequence (id) at each promised position. Raises CannotDecide where the contracts give no order."""
    order = orders.derived(contracts_that_hold(run))
    run.relate(["promised_positions"])
    row = run.first("select count(*) from promised_positions")
    assert row is not None, "an aggregate has one row"
    positions = pa.array(range(int(row[0])), pa.int64())
    return pa.table([positions, pa.array(order.sequence_ids(0, len(positions)))], schema=SCHEMA)


def is_followed(run: Run) -> bool:
    """Whether every batch that counts holds the sequences that the contracts put at its positions. An order that cannot
    be derived was not followed, as far as anybody can tell."""
    try:
        table = derived_order(run)
    except (CannotDecide, ContractRefused):
        return False
    law = next(known for known in catalog.laws() if known.name == LAW)
    run.relate(law.words)
    run.con.register("derived_order", table)
    return run.first(f"select count(*) from ({law.sql})") == (0,)
