"""Where token data is: values that a user makes. Nothing is opened or listed before they are described."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from psion_ledger.contracts.token_data import TOKEN_BYTES, FileFormat, TokenType
from psion_ledger.errors import UsageError
from psion_ledger.log import files

FAMILY, SPLIT, COLUMN = "text", "train", "input_ids"
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
Kind = Literal["raw", "npy", "parquet", "megatron", "datasets", "folders", "index"]
# Which files of a folder are meant.
SUFFIXES: dict[str, Literal["raw", "npy", "parquet"]] = {".bin": "raw", ".npy": "npy", ".parquet": "parquet"}
_PATTERN = frozenset("*?[")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Files or folders of one kind, their split and family; of folders, which name theirs, both are null."""

    kind: Kind
    paths: tuple[str, ...]
    split: str | None
    family: str | None
    dtype: TokenType = "uint16"
    column: str = COLUMN


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a source. `dtype` is what the user says of a raw one."""

    path: Path
    format: FileFormat
    split: str
    family: str
    dtype: TokenType
    column: str | None


def shards(paths: Paths, dtype: TokenType = "uint16", *, split: str = SPLIT, family: str | None = None) -> Source:
    """Raw files of little-endian token ids and nothing else (nanoGPT's `.bin`, OLMo's `.npy` without a header).

    `paths`: a file, a folder (its `*.bin`), a glob (its files sorted by name), or a list of these, in order. Each file
    is a stream, cut by `sequence_tokens`. `family`: `text` where none is given. Raises UsageError for another `dtype`.
    """
    if dtype not in TOKEN_BYTES:
        raise UsageError(f"dtype={dtype!r}: token ids are one of {', '.join(TOKEN_BYTES)}")
    return Source(kind="raw", paths=_listed(paths), split=split, family=family, dtype=dtype)


def npy(paths: Paths, *, split: str = SPLIT, family: str | None = None) -> Source:
    """Files of `numpy.save`: of one dimension a stream, cut by `sequence_tokens`; of two, a sequence a row. `paths` and
    `family` as in `shards`."""
    return Source(kind="npy", paths=_listed(paths), split=split, family=family)


def parquet(paths: Paths, column: str = COLUMN, *, split: str = SPLIT, family: str | None = None) -> Source:
    """Parquet files with a column of lists of token ids: a sequence a row, of any lengths. `paths` and `family` as in
    `shards`."""
    return Source(kind="parquet", paths=_listed(paths), split=split, family=family, column=column)


def megatron(prefixes: Paths, *, split: str = SPLIT, family: str | None = None) -> Source:
    """Pairs `<prefix>.bin` and `<prefix>.idx` of Megatron: a sequence of the index a row, with its document. `family`
    as in `shards`; a prefix may be given with either suffix, as a glob, or as the folder of its pairs."""
    return Source(kind="megatron", paths=_listed(prefixes), split=split, family=family)


def hf_dataset(
    path: str | os.PathLike[str], column: str = COLUMN, *, split: str | None = None, family: str | None = None
) -> Source:
    """A folder that `datasets.save_to_disk` wrote: a sequence a row. Of a DatasetDict all splits under their own names,
    or the one that `split` names; a single Dataset is `split`, or the split that it says of itself, or `train`."""
    return Source(kind="datasets", paths=_listed(path), split=split, family=family, column=column)


def folders(path: str | os.PathLike[str], *, dtype: TokenType = "uint16", column: str = COLUMN) -> Source:
    """A folder laid out as `<split>/<family>/<files>`, or `<split>/<files>` for the family `text`. Each file is read by
    its name: `.npy`, `.parquet`, `.bin` with a `.idx` beside it (Megatron), another `.bin` (raw, of `dtype`); files
    with other names are passed over."""
    return Source(kind="folders", paths=_listed(path), split=None, family=None, dtype=dtype, column=column)


def index(paths: Paths) -> Source:
    """The sequence index itself, for data that only its owner can read: Parquet files with the columns of
    `psion_ledger.log.indexes.SEQUENCE_INDEX_SCHEMA`, in the order of their ids. Nothing of it can be replayed."""
    return Source(kind="index", paths=_listed(paths), split=None, family=None)


def _listed(paths: Paths) -> tuple[str, ...]:
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    return tuple(os.fspath(path) for path in paths)


def entries(source: Source) -> Iterator[Entry]:
    """The files of a source, in order. Raises UsageError where there is none, Unreadable for what cannot be listed."""
    for path in source.paths:
        if source.kind == "folders":
            yield from _of_folders(source, Path(path))
        elif source.kind == "datasets":
            from psion_ledger.data.datasets_folders import arrow_files

            for split, file in arrow_files(Path(path), source.split):
                yield _entry(source, file, "arrow", split=split)
        elif source.kind == "megatron":
            for file in matching(path, ".bin", is_prefix=True):
                yield _entry(source, file, "megatron")
        elif source.kind != "index":
            suffix = next(suffix for suffix, known in SUFFIXES.items() if known == source.kind)
            for file in matching(path, suffix):
                yield _entry(source, file, source.kind)


def _entry(source: Source, path: Path, kind: FileFormat, split: str | None = None, family: str | None = None) -> Entry:
    return Entry(
        path=path,
        format=kind,
        split=split or source.split or SPLIT,
        family=family or source.family or FAMILY,
        dtype=source.dtype,
        column=source.column if kind in ("parquet", "arrow") else None,
    )


def matching(text: str, suffix: str, *, is_prefix: bool = False) -> list[Path]:
    """The files that a path, a folder or a glob means. What stands there under the very name is no pattern."""
    if Path(text).is_dir():
        found = [own for own in listing(Path(text)) if own.suffix == suffix]
        if not found:
            raise UsageError(f"{text}: no file *{suffix} in this folder; name the files, or another folder")
        return found
    if is_prefix:
        text = text.removesuffix(".idx").removesuffix(suffix) + suffix
    path = Path(text)
    if os.path.lexists(path) or not _PATTERN & set(text):
        return [path]
    found = [Path(name) for name in sorted(glob.glob(text, recursive=True)) if not os.path.isdir(name)]
    if not found:
        raise UsageError(f"{text}: no file matches; a relative pattern begins in {Path.cwd()}")
    return found


def listing(folder: Path) -> list[Path]:
    """What is in a folder, sorted by name. Raises UsageError where none is, Unreadable."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder}: no such folder") from None
    except OSError as error:
        raise files.inaccessible(folder, error) from error


def _of_folders(source: Source, root: Path) -> Iterator[Entry]:
    found = False
    for split in listing(root):
        if not split.is_dir():
            continue
        for own in listing(split):
            inside = listing(own) if own.is_dir() else [own]
            for file in inside:
                if (kind := named(file)) is not None:
                    found = True
                    yield _entry(source, file, kind, split=split.name, family=own.name if own.is_dir() else None)
    if not found:
        raise UsageError(
            f"{root}: no token files as <split>/<family>/*.npy, .parquet or .bin; name the files themselves"
        )


def named(path: Path) -> Literal["raw", "npy", "parquet", "megatron"] | None:
    """The format that a file's name says."""
    kind = SUFFIXES.get(path.suffix)
    return "megatron" if kind == "raw" and path.with_suffix(".idx").exists() else kind


def known(given: Any) -> list[Source]:
    """One source or several, as a list. Raises UsageError for anything else."""
    found = [given] if isinstance(given, Source) else list(given)
    if not found or not all(isinstance(one, Source) for one in found):
        raise UsageError("no source of token data: give data.npy(...), data.shards(...) or others, or a list of them")
    return found


def guessed(path: str, kind: Kind | None, split: str, dtype: TokenType, column: str) -> Source:
    """The source that a path means: by `kind` where that is given, else by its name, and of a folder by what is in it.
    Raises UsageError where nothing says it."""
    kind = kind or _kind_of(Path(path))
    if kind is None:
        raise UsageError(f"{path}: its name does not say how token ids are written; say it with --as")
    named_split = None if kind in ("datasets", "folders", "index") else split
    return Source(kind=kind, paths=(path,), split=named_split, family=None, dtype=dtype, column=column)


def _kind_of(path: Path) -> Kind | None:
    if path.is_dir():
        inside = listing(path)
        if {"state.json", "dataset_dict.json"} & {own.name for own in inside}:
            return "datasets"
        if any(own.is_dir() for own in inside):
            return "folders"
        return next((kind for own in inside if (kind := named(own)) is not None), None)
    if path.suffix == ".idx" or Path(f"{path}.idx").exists():
        return "megatron"
    return named(path)
