"""Data sets of rows with input_ids, described for a run: by the files that `save_to_disk` wrote, else by an index."""

import json
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from psion_ledger import data
from psion_ledger.data.rows import token_sha256
from psion_ledger.errors import UsageError
from psion_ledger.integrations.carrying import Carrier, Numbered, taken

TRAIN, EVALUATION, FAMILY = "train", "validation", "text"
_PART_ROWS, _BATCH_ROWS = 10_000, 64


class Named(msgspec.Struct, frozen=True):
    """A data set, and the split and family that its rows are."""

    split: str
    family: str
    dataset: Any


def named(train: Any, evaluation: Any) -> list[Named]:
    """The data sets of a trainer: the train rows, and each evaluation set as a family of the split `validation`."""
    found = [Named(TRAIN, FAMILY, train)]
    if isinstance(evaluation, Mapping):
        found += [Named(EVALUATION, str(name), dataset) for name, dataset in evaluation.items()]
    elif evaluation is not None:
        found.append(Named(EVALUATION, FAMILY, evaluation))
    for one in found:
        if not hasattr(one.dataset, "__len__") or not hasattr(one.dataset, "__getitem__"):
            raise UsageError(
                f"the {one.split} data set {type(one.dataset).__name__} has no rows that can be counted; give one with "
                "len() and rows by number"
            )
    return sorted(found, key=lambda one: (one.split, one.family))


def described(given: list[Named], folder: Path) -> data.Data:
    """The data, every row of which is read; an index is written into `folder`. Raises UsageError."""
    saved = [saved_folder(one.dataset) for one in given]
    if all(path is not None for path in saved):
        sources = [
            data.hf_dataset(path, split=one.split, family=one.family)
            for one, path in zip(given, saved, strict=True)
            if path is not None
        ]
        if len(set(saved)) == len(saved):
            found = data.describe(sources)
            # A slice of a saved data set has the same files.
            if [family.sequences for family in found.families] == [len(one.dataset) for one in given]:
                return found
    return data.describe(data.index(_index(given, folder)))


def folder_of(given: list[Named]) -> Path | None:
    """The folder below which the files of all data sets lie; null where one of them is not saved as it is."""
    saved = [path for one in given if (path := saved_folder(one.dataset)) is not None]
    return Path(os.path.commonpath(saved)) if len(saved) == len(given) else None


def count_all_but_first(given: list[tuple[Numbered, Carrier]]) -> bool:
    """Whether collators give each row of the data sets a loss on every token but its first. Every row is collated."""
    with _kept_generators():
        for rows, collate in given:
            for first in range(0, len(rows), _BATCH_ROWS):
                held = taken(collate(rows.__getitems__(range(first, min(first + _BATCH_ROWS, len(rows))))))
                if held is None or held.targets is None or (held.targets != held.lengths - 1).any():
                    return False
    return True


@contextmanager
def _kept_generators() -> Iterator[None]:
    """A collator may draw random numbers, and training must not see that it was asked."""
    import torch

    drawn, of_numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(drawn)
        np.random.set_state(of_numpy)


def saved_folder(dataset: Any) -> Path | None:
    """The folder of `save_to_disk` that holds exactly these rows; null where there is none, or where rows have padding
    of their own."""
    paths = [Path(file["filename"]).absolute() for file in getattr(dataset, "cache_files", None) or []]
    if not paths or getattr(dataset, "_indices", None) is not None or dataset.format["type"] == "custom":
        return None
    folder = paths[0].parent
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if [folder / file["filename"] for file in state["_data_files"]] != paths:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if "attention_mask" in dataset.column_names:
        import pyarrow.compute as pc

        if pc.min(pc.list_flatten(dataset.data.column("attention_mask"))).as_py() != 1:
            return None
    return folder


def _index(given: list[Named], folder: Path) -> Path:
    """A sequence index of what the rows hold, each its own document."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from psion_ledger.log.indexes import SEQUENCE_INDEX_SCHEMA

    path = folder / "index.parquet"
    with pq.ParquetWriter(path, SEQUENCE_INDEX_SCHEMA) as file:
        part = list[dict[str, Any]]()
        for number, row in enumerate(_rows(given)):
            part.append({"sequence_id": number, **row})
            if len(part) == _PART_ROWS:
                file.write_table(pa.Table.from_pylist(part, SEQUENCE_INDEX_SCHEMA))
                part = []
        if part:
            file.write_table(pa.Table.from_pylist(part, SEQUENCE_INDEX_SCHEMA))
    return path


def _rows(given: list[Named]) -> Iterator[dict[str, Any]]:
    for one in given:
        rows = one.dataset
        if hasattr(rows, "select_columns"):
            rows = rows.select_columns([name for name in ("input_ids", "attention_mask") if name in rows.column_names])
        for number in range(len(rows)):
            ids = _tokens(rows[number], f"row {number} of the {one.split} data set")
            name = f"{one.split}/{one.family}/{number}"
            yield {
                "split_name": one.split,
                "source_family_id": one.family,
                "tokens": len(ids),
                "token_sha256": token_sha256(ids),
                "documents": [
                    {"source_id": one.family, "document_id": name, "first_token": 0, "tokens": len(ids)}
                ],
            }  # fmt: skip


def _tokens(feature: Any, what: str) -> Any:
    try:
        ids = np.asarray(feature["input_ids"])
        mask = feature.get("attention_mask")
    except (AttributeError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"{what}: it has no input_ids; tokenize the data set before it is trained on") from error
    if mask is not None:
        ids = ids[np.asarray(mask) != 0]
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or not len(ids):
        raise UsageError(f"{what}: input_ids are {ids.dtype} of shape {ids.shape}; expected some token ids in a row")
    return ids
