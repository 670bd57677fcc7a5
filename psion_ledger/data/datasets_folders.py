"""Folders of `datasets.save_to_disk`: JSON that names the Arrow files. Read without that library."""

from pathlib import Path
from typing import TypeVar

import msgspec

from psion_ledger.errors import Unreadable, UsageError
from psion_ledger.log import files

T = TypeVar("T", bound=msgspec.Struct)
STATE, SPLITS = "state.json", "dataset_dict.json"


class _File(msgspec.Struct):
    filename: str


class _State(msgspec.Struct):
    data_files: list[_File] = msgspec.field(name="_data_files")
    split: str | None = msgspec.field(name="_split", default=None)
    indices_files: list[_File] | None = msgspec.field(name="_indices_data_files", default=None)


class _Splits(msgspec.Struct):
    splits: list[str]


def arrow_files(folder: Path, split: str | None) -> list[tuple[str | None, Path]]:
    """Each file with its split (null: nobody says it), in order. Raises UsageError for a folder or a split that is not
    there, Unreadable for other contents."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give the one that save_to_disk wrote")
    if not (folder / SPLITS).exists():
        state = _decoded(folder / STATE, _State)
        return [(split or state.split, file) for file in _files(folder, state)]
    names = _decoded(folder / SPLITS, _Splits).splits
    if split is not None and split not in names:
        raise UsageError(f"{folder}: no split {split!r}; it has {', '.join(names)}")
    found = list[tuple[str | None, Path]]()
    for name in names if split is None else [split]:
        own = folder / _plain(folder / SPLITS, name)
        found += [(name, file) for file in _files(own, _decoded(own / STATE, _State))]
    return found


def _files(folder: Path, state: _State) -> list[Path]:
    if state.indices_files:
        raise Unreadable(f"{folder / STATE}: its rows are chosen by a table of indices; save flatten_indices() of it")
    return [folder / _plain(folder / STATE, file.filename) for file in state.data_files]


def _plain(named_by: Path, name: str) -> str:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise Unreadable(f"{named_by}: names {name!r}, which is no file of its folder")
    return name


def _decoded(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(files.read_regular(path), type=kind)
    except FileNotFoundError:
        raise UsageError(f"{path}: missing; give a folder that save_to_disk wrote") from None
    except files.UNDECODABLE as error:
        raise Unreadable(f"{path}: not what save_to_disk writes: {str(error).splitlines()[0]}") from error
