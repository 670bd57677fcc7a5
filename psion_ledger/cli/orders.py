"""A command about an order file: what it holds, before anybody trains by it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from psion_ledger.cli.app import DocumentFormat, app, guarded, phase


class Ids(StrEnum):
    u4 = "u4"
    u8 = "u8"
    npy = "npy"
    parquet = "parquet"


@app.command()
@guarded
def order(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file of ids, one a position: .u4, .u8, .npy or .parquet.")
    ],
    rows: Annotated[int | None, typer.Option("--rows", min=1, help="How many rows the data have.")] = None,
    pass_positions: Annotated[
        int | None, typer.Option("--pass", min=1, help="Positions of a pass (default: as many as there are rows).")
    ] = None,
    ids: Annotated[Ids | None, typer.Option("--ids", help="How ids are written, where the name does not say.")] = None,
    format: DocumentFormat = "rich",
) -> int:
    """Look at an order file: its length, range and digest, ids beyond the data, repeats in a pass, stretches of one
    value; ends with 1 if it has any of the last three."""
    from psion_ledger.orders.inspection import inspect
    from psion_ledger.report import machine, orders

    with phase(f"reading {file}"):
        found = inspect(file, None if ids is None else ids.value, rows, pass_positions)
    if format == "json":
        print(machine.document("psion_ledger.order.v1", orders.values(found)))
    else:
        orders.print_inspection(found)
    return 1 if found.faults else 0
