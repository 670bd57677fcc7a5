"""Row numbers and tokens come past any collator that keeps its rows apart, and no other."""

import pickle
from typing import Any

import numpy as np
import pytest

from psion_ledger.errors import UsageError
from psion_ledger.integrations.carrying import Carrier, Numbered, length_of, taken

ROWS = [[5, 6, 7], [8, 9], [1, 2, 3, 4]]


def features(*, masked: bool = False) -> list[dict[str, Any]]:
    return [{"input_ids": row} | ({"attention_mask": [1] * len(row)} if masked else {}) for row in ROWS]


def padded(given: list[dict[str, Any]], *, left: bool = False, masked: bool = True) -> dict[str, Any]:
    width = max(len(row["input_ids"]) for row in given)
    block, mask = np.zeros((len(given), width), np.int64), np.zeros((len(given), width), np.int64)
    for at, row in enumerate(given):
        own = slice(width - len(row["input_ids"]), None) if left else slice(len(row["input_ids"]))
        block[at, own], mask[at, own] = row["input_ids"], 1
    batch = {"input_ids": block, "labels": np.where(mask == 1, block, -100)}
    return batch | ({"attention_mask": mask} if masked else {})


def packed(given: list[dict[str, Any]]) -> dict[str, Any]:
    flat = [token for row in given for token in row["input_ids"]]
    firsts = [place for row in given for place in range(len(row["input_ids"]))]
    labels = [token if place else -100 for token, place in zip(flat, firsts, strict=True)]
    return {"input_ids": np.array([flat]), "labels": np.array([labels])}


@pytest.mark.parametrize(
    ("collate", "targets"),
    [
        (padded, [3, 2, 1]),
        # From the last place of the padding a model is asked for the first token.
        (lambda given: padded(given, left=True), [3, 3, 2]),
        (lambda given: padded(given, masked=False), [3, 2, 1]),
        (packed, [3, 2, 1]),
    ],
    ids=["padded", "padded on the left", "padded, without a mask", "one after another"],
)
def test_rows_come_past_a_collator(collate: Any, targets: list[int]) -> None:
    """Their numbers, their tokens without padding, and how many have a loss; the model sees none of it."""
    items = Numbered(features()).__getitems__([2, 0, 1])
    batch = Carrier(collate)(items)
    held = taken(batch)
    assert held is not None
    assert held.rows.tolist() == [2, 0, 1]
    found = [row[:length].tolist() for row, length in zip(held.tokens, held.lengths, strict=True)]
    assert found == [ROWS[2], ROWS[0], ROWS[1]]
    assert held.targets is not None
    assert (held.targets.tolist(), held.target_tokens) == (targets, sum(targets))
    assert taken(batch) is None


def test_labels_that_were_shifted_already_are_counted_as_they_are() -> None:
    """The last place has none, and the first one has."""

    def shifted(given: list[dict[str, Any]]) -> dict[str, Any]:
        batch = padded(given)
        labels = np.full_like(batch["labels"], -100)
        labels[:, :-1] = batch["labels"][:, 1:]
        return batch | {"labels": labels, "shift_labels": labels}

    held = taken(Carrier(shifted)([Numbered(features())[at] for at in range(3)]))
    assert held is not None
    assert held.targets is not None
    assert held.targets.tolist() == [2, 1, 3]


def test_without_labels_each_token_but_the_first_counts() -> None:
    """A loss of one's own is asked of all of them."""
    held = taken(Carrier(lambda given: {"input_ids": padded(given)["input_ids"]})([Numbered(features())[0]]))
    assert held is not None
    assert (held.targets, held.target_tokens) == (None, 2)


@pytest.mark.parametrize(
    "collate",
    [
        lambda given: (1, 2),
        lambda given: {"pixels": np.zeros(3)},
        lambda given: {"input_ids": np.zeros((2, 4), np.int64)},
        lambda given: {"input_ids": np.zeros((1, 8), np.int64)},
    ],
    ids=["no mapping", "no tokens", "rows put together", "rows cut"],
)
def test_rows_that_cannot_be_told_apart_are_refused(collate: Any) -> None:
    """In the loader, before anything is trained on them."""
    with pytest.raises(UsageError):
        Carrier(collate)(Numbered(features()).__getitems__([0, 1, 2]))


def test_a_row_is_as_long_as_its_mask_says() -> None:
    """Padding that a data set has itself is no token."""
    assert length_of({"input_ids": [1, 2, 0, 0], "attention_mask": [1, 1, 0, 0]}) == 2
    assert length_of({"input_ids": [1, 2, 0, 0]}) == 4
    assert (length_of({"text": "a"}), length_of("a")) == (None, None)


def test_data_set_and_collator_go_to_workers_that_are_spawned() -> None:
    """Both are pickled, with what they hold."""
    data, carrier = pickle.loads(pickle.dumps((Numbered(features(), "prose"), Carrier(padded))))
    assert (len(data), data.name, data[1].row) == (3, "prose", 1)
    held = taken(carrier([data[1]]))
    assert held is not None
    assert held.rows.tolist() == [1]
