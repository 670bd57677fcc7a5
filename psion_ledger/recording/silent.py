"""Recorders that record nothing: of a process whose batches another rank records, or of a run that nobody keeps."""

from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

from psion_ledger import orders
from psion_ledger.contracts import Contracts
from psion_ledger.errors import UsageError
from psion_ledger.recording.feed import Feed
from psion_ledger.recording.launch import Place
from psion_ledger.recording.recorder import Recorder
from psion_ledger.recording.saving import Checkpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Silent(Recorder):
    """It takes every call of a recorder, and does nothing but count steps. The plan is made when it is asked for."""

    def __init__(
        self, place: Place, contracts: Callable[[], Contracts], attempt: int = 1, checkpoint: Checkpoint | None = None
    ) -> None:
        self.attempt, self.rank, self.world = attempt, place.rank, place.world
        self.checkpoint_to_load = checkpoint
        self._peer, self._make_contracts = place.peer, contracts
        self._step = 1 if checkpoint is None else checkpoint.step + 1
        self._asked = False

    @cached_property
    def contracts(self) -> Contracts:
        return self._make_contracts()

    @cached_property
    def _planned(self) -> Feed:
        if self._peer:
            raise UsageError("next_ids: a peer takes the batches of the rank that records; share that rank's ids")
        self._asked, contracts = True, self.contracts
        return Feed(
            contracts.sampling_plan, self.rank, self.world, self._step, 0, order=lambda: orders.derive(contracts)
        )

    @property
    def next_step(self) -> int:
        return self._step

    @property
    def last_step(self) -> int:
        return self._step - 1

    @property
    def settings(self) -> dict[str, str]:
        return {}

    def next_ids(self) -> "NDArray[np.int64]":
        return self._planned.next_ids()

    def batch(self, ids: Any, tokens: Any, **more: Any) -> None:
        if self._asked:
            self._planned.dealing.take(len(tokens))

    def skip(self, ids: Any, tokens: Any, reason: str, **more: Any) -> None:
        if self._asked:
            self._planned.dealing.skip(len(tokens))

    def step(self, **facts: Any) -> None:
        self._step += 1
        if self._asked:
            self._planned.dealing.close_step()

    def measure(self, split: str, **facts: Any) -> None:
        pass

    def checkpoint(self, folder: Any, **facts: Any) -> None:
        pass

    def wait(self) -> None:
        pass

    def loaded(self, checkpoint: Checkpoint) -> None:
        pass

    def removed(self, checkpoint: Any, reason: str) -> None:
        pass

    def promote(self, checkpoint: Any, **facts: Any) -> None:
        pass

    def end_early(self, reason: str) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass
