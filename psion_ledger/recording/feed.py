"""The rows that the declared order gives a rank, one micro batch after another."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from psion_ledger import orders
from psion_ledger.contracts.sampling_plan import SamplingPlan
from psion_ledger.errors import UsageError
from psion_ledger.recording.dealing import Dealing
from psion_ledger.recording.identity import Identity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Feed:
    """Where a rank stands in its plan. `order` makes the order, once it is asked for."""

    def __init__(
        self, plan: SamplingPlan, rank: int, world: int, step: int, cursor: int, order: Callable[[], orders.Order]
    ) -> None:
        self.plan = plan
        self.dealing, self.identity = Dealing(plan, rank, world, step, cursor), Identity(plan)
        self._make_order = order
        self._order: orders.Order | None = None

    def next_ids(self) -> "NDArray[np.int64]":
        """Rows of the train data for the next micro batch. Raises UsageError where the step has no more of them."""
        if (due := self.dealing.due) is None:
            raise UsageError(
                f"step {self.dealing.step}: the plan gives this rank no further batch; call step(), "
                "or bring your own ids"
            )
        self.dealing.require_skips()
        if self._order is None:
            self._order = self._make_order()
        positions = due.positions
        ids = self._order.sequence_ids(positions.start, positions[-1] + 1)[:: positions.step]
        return self.identity.rows_of(ids)
