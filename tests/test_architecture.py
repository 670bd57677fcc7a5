"""Imports go one way, the heavy ones are late, and nothing grows past what one reads in one sitting."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import psion_ledger

REPO = Path(__file__).resolve().parents[1]
FILE_LINES_MAX, FUNCTION_LINES_MAX = 300, 70
# Tables and schemas may be longer.
LONGER_FILES = {
    "psion_ledger/events.py": "the vocabulary: one Struct a kind",
}
# Functions that are one table and nothing else.
TABLES = {"_breaks"}
HEAVY = ("duckdb", "_duckdb", "pyarrow", "torch", "numpy", "cryptography")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (REPO / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(REPO).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def exists(module: str) -> bool:
    path = REPO.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere in it, inside functions and for type checking, too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if exists(inner) else node.module


def layers() -> list[list[str]]:
    """The rows of the map in psion_ledger's docstring: the modules and packages of each, in its order."""
    rows = [
        re.split(r" {2,}", line.strip())
        for line in (psion_ledger.__doc__ or "").splitlines()
        if line.startswith("    ")
    ]
    return [[name.removesuffix("/") for name in row[1:-1]] for row in rows]


def unit(module: str) -> str:
    """The module or package of the map that a module belongs to."""
    return module.split(".")[1] if "." in module else ""


def test_the_map_names_every_module() -> None:
    """And no other; the package itself and its `__main__` are its two doors."""
    found = {path.stem for path in (REPO / "psion_ledger").glob("*.py")} - {"__init__", "__main__"}
    found |= {path.parent.name for path in (REPO / "psion_ledger").glob("*/__init__.py")}
    assert sorted(found) == sorted(name for row in layers() for name in row)


def test_imports_go_one_way() -> None:
    """A module imports what stands before it in the map, or what is in its own package."""
    order = {name: place for place, name in enumerate(name for row in layers() for name in row)}
    backwards = [
        f"{module_name(path)} imports {imported}"
        for path in sources("psion_ledger")
        for imported in imports(path)
        if imported.startswith("psion_ledger.") and unit(module_name(path)) in order
        if order[unit(imported)] > order[unit(module_name(path))]
    ]
    assert sorted(set(backwards)) == []


@pytest.mark.parametrize("package", ["psion_ledger", "trainer"])
def test_no_two_modules_import_each_other(package: str) -> None:
    """File by file, late imports and packages' own files included; the root package only points in."""
    graph = {
        module_name(path): {name for name in imports(path) if name.startswith(f"{package}.")} - {module_name(path)}
        for path in sources(package)
        if module_name(path) != package
    }
    inward = {name for name in graph if any(other.startswith(f"{name}.") for other in graph)}
    # A package's __init__ imports its files; they may import each other through it, but not from it.
    for name in inward:
        graph[name] = set()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle: {' -> '.join(error.args[1])}")


def test_the_auditor_imports_neither_torch_nor_the_trainer() -> None:
    """An auditor installs none of them. An integration imports its library when it is used, but never the trainer."""
    libraries = ("torch", "tokenizers", "safetensors", "transformers", "accelerate", "datasets")
    found = [
        f"{module_name(path)} imports {imported}"
        for path in sources("psion_ledger")
        for imported in imports(path)
        if imported.split(".")[0] in ("trainer", *(libraries if "integrations" not in path.parts else ()))
    ]
    assert found == []
    early = [
        f"{module_name(path)}:{node.lineno}"
        for path in sources("psion_ledger/integrations")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.Import, ast.ImportFrom)) and not _is_ours(node)
    ]
    assert early == []


def _is_ours(node: ast.Import | ast.ImportFrom) -> bool:
    """An import of this package, of what it depends on, or of Python's library."""
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    known = {"psion_ledger", "msgspec", "numpy", *sys.stdlib_module_names}
    return all(name.split(".")[0] in known for name in names)


def test_the_trainer_uses_the_public_api_only() -> None:
    """The package's own names, and the modules among them, as anybody's trainer would."""
    public = {"psion_ledger", *(f"psion_ledger.{name}" for name in psion_ledger.__all__)}
    private = {
        (path.relative_to(REPO).as_posix(), imported)
        for path in sources("trainer")
        for imported in imports(path)
        if imported.split(".")[0] == "psion_ledger" and imported not in public
        if not imported.startswith("psion_ledger.integrations.")
    }
    assert private == set()


def test_the_examples_are_short_and_use_the_public_api() -> None:
    """At most 40 lines; what a reader copies needs no module of the trainer, and nothing inside psion_ledger."""
    examples = sources("trainer/examples")
    longer = [path.name for path in examples if len(path.read_text(encoding="utf-8").splitlines()) > 40]
    own = {name for path in examples for name in imports(path) if exists(name)}
    public = {"psion_ledger", *(f"psion_ledger.{name}" for name in psion_ledger.__all__)}
    inner = {name for name in own - public if not name.startswith("psion_ledger.integrations.")}
    assert (longer, inner) == ([], set())


def test_the_two_orders_share_no_code() -> None:
    """Neither imports the other, nor a module of this project that both would import."""
    own = set(imports(REPO / "trainer" / "order.py"))
    assert {name for name in own if exists(name)} == set()


def loaded(*command: str) -> set[str]:
    """The top-level modules that a Python process had loaded when it ended well."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], cwd=REPO, capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize(
    "command",
    [
        ("-c", "import psion_ledger; psion_ledger.__version__"),
        ("-c", "from psion_ledger import events, log; log.open_writer"),
        ("-m", "psion_ledger", "--help"),
        ("-m", "psion_ledger", "audit", "--help"),
    ],
    ids=["import", "a writer", "--help", "audit --help"],
)
def test_what_pays_late_is_not_loaded_early(command: tuple[str, ...]) -> None:
    """Neither DuckDB nor pyarrow nor torch, which cost tenths of a second and more."""
    found = loaded(*command)
    assert ("psion_ledger" in found, set()) == (True, found & set(HEAVY))


def test_an_integration_imports_its_library_when_it_is_used() -> None:
    """Each module of them is there without the library that it records."""
    modules = [module_name(path) for path in sources("psion_ledger/integrations")]
    found = loaded("-c", f"import {', '.join(modules)}")
    assert found & {"torch", "transformers", "accelerate", "datasets"} == set()


def test_the_public_names_are_there() -> None:
    """What `import psion_ledger` gives, late as it is."""
    assert all(hasattr(psion_ledger, name) for name in psion_ledger.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        psion_ledger.nothing  # noqa: B018


def test_files_stay_short() -> None:
    """Under 300 lines, but for tables."""
    lines = {
        path.relative_to(REPO).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources("psion_ledger", "trainer", "fixtures")
    }
    longer = {name: count for name, count in lines.items() if count >= FILE_LINES_MAX}
    assert set(LONGER_FILES) == set(longer), longer


def test_functions_stay_short() -> None:
    """Under 70 lines, tests too."""
    longer = [
        f"{path.relative_to(REPO)}:{node.lineno} {node.name}"
        for path in sources("psion_ledger", "trainer", "fixtures", "tests")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name not in TABLES
        and (node.end_lineno or 0) - node.lineno + 1 >= FUNCTION_LINES_MAX
    ]
    assert longer == []


def test_the_project_names_no_place_of_ours() -> None:
    """No absolute path of a machine that it was written on."""
    texts = [path for path in sources("psion_ledger", "trainer", "fixtures", "tests") if path != Path(__file__)]
    texts += [*(REPO / "queries").rglob("*.sql"), *REPO.glob("*.md"), REPO / "pyproject.toml"]
    named = [str(path) for path in texts if re.search(r"/(work|root)/", path.read_text(encoding="utf-8"))]
    assert named == []
