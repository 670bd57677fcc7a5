"""What is installed: every dependency has bounds, and the tested versions lie within them."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(text) for group in groups for text in group]


def constraints() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): Version(version) for name, version in pairs}


def test_every_dependency_has_a_lower_and_an_upper_bound() -> None:
    """Or is pinned."""
    operators = {one.name: {clause.operator for clause in one.specifier} for one in requirements()}
    assert [name for name, found in operators.items() if found not in ({">=", "<"}, {"=="})] == []


def test_the_tested_versions_lie_within_the_bounds() -> None:
    """And no dependency is without one."""
    tested = constraints()
    assert [one.name for one in requirements() if tested[one.name] not in one.specifier] == []


def test_the_readme_installs_what_was_tested() -> None:
    """Both of its commands, which the whole check runs."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    installing = [line for line in readme.splitlines() if "pip install" in line and "-e '.[" in line]
    assert len(installing) == 2
    assert [line for line in installing if "-c constraints.txt" not in line] == []
