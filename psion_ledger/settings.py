"""Where a setting comes from: a flag, else PSION_LEDGER_*, else `[tool.psion-ledger]` in the nearest pyproject.toml."""

import tomllib
from pathlib import Path

from psion_ledger.errors import UsageError

NAMES = ("ledger", "artifacts")


def from_pyproject(start: Path) -> dict[str, str]:
    """The project's settings; relative paths are relative to the pyproject.toml that gives them."""
    for folder in (start, *start.parents):
        path = folder / "pyproject.toml"
        if not path.is_file():
            continue
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("psion-ledger", {})
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: cannot be read: {error}") from error
        unknown = sorted(set(table) - set(NAMES))
        if unknown:
            raise UsageError(
                f"{path}: [tool.psion-ledger] has no setting {', '.join(unknown)}; it has {', '.join(NAMES)}"
            )
        return {name: str(folder / str(value)) for name, value in table.items()}
    return {}
