"""The SQL of the project as values: every file under `queries/` is a header and one SELECT.

A header is the file's leading comment lines, `-- key: value`; a line that goes on is indented behind `--`.
"""

import functools
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

_HEADER = re.compile(r"-- ([a-z_]+): (.*)")
_WORD = re.compile(r"[a-z_][a-z0-9_]*")


class Query(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One file: its stem, the path below `queries/`, its header and its SQL without the header."""

    name: str
    path: str
    header: dict[str, str]
    sql: str

    @functools.cached_property
    def words(self) -> frozenset[str]:
        """Every identifier-like word of the SQL, comments left out: what it may read."""
        return frozenset(_WORD.findall(re.sub(r"--[^\n]*|'[^']*'", " ", self.sql)))


def queries_folder() -> Path:
    """Inside the package when installed from a wheel, beside it in a clone."""
    packaged = Path(__file__).with_name("queries")
    return packaged if packaged.is_dir() else Path(__file__).parent.with_name("queries")


def parse(text: str, path: str) -> Query:
    header: dict[str, str] = {}
    lines = text.splitlines()
    key = ""
    body = len(lines)
    for count, line in enumerate(lines):
        if match := _HEADER.fullmatch(line):
            key = match[1]
            header[key] = match[2].strip()
        elif key and line.startswith("--   "):
            header[key] += " " + line[5:].strip()
        else:
            body = count
            break
    sql = "\n".join(lines[body:]).strip().removesuffix(";")
    assert header.get("name") == Path(path).stem, f"queries/{path}: its name must be its file's stem"
    return Query(name=header["name"], path=path, header=header, sql=sql)


@functools.cache
def load(folder: str) -> tuple[Query, ...]:
    """The queries below one folder of `queries/`, by path."""
    root = queries_folder()
    return tuple(
        parse(path.read_text(encoding="utf-8"), path.relative_to(root).as_posix())
        for path in sorted((root / folder).rglob("*.sql"))
    )


@functools.cache
def views() -> tuple[Query, ...]:
    """All views, each behind the views that it reads."""
    return tuple(_in_order(load("views")))


def laws() -> tuple[Query, ...]:
    return load("invariants")


def report(name: str) -> Query:
    """The query of a report that this package has."""
    return next(query for query in load("reports") if query.name == name)


def needed(views: Iterable[Query], words: Iterable[str]) -> list[Query]:
    """Those of `views` (in order) that a query with these words reads, directly or not."""
    by_name = {view.name: view for view in views}
    found: set[str] = set()
    pending = [word for word in words if word in by_name]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(word for word in by_name[name].words if word in by_name)
    return [view for name, view in by_name.items() if name in found]


def _in_order(queries: Iterable[Query]) -> list[Query]:
    by_name = {query.name: query for query in queries}
    ordered: dict[str, Query] = {}

    def place(name: str, waiting: tuple[str, ...]) -> None:
        assert name not in waiting, f"views read each other: {' -> '.join((*waiting, name))}"
        for word in sorted(by_name[name].words & by_name.keys() - {name}):
            if word not in ordered:
                place(word, (*waiting, name))
        ordered[name] = by_name[name]

    for name in sorted(by_name):
        if name not in ordered:
            place(name, ())
    return list(ordered.values())
