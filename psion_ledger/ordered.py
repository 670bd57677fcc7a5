"""The order of a run, derived from its contracts: which sequence belongs at each position, whatever the run says."""

from pathlib import Path

import pyarrow as pa

from psion_ledger import catalog, orders
from psion_ledger.contracts import Contracts
from psion_ledger.digest import sha256
from psion_ledger.errors import CannotDecide, ContractRefused, Damaged
from psion_ledger.ledger import Run
from psion_ledger.log import contract_files, files
from psion_ledger.orders.materialised import Materialised

LAW = "batches_follow_the_order"
SCHEMA = pa.schema(
    [pa.field("position", pa.int64(), nullable=False), pa.field("sequence_id", pa.int64(), nullable=False)]
)


def contracts_that_hold(run: Run) -> Contracts:
    """The contracts, if they keep their rules: else nothing follows from them. Raises CannotDecide, ContractRefused."""
    if broken := orders.check_contracts(run.contracts):
        raise CannotDecide(
            f"run {run.run_id}: its contracts do not hold, so no order follows from them: {broken[0].pointer}: "
            f"{broken[0].code}: expected {broken[0].expected}, found {broken[0].actual}"
        )
    return run.contracts


def order_of(run: Run) -> orders.Order:
    """The order that the run's contracts give, or their files. Raises CannotDecide, ContractRefused, Damaged."""
    return order_in(run.record.folder, contracts_that_hold(run), run.contracts_text.get("order_files"))


def order_in(folder: Path, contracts: Contracts, listed: str | None) -> orders.Order:
    """The order that contracts give which hold, or the declared list of files in a run's folder. Raises CannotDecide,
    ContractRefused, Damaged."""
    if contracts.sampling_plan.order.kind != "materialised":
        return orders.derive(contracts)
    if listed is None:
        raise CannotDecide(f"run {folder.name}: its order is in files, and none are declared")

    def read(part: contract_files.Part) -> bytes:
        try:
            data = files.read_regular(folder / part.path, contract_files.PART_BYTES_MAX)
        except FileNotFoundError:
            raise Damaged(folder, part.path, "it is missing") from None
        if (found := sha256(data).hex()) != part.sha256:
            raise Damaged(folder, part.path, f"expected sha256 {part.sha256}, found {found}")
        return data

    return Materialised(contracts, contract_files.parts_of("order_files", listed), read)


def derived_order(run: Run) -> pa.Table:
    """The sequence (id) at each promised position. Raises CannotDecide where the contracts give no order."""
    order = order_of(run)
    run.relate(["promised_positions"])
    row = run.first("select count(*) from promised_positions")
    assert row is not None, "an aggregate has one row"
    # What stands beyond the last file has no place in the order: a law says so.
    promised = min(int(row[0]), order.positions) if isinstance(order, Materialised) else int(row[0])
    positions = pa.array(range(promised), pa.int64())
    return pa.table([positions, pa.array(order.sequence_ids(0, promised))], schema=SCHEMA)


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
