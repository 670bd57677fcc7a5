"""What a look at an order file says, for people and for machines."""

from typing import Any

import msgspec

from psion_ledger.orders.inspection import Inspection
from psion_ledger.report.console import console, text


def values(found: Inspection) -> dict[str, Any]:
    known: dict[str, Any] = msgspec.to_builtins(found)
    return known | {"faults": found.faults}


def print_inspection(found: Inspection) -> None:
    out = console()
    out.print(text(f"{'LOOK AT THIS' if found.faults else 'nothing odd'}  {found.path}", "bold"))
    for name, said in _lines(found):
        out.print(text(f"  {name:<16} {said}"))


def _lines(found: Inspection) -> list[tuple[str, str]]:
    lines = [
        ("ids", f"{found.ids:,} ({found.format}, {found.bytes:,} bytes)"),
        ("range", "none" if found.lowest is None else f"{found.lowest:,} to {found.highest:,}"),
        ("sha256", found.sha256),
        ("zeros", f"{found.zeros:,}"),
    ]
    if (stretch := found.longest_stretch) is not None:
        at = f"{stretch.ids:,} times {stretch.value:,}, from position {stretch.first_position:,}"
        lines.append(("longest stretch", at))
    if found.rows is None:
        return [*lines, ("rows", "give --rows N to look for ids beyond the data, and for repeats in a pass")]
    outside = f"{found.outside:,}" + ("" if found.first_outside is None else f", first at {found.first_outside:,}")
    lines.append(("beyond the data", f"{outside} (the data have {found.rows:,} rows)"))
    if found.pass_positions is not None:
        whole, rest = divmod(found.ids, found.pass_positions)
        lines.append(("passes", f"{whole:,} of {found.pass_positions:,} positions, and {rest:,} positions more"))
        where = "" if found.first_repeat is None else f", first at {found.first_repeat:,}"
        lines.append(("repeats", f"{found.repeats:,} in {found.passes_with_repeats:,} passes{where}"))
    return lines
