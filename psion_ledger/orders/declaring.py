"""How a user says which sequence stands at each position: by a name that is derived, by a file, or not at all."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from psion_ledger.contracts.sampling_plan import MayRepeat, OrderParameter, PlanOrder
from psion_ledger.errors import UsageError
from psion_ledger.inputs import read_input
from psion_ledger.orders.materialised import Format, decoded, format_of

# 32 MiB of four bytes each: half of what a part of a contract may have.
PART_IDS = 8 << 20
_U4_MAX = 2**32 - 1


class OrderFile(msgspec.Struct, frozen=True, kw_only=True):
    """An order that a file holds: u4 or u8 (raw little-endian integers), npy or parquet (one column)."""

    path: Path
    may_repeat: MayRepeat
    format: Format

    @property
    def plan_order(self) -> PlanOrder:
        return PlanOrder(kind="materialised", may_repeat=self.may_repeat)

    def parts(self) -> tuple[str, Iterator[tuple[bytes, int]]]:
        """The suffix of the files that a contract keeps, and their bytes and numbers of ids. Raises UsageError."""
        ids = decoded(read_input(self.path, bytes_max=1 << 40)[0], f"{self.path.name}.{self.format}")
        if len(ids) == 0 or int(ids.min()) < 0:
            raise UsageError(
                f"order {self.path}: it has {len(ids)} ids, and each is a row of the train data, from 0 on"
            )
        kind = "u4" if int(ids.max()) <= _U4_MAX else "u8"
        chunks = (ids[first : first + PART_IDS] for first in range(0, len(ids), PART_IDS))
        return kind, ((chunk.astype(np.dtype(f"<{kind}")).tobytes(), len(chunk)) for chunk in chunks)


Declared = PlanOrder | OrderFile


def derived(
    name: str,
    *,
    seed: int = 0,
    version: str = "1",
    may_repeat: MayRepeat | None = None,
    **parameters: bool | int | str | list[int],
) -> PlanOrder:
    """An order that the engine derives again, by its name in `psion_ledger.orders.ORDERS`.

    `seed`: 0 to 2**64 - 1. `parameters`: as the order asks for them. `may_repeat`: what may come twice in one pass;
    without it, what the parameters give.
    """
    given = [OrderParameter(name=key, value=value) for key, value in sorted(parameters.items())]
    if may_repeat is None:
        may_repeat = "padding" if parameters.get("tail") == "pad" else "nothing"
    return PlanOrder(
        kind="derived", name=name, version=version, seed=seed, parameters=given, may_repeat=may_repeat
    )  # fmt: skip


def file(path: str | Path, *, format: Format | None = None, may_repeat: MayRepeat = "nothing") -> OrderFile:  # noqa: A002
    """An order that was written before training: the row of the train data at each position, from 0 on.

    `format`: without it, what the file's name says; OLMo writes raw u4 as `global_indices.npy`. Raises UsageError.
    """
    own = Path(path)
    return OrderFile(path=own, may_repeat=may_repeat, format=format or format_of(own))


def undeclared(why: str) -> PlanOrder:
    """No order is promised, and why; such a run is at best accounted."""
    return PlanOrder(kind="undeclared", why=why, may_repeat="anything")
