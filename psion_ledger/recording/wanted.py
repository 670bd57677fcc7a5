"""What a user asks `record` for, turned into promises when they are needed: describing data reads all of it."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from psion_ledger import data as token_data
from psion_ledger.contracts.sampling_plan import Unit
from psion_ledger.data.sources import entries, known
from psion_ledger.errors import UsageError
from psion_ledger.events import SplitKind
from psion_ledger.recording.past import Past
from psion_ledger.recording.promises import Promises, Wish, plan_of, promised, require_same

Sources = token_data.Source | Sequence[token_data.Source] | token_data.Data


class Wanted:
    """Either `wish` and `data`, or `promises` as the caller made them."""

    def __init__(
        self,
        run_id: str,
        world: int,
        *,
        promises: Promises | None,
        wish: Wish | None,
        data: Sources | None,
        sequence_tokens: int | None,
        unit: Unit,
        splits: Mapping[str, SplitKind] | None,
    ) -> None:
        if (promises is None) == (wish is None or data is None):
            raise UsageError(
                "record: give data=, order=, model= and horizon_steps=, or the promises= that you made of them"
            )
        self._run_id, self._world, self._promises, self._wish = run_id, world, promises, wish
        self._data, self._sequence_tokens, self._unit, self._splits = data, sequence_tokens, unit, splits

    @cached_property
    def described(self) -> token_data.Data:
        """The data, every byte of which is read."""
        assert self._data is not None, "promises stand in the place of data"
        if isinstance(self._data, token_data.Data):
            return self._data
        return token_data.describe(
            self._data,
            sequence_tokens=self._sequence_tokens,
            unit="window" if self._unit == "window" else "sequence",
            split_kinds=self._splits,
        )

    def promises(self) -> Promises:
        """Of a new run. Raises what describing data and binding contracts raise."""
        if self._promises is not None:
            return self._promises
        assert self._wish is not None, "one of the two is given"
        return promised(self._run_id, self._wish, self.described, self._unit, self._world)

    def again(self, past: Past) -> Promises:
        """Of a run that was begun: those that it declared. The data are not read again; the rest of the plan must be as
        it was. Raises UsageError."""
        if self._promises is not None:
            return self._promises
        if past.contracts is None or past.start is None:
            # Killed before it had promised everything.
            return self.promises()
        assert self._wish is not None, "one of the two is given"
        plan = past.contracts.sampling_plan
        wished = plan_of(
            self._wish, plan.families, plan.dataset_identity, plan.sequence_tokens, self._unit, past.start.world
        )
        require_same(self._run_id, plan, wished)
        return Promises(contracts=past.contracts)

    @property
    def corpus(self) -> Path | None:
        """The folder of the data's files, where they are described."""
        if self._data is None:
            return None
        if isinstance(self._data, token_data.Data):
            return self._data.root if self._data.token_data is not None else None
        paths = [os.path.abspath(entry.path) for source in known(self._data) for entry in entries(source)]
        return Path(os.path.commonpath([os.path.dirname(path) for path in paths])) if paths else None
