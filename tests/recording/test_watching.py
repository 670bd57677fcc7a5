"""A loader that is watched gives the same batches, and each is recorded when it is handed out."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import psion_ledger
from psion_ledger import Recorder, orders
from psion_ledger.data import Data
from psion_ledger.errors import UsageError
from tests.recording.loops import BATCH, MODEL, ROWS, STEPS, TOKENS, TRAIN, begin, described


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return described(tmp_path_factory.mktemp("data"))


class Told(Recorder):
    """What a recorder is told of batches."""

    def __init__(self) -> None:
        self.batches: list[tuple[Any, list[Any], dict[str, Any]]] = []

    def batch(self, ids: Any, tokens: Any, **more: Any) -> None:
        self.batches.append((ids, [list(map(int, row)) for row in tokens], more))


NOTHING = {"target_tokens": None, "lengths": None, "families": None}


def test_a_batch_is_recorded_when_it_is_handed_out() -> None:
    """Not when the loader makes it, which may be long before."""
    run, made = Told(), list[int]()

    def batches() -> Iterator[dict[str, Any]]:
        for number in range(3):
            made.append(number)
            yield {"sequence_id": [number], "input_ids": [[number, 9]]}

    ahead = list(batches())
    watched = iter(run.watch(ahead))
    assert (len(made), run.batches) == (3, [])
    assert next(watched) is ahead[0]
    assert run.batches == [([0], [[0, 9]], NOTHING)]


def test_parts_may_be_at_positions() -> None:
    """Of a tuple or a list; what is not named is not looked at."""
    run = Told()
    assert list(run.watch([([[1, 2]], "more", [7])], ids=2, tokens=0)) == [([[1, 2]], "more", [7])]
    assert run.batches == [([7], [[1, 2]], NOTHING)]


@pytest.mark.parametrize(
    ("mask", "kept"),
    [([[1, 1], [1, 1]], [[1, 2], [3, 4]]), ([[1, 0], [1, 1]], [[1], [3, 4]]), ([[0, 1], [0, 1]], [[2], [4]])],
    ids=["none", "right", "left"],
)
def test_padding_is_left_out_on_either_side(mask: list[list[int]], kept: list[list[int]]) -> None:
    """What a mask marks is what goes into the digest."""
    run = Told()
    list(run.watch([{"input_ids": [[1, 2], [3, 4]], "mask": np.array(mask)}], ids=None, mask="mask"))
    assert run.batches == [(None, kept, NOTHING)]


def test_lengths_families_and_targets_are_handed_on() -> None:
    """Targets of each row are summed."""
    run = Told()
    own = {"input_ids": [[1, 0]], "n": [1], "from": ["web"], "targets": np.array([1])}
    list(run.watch([own], ids=None, lengths="n", families="from", target_tokens="targets"))
    assert run.batches == [(None, [[1, 0]], {"target_tokens": 1, "lengths": [1], "families": ["web"]})]


@pytest.mark.parametrize(
    ("batch", "keys", "message"),
    [
        ({"x": 1}, {}, "watch: the batch (dict) has no 'sequence_id': it has 'x'; say with ids= where its ids are"),
        (([1],), {"ids": 0, "tokens": 1}, "watch: the batch (tuple) has no 1: it has 0; say with tokens="),
        (7, {"ids": 0, "tokens": 1}, "watch: the batch (int) has no 0: it has no parts; say with ids="),
        (
            {"input_ids": [[1, 2]], "mask": [[1]]}, {"ids": None, "mask": "mask"},
            "watch: tokens of shape (1, 2), and a mask of (1, 1); they are of one shape",
        ),
    ],
    ids=["no name", "no position", "no batch", "another shape"],
)  # fmt: skip
def test_a_batch_without_its_parts_is_refused(batch: Any, keys: dict[str, Any], message: str) -> None:
    """In one sentence that names what it has."""
    run = Told()
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        list(run.watch([batch], **keys))
    assert run.batches == []


def test_what_a_loader_has_is_had_by_the_watched_one() -> None:
    """Its length and attributes; of a state that it does not have, it says so."""
    watched = Told().watch([1, 2, 3], ids=None)
    assert (len(watched), watched.count(2)) == (3, 1)
    with pytest.raises(AttributeError):
        _ = watched.sampler
    with pytest.raises(UsageError, match=r"^watch: a list has no state_dict; a StatefulDataLoader has$"):
        watched.state_dict()


def loader_of(kind: str, workers: int) -> Any:
    torch = pytest.importorskip("torch")
    rows = [
        {"sequence_id": number, "input_ids": torch.from_numpy(row.astype("i8"))} for number, row in enumerate(TRAIN)
    ]
    if kind == "DataLoader":
        return torch.utils.data.DataLoader(rows, batch_size=BATCH, num_workers=workers)
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    return stateful.StatefulDataLoader(rows, batch_size=BATCH, num_workers=workers)


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
@pytest.mark.parametrize(
    ("kind", "workers"),
    [
        ("DataLoader", 0),
        pytest.param("DataLoader", 2, marks=pytest.mark.slow),
        ("StatefulDataLoader", 0),
        pytest.param("StatefulDataLoader", 2, marks=pytest.mark.slow),
    ],
)
def test_a_loader_of_torch_is_watched(tmp_path: Path, found: Data, kind: str, workers: int) -> None:
    """With workers that read ahead, what is recorded is what the loop took."""
    with begin(tmp_path, found) as run:
        loader = loader_of(kind, workers)
        watched = run.watch(loader)
        for batch in watched:
            assert batch["input_ids"].shape == (BATCH, TOKENS)
            run.step(loss_sum=1.0)
            if run.last_step == 2:
                break
        assert (len(watched), len(watched.dataset), watched.sampler is loader.sampler) == (5, ROWS, True)
        assert (run.next_step, run.next_ids().tolist()) == (3, list(range(2 * BATCH, 3 * BATCH)))


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
def test_a_state_goes_through_the_watched_loader(tmp_path: Path, found: Data) -> None:
    """It stands behind the last batch that was taken, and the loader that loads it goes on there."""
    with begin(tmp_path, found) as run:
        watched = run.watch(loader_of("StatefulDataLoader", 0))
        next(iter(watched))
        again = psion_ledger.record(
            None, run_id="tiny", data=found, order=orders.derived("sequential"), model=MODEL, horizon_steps=STEPS,
            batch_sequences=BATCH,
        ).watch(loader_of("StatefulDataLoader", 0))  # fmt: skip
        again.load_state_dict(watched.state_dict())
        assert next(iter(again))["sequence_id"].tolist() == list(range(BATCH, 2 * BATCH))
