"""Where a setting comes from: a flag, else PSION_LEDGER_*, else `[tool.psion-ledger]` in the nearest pyproject.toml."""

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from psion_ledger.errors import UsageError

NAMES = ("ledger", "artifacts")
BYTES_MAX = 1 << 20


def from_pyproject(start: Path) -> dict[str, str]:
    """The project's settings; relative paths are relative to the pyproject.toml that gives them. Raises UsageError."""
    for folder in (start, *start.parents):
        path = folder / "pyproject.toml"
        text = _read(path)
        if text is None:
            continue
        try:
            table: Any = tomllib.loads(text)
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


def _read(path: Path) -> str | None:
    """The text of a regular file; None where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    with os.fdopen(fd, "rb") as file:
        data = file.read(BYTES_MAX + 1)
    if len(data) > BYTES_MAX:
        raise UsageError(f"{path}: larger than {BYTES_MAX:,} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8: {error}") from error
