"""Where a setting comes from: a flag, else PSION_LEDGER_*, else `[tool.psion-ledger]` in the nearest pyproject.toml."""

import os
import tomllib
from pathlib import Path
from typing import Any

from psion_ledger.errors import UsageError
from psion_ledger.inputs import read_input

NAMES = ("ledger", "artifacts")
BYTES_MAX = 256 << 10
# The parser takes time and memory by the square of the parts of a key.
DOTS_A_LINE_MAX = 1000


def from_pyproject(start: Path) -> dict[str, str]:
    """The project's settings; relative paths are relative to the pyproject.toml that gives them. Raises UsageError."""
    for folder in (start, *start.parents):
        path = folder / "pyproject.toml"
        if not os.path.lexists(path):
            continue
        data, _ = read_input(path, BYTES_MAX)
        if any(line.count(b".") > DOTS_A_LINE_MAX for line in data.splitlines()):
            raise UsageError(f"{path}: a line has more than {DOTS_A_LINE_MAX:,} dots, which no such file has")
        try:
            table: Any = tomllib.loads(data.decode())
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path}: is no TOML: {error}") from error
        for name in ("tool", "psion-ledger"):
            table = table.get(name, {})
            if not isinstance(table, dict):
                raise UsageError(f"{path}: {name} is no table; write settings under [tool.psion-ledger]")
        if unknown := sorted(set(table) - set(NAMES)):
            raise UsageError(
                f"{path}: [tool.psion-ledger] has no setting {', '.join(unknown)}; it has {', '.join(NAMES)}"
            )
        if wrong := sorted(name for name, value in table.items() if not isinstance(value, str) or "\0" in value):
            raise UsageError(f"{path}: [tool.psion-ledger] {', '.join(wrong)} must be the path of a folder, as text")
        return {name: str(folder / value) for name, value in table.items()}
    return {}
