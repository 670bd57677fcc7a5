"""Token data described: from files to the families of a plan, the contract of the files, and the index."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from psion_ledger.contracts.sampling_plan import PlanFamily
from psion_ledger.contracts.token_data import SCHEMA_VERSION, DocumentIndexFile, TokenData, TokenFile
from psion_ledger.data.families import Amount, numbered
from psion_ledger.data.sources import Source, entries, known
from psion_ledger.digest import canonical_json, sha256
from psion_ledger.errors import UsageError
from psion_ledger.events import SplitKind

if TYPE_CHECKING:
    from psion_ledger.data.opening import FoundFile
    from psion_ledger.data.own_index import OwnIndex

Unit = Literal["sequence", "window"]
Progress = Callable[[int, int], None]
SEQUENCE_TOKENS_MAX = 2**31 - 1


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Token data as a run declares it.

    families: for the plan, sorted by (split, family); sequence ids are dense from 0 over all of them.
    token_data: the files, or null where the data is the user's own index, which nobody can replay.
    dataset_identity: for the plan. sequence_tokens: tokens of every sequence; null where they differ.
    unit: rows, or windows at any token. root: the folder that the paths of `token_data` begin in.
    tail_tokens: at the ends of streams, too few for a sequence. files: what each file was found to hold.
    own_index: the user's own index, where it is that. progress, cache: of `index_parts`.
    """

    families: list[PlanFamily]
    token_data: TokenData | None
    dataset_identity: str
    sequence_tokens: int | None
    unit: Unit
    root: Path
    tail_tokens: int
    files: "list[FoundFile]" = msgspec.field(default_factory=list)
    own_index: "OwnIndex | None" = None
    progress: Progress | None = None
    cache: Path | None = None

    def index_parts(self) -> Iterator[tuple[bytes, int]]:
        """The sequence index, or for windows the document index, as Parquet files of a few MB each: (bytes, rows), for
        `log.add_files`. Reads every file again; memory does not grow with the data.

        `progress(rows done, rows in all)` is called behind each part. With `cache`, finished parts are kept in that
        folder, and taken from it when the same data is described again.
        Raises CannotDecide for a file that is no longer what was described.
        """
        from psion_ledger.data import indexing, own_index

        if self.own_index is not None:
            made, total = own_index.parts(self.own_index), self.families[-1].end_sequence_id
        else:
            assert self.token_data is not None, "data has files, or an index of its own"
            index = indexing.Index(self.families, self.token_data, self.root, self.cache)
            made, total = index.documents() if self.unit == "window" else index.sequences(), index.rows(self.unit)
        done = 0
        for part in made:
            yield part
            done += part[1]
            if self.progress is not None:
                self.progress(done, total)


def describe(
    sources: Source | Sequence[Source],
    *,
    sequence_tokens: int | None = None,
    unit: Unit = "sequence",
    split_kinds: Mapping[str, SplitKind] | None = None,
    dataset: str | None = None,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> Data:
    """Open the files of all sources, hash and check every byte, and say what sequences they hold.

    `sequence_tokens` cuts streams, and is the length of windows (the targets of a window are inside of it: a model that
    is trained on C targets at once takes windows of C + 1). `unit="window"` makes every `sequence_tokens` neighbours of
    a family's files, one after another, a sequence. `split_kinds` says what splits are for whose names do not: `train`,
    `validation` (`valid`, `val`, `dev`, `eval`), `test` and `held_out` do. `dataset` is `id@version`; without it,
    `data@` and a digest of the files. `progress` and `cache` are used by `Data.index_parts`.

    Raises UsageError for sources that make no sense, Unreadable for files that are empty, cut short or of another
    format; each names the file and what to do.
    """
    check(sequence_tokens, unit, dataset)
    given = known(sources)
    if any(source.kind == "index" for source in given):
        return msgspec.structs.replace(_own_index(given, unit, split_kinds or {}, dataset), progress=progress)
    return cut(look(given), sequence_tokens, unit, split_kinds or {}, dataset, progress, cache)


def cut(
    found: "list[FoundFile]", sequence_tokens: int | None, unit: Unit, kinds: Mapping[str, SplitKind],
    dataset: str | None = None, progress: Progress | None = None, cache: Path | None = None,
) -> Data:  # fmt: skip
    """The data of files that were looked at. Raises UsageError, as `describe`."""
    if unit == "sequence":
        amounts = [_whole(file, sequence_tokens) for file in found]
    else:
        amounts = _windows(found, sequence_tokens or 0)
    root, names = _named(found)
    amounts = [msgspec.structs.replace(amount, file_id=name) for amount, name in zip(amounts, names, strict=True)]
    identity = dataset or f"data@{_digest(found)[:16]}"
    files = [_token_file(*own, root) for own in zip(found, amounts, names, strict=True)]
    return Data(
        families=numbered(amounts, kinds),
        token_data=TokenData(schema_version=SCHEMA_VERSION, dataset_identity=identity, files=files),
        dataset_identity=identity,
        sequence_tokens=sequence_tokens if unit == "window" else _common_length(found, sequence_tokens),
        unit=unit,
        root=root,
        tail_tokens=sum(file.tokens for file in found) - sum(amount.tokens for amount in amounts),
        files=found,
        progress=progress,
        cache=cache,
    )


def _own_index(given: list[Source], unit: Unit, kinds: Mapping[str, SplitKind], dataset: str | None) -> Data:
    from psion_ledger.data import own_index

    if any(source.kind != "index" for source in given):
        raise UsageError("an index of your own and files cannot be described together: nothing holds its sequences")
    if unit == "window":
        raise UsageError("windows are cut from files, and an index of sequences has none: give the files")
    own = own_index.look(given)
    return Data(
        families=numbered(own.amounts, kinds),
        token_data=None,
        dataset_identity=dataset or f"data@{sha256(canonical_json(own.sha256s)).hex()[:16]}",
        sequence_tokens=own.shortest if own.shortest == own.longest else None,
        unit=unit,
        root=Path(os.path.commonpath([path.parent for path in own.paths])),
        tail_tokens=0,
        own_index=own,
    )


def look(sources: Sequence[Source]) -> "list[FoundFile]":
    """Every file of the sources, opened and read whole, in the order of their splits and families. Raises UsageError
    and Unreadable, as `describe`."""
    from psion_ledger.data import opening

    every = [entry for source in sources for entry in entries(source)]
    seen: set[Path] = set()
    for entry in every:
        if (path := Path(os.path.abspath(entry.path))) in seen:
            raise UsageError(f"{entry.path}: given twice; a file belongs to one family of one split")
        seen.add(path)
    return [opening.look(entry) for entry in sorted(every, key=lambda entry: (entry.split, entry.family))]


def check(sequence_tokens: int | None, unit: Unit, dataset: str | None) -> None:
    """Raise UsageError for what makes no sense, before a file is opened."""
    if dataset is not None and (dataset.count("@") != 1 or not all(map(str.strip, dataset.split("@")))):
        raise UsageError(f"dataset={dataset!r}: give it as id@version")
    if sequence_tokens is not None and not 0 < sequence_tokens <= SEQUENCE_TOKENS_MAX:
        raise UsageError(f"sequence_tokens={sequence_tokens}: give 1 to {SEQUENCE_TOKENS_MAX:,}")
    if unit == "window" and sequence_tokens is None:
        raise UsageError("windows have a length: give sequence_tokens=")


def _whole(file: "FoundFile", sequence_tokens: int | None) -> Amount:
    """The rows of a file, or what its stream is cut into."""
    rows, tokens = file.rows, file.tokens
    if file.is_stream:
        if sequence_tokens is None:
            raise UsageError(
                f"{file.path}: a stream of {tokens:,} tokens; say what it is cut into with sequence_tokens="
            )
        rows = tokens // sequence_tokens
        tokens = rows * sequence_tokens
        if rows == 0:
            raise UsageError(
                f"{file.path}: {file.tokens:,} tokens are less than one sequence of {sequence_tokens:,}; leave it out"
            )
    return Amount(file.split_name, file.source_family_id, None, rows, tokens)


def _windows(found: "list[FoundFile]", length: int) -> list[Amount]:
    """Of each file the windows that begin in it; they may end in a later one of the same family."""
    made = list[Amount]()
    for (split, family), group in groupby(found, lambda file: (file.split_name, file.source_family_id)):
        own = list(group)
        starts = sum(file.tokens for file in own) - length + 1
        if starts < 1:
            raise UsageError(f"{own[0].path}: the tokens of {split}/{family} are less than one window of {length:,}")
        for file, end in zip(own, accumulate(file.tokens for file in own), strict=True):
            begins = max(0, min(end, starts) - (end - file.tokens))
            made.append(Amount(split, family, None, begins, file.tokens))
    return made


def _common_length(found: "list[FoundFile]", sequence_tokens: int | None) -> int | None:
    """The length of all sequences, if they have one. Raises UsageError for a length that none of them was asked for."""
    lengths = {length for file in found for length in (file.shortest, file.longest) if length is not None}
    if any(file.is_stream for file in found) and sequence_tokens is not None:
        lengths.add(sequence_tokens)
    elif sequence_tokens is not None and lengths != {sequence_tokens}:
        raise UsageError(
            f"sequence_tokens={sequence_tokens}: it cuts streams, and these are rows of {min(lengths):,} to "
            f"{max(lengths):,} tokens; leave it out"
        )
    return lengths.pop() if len(lengths) == 1 else None


def _named(found: "list[FoundFile]") -> tuple[Path, list[str]]:
    """The deepest folder that holds all files, and each file's path in it, which is its id."""
    paths = [Path(os.path.abspath(file.path)) for file in found]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    names = [path.relative_to(root).as_posix() for path in paths]
    for name, path in zip(names, paths, strict=True):
        if "\\" in name or not name.isprintable():
            raise UsageError(f"{path}: a contract names files in plain text; rename it")
    return root, names


def _token_file(file: "FoundFile", amount: Amount, name: str, root: Path) -> TokenFile:
    index = file.index
    if index is not None:
        beside = Path(os.path.abspath(index.path)).relative_to(root).as_posix()
        index = DocumentIndexFile(path=beside, bytes=index.bytes, sha256=index.sha256)
    return TokenFile(
        file_id=name, path=name, format=file.format, dtype=file.dtype, column=file.column, bytes=file.bytes,
        sha256=file.sha256, sequences=amount.sequences, tokens=amount.tokens, index=index,
    )  # fmt: skip


def _digest(found: "list[FoundFile]") -> str:
    """Of every file's bytes, and where its rows belong."""
    return sha256(canonical_json([[file.split_name, file.source_family_id, file.sha256] for file in found])).hex()
