"""A command about token data: what it holds, before anybody trains on it."""

from typing import Annotated, Literal

import typer

from psion_ledger.cli.app import DocumentFormat, app, guarded, phase

Kinds = Literal["raw", "npy", "parquet", "megatron", "datasets", "folders"]
Types = Literal["uint8", "uint16", "uint32", "uint64", "int32", "int64"]


@app.command()
@guarded
def data(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Files, a glob, a folder of <split>/<family>/, a Megatron prefix, or a folder of save_to_disk.",
        ),
    ],
    kind: Annotated[
        Kinds | None, typer.Option("--as", help="How ids are written, where the name does not say.")
    ] = None,
    dtype: Annotated[Types, typer.Option("--dtype", help="The type of an id in raw files.")] = "uint16",
    column: Annotated[
        str, typer.Option("--column", help="The column of token ids, of Parquet and Arrow.")
    ] = "input_ids",
    split: Annotated[
        str, typer.Option("--split", help="The split of files that do not stand in a folder of it.")
    ] = "train",
    sequence_tokens: Annotated[
        int | None, typer.Option("--sequence-tokens", min=1, help="The length that streams are cut into.")
    ] = None,
    unit: Annotated[
        Literal["sequence", "window"], typer.Option("--unit", help="Rows, or windows that begin at any token.")
    ] = "sequence",
    format: DocumentFormat = "rich",
) -> int:
    """Look at token data: its splits and families, sequences, tokens, types, lengths, and what is too short for a
    sequence; every byte is read and checked."""
    from psion_ledger.data.describing import check, cut, look
    from psion_ledger.data.sources import guessed
    from psion_ledger.report import data as report
    from psion_ledger.report import machine

    check(sequence_tokens, unit, None)
    with phase(f"reading {paths[0]}"):
        found = look([guessed(path, kind, split, dtype, column) for path in paths])
    uncut = sequence_tokens is None and any(file.is_stream for file in found)
    described = None if uncut else cut(found, sequence_tokens, unit, {})
    if format == "json":
        print(machine.document("psion_ledger.data.v1", report.values(found, described)))
    else:
        report.print_data(found, described, sequence_tokens)
    return 0
