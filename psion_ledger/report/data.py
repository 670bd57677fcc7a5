"""What a look at token data says, for people and for machines."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec
from rich.padding import Padding
from rich.table import Table

from psion_ledger.data import Data
from psion_ledger.data.opening import FoundFile
from psion_ledger.report.console import console, text

_COLUMNS = ("split", "source family", "files", "format", "sequences", "tokens", "shortest", "longest", "tail")


def values(found: list[FoundFile], data: Data | None) -> dict[str, Any]:
    """`psion_ledger.data.v1` without its schema; `families` and what goes with them are null for streams that were not
    cut."""
    described = dict.fromkeys(("dataset_identity", "unit", "sequence_tokens", "tail_tokens", "families"))
    if data is not None:
        described |= {name: msgspec.to_builtins(getattr(data, name)) for name in described}
    return {**described, "files": msgspec.to_builtins(found)}


def print_data(found: list[FoundFile], data: Data | None, sequence_tokens: int | None) -> None:
    out = console()
    tokens = sum(file.tokens for file in found)
    out.print(text(f"{tokens:,} tokens; files: {len(found):,}", "bold"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name in ("split", "source family", "format") else "right")
    for row in _rows(found, data, sequence_tokens):
        table.add_row(*map(text, row))
    out.print(Padding(table, (0, 0, 0, 2)))
    if data is None:
        out.print(text("  streams are not cut yet: give --sequence-tokens N to see their sequences"))
        return
    out.print(text(f"  dataset {data.dataset_identity}, files below {data.root}"))


def _rows(found: list[FoundFile], data: Data | None, sequence_tokens: int | None) -> Iterator[list[str]]:
    """A line a split and family."""
    families = [] if data is None else data.families
    sequences = {(family.split_name, family.source_family_id): family for family in families}
    for key, group in groupby(found, lambda file: (file.split_name, file.source_family_id)):
        own, family = list(group), sequences.get(key)
        kinds = sorted({f"{file.format} {file.dtype}" for file in own})
        lengths = [length for file in own for length in (file.shortest, file.longest) if length is not None]
        if sequence_tokens is not None and data is not None:
            # Of windows, or of what streams were cut into.
            is_window = data.unit == "window"
            lengths = [sequence_tokens] if is_window or any(file.is_stream for file in own) else lengths
        tokens = sum(file.tokens for file in own)
        yield [
            *key, f"{len(own):,}", ", ".join(kinds),
            *("-" if value is None else f"{value:,}" for value in (
                None if family is None else family.sequences, tokens,
                min(lengths, default=None), max(lengths, default=None),
                None if family is None else tokens - family.tokens,
            )),
        ]  # fmt: skip
