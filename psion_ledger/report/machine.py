"""Rows and documents for machines: JSON that carries its schema version, and CSV. What JSON lacks is a string."""

import csv
import io
import math
from collections.abc import Iterable
from typing import Any

import msgspec

from psion_ledger.escape import csv_cell, json_safe


def jsonable(value: Any) -> Any:
    """A value of a query's row as JSON has it: bytes as hex, non-finite floats as strings, the rest as it is."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, dict):
        return {str(key): jsonable(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(part) for part in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def document(schema: str, values: dict[str, Any]) -> str:
    """An indented JSON document whose first member is its schema."""
    made = msgspec.json.format(msgspec.json.encode(jsonable({"schema": schema, **values})), indent=2)
    return json_safe(made.decode())


def csv_text(names: list[str], rows: Iterable[tuple[Any, ...]]) -> str:
    """RFC 4180 CSV with a header; no cell that a spreadsheet would run."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([csv_cell(name) for name in names])
    for row in rows:
        writer.writerow([csv_cell(_cell(value)) for value in row])
    return out.getvalue()


def _cell(value: Any) -> Any:
    flat = jsonable(value)
    return msgspec.json.encode(flat).decode() if isinstance(flat, (dict, list)) else flat
