"""The default corpus: the Python installation's own text. Real text, and nothing to download.

Reference topics become `language_reference`; a library module becomes two documents, its docstrings
(`library_docstrings`) and its code without them (`library_code`), which always share a split. A hash of the
module's name holds about one in twenty out as a family of its own. Within one installation the result is
always the same; between versions of Python it differs, as the text does.
"""

import ast
import hashlib
import sysconfig
import tokenize
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from trainer.config import BadInput
from trainer.document import Document

SOURCE_BYTES_MOST = 3_000_000
HELD_OUT_PERCENT = 5
VALIDATION_PERCENT = 10

# Tests and bundled applications are not the library; codec tables are numbers; the last two are built here.
_LEFT_OUT = {
    "test", "tests", "idlelib", "lib2to3", "turtledemo", "encodings", "ensurepip", "site-packages",
    "dist-packages", "pydoc_data", "__pycache__", "__phello__", "lib-dynload",
}  # fmt: skip

_MODULE_GROUPS = {
    "concurrency": "asyncio concurrent contextvars multiprocessing queue sched selectors subprocess threading",
    "internet": "cgi email ftplib http imaplib ipaddress mailbox nntplib poplib smtpd smtplib socket "
    "socketserver ssl telnetlib urllib webbrowser wsgiref xmlrpc",
    "data_formats": "base64 configparser csv dbm html json mimetypes netrc pickle pickletools plistlib "
    "quopri shelve sqlite3 tomllib xdrlib xml",
    "text": "codecs difflib gettext locale re reprlib string stringprep textwrap",
    "numbers_and_time": "_pydatetime _pydecimal _strptime calendar colorsys datetime decimal fractions "
    "numbers random statistics zoneinfo",
    "files": "_pyio bz2 filecmp fileinput fnmatch genericpath glob gzip io lzma ntpath os pathlib "
    "posixpath shutil stat tarfile tempfile zipapp zipfile",
    "language": "ast code codeop compileall dis importlib inspect keyword modulefinder opcode pkgutil "
    "pyclbr pydoc runpy symtable sysconfig token tokenize types typing warnings",
    "testing": "bdb cProfile doctest faulthandler pdb profile pstats timeit trace traceback tracemalloc unittest",
    "programs": "_pyrepl argparse cmd curses getopt logging optparse tkinter turtle",
    "data_types": "_collections_abc _weakrefset abc array bisect collections copy dataclasses enum "
    "functools graphlib heapq operator weakref",
}
_TOPIC_GROUPS = {
    "statements": "assert assignment async augassign break class compound context-managers continue del "
    "else exceptions for function global if import nonlocal pass raise return try while with "
    "yield",
    "expressions": "atom-identifiers atom-literals attribute-references await binary bitwise booleans calls "
    "comparisons conversions dict exprlists in lambda lists operator-summary power shifting "
    "slicings subscriptions unary",
    "lexical_analysis": "floating formatstrings id-classes identifiers imaginary integers numbers strings",
    "built_in_types": "bltin-ellipsis-object bltin-null-object bltin-type-objects string-methods truth "
    "typesfunctions typesmapping typesmethods typesmodules typesseq typesseq-mutable",
}


def python_documents() -> Iterator[Document]:
    """Every document of the installation's text; raises BadInput where it comes without sources."""
    try:
        topics: dict[str, str] = import_module("pydoc_data.topics").topics
    except ImportError as error:
        raise BadInput(
            f"this Python has no reference topics ({error}); install its full library, or pass --corpus DIR"
        ) from None
    group_of_topic = _group_by_name(_TOPIC_GROUPS)
    for topic, text in topics.items():
        yield Document(
            split="validation" if _bucket("split", topic) < VALIDATION_PERCENT else "train",
            source_family_id="language_reference",
            source_id=f"topics_{group_of_topic.get(topic, 'data_model')}",
            document_id=f"topics:{topic}",
            text=text,
        )
    group_of_module = _group_by_name(_MODULE_GROUPS)
    for module, source in _library_modules():
        group = group_of_module.get(module.split(".")[0], "others")
        bucket = _bucket("split", module)
        docstrings, code = _separated(source, module)
        for kind, family, text in (
            ("docs", "library_docstrings", docstrings),
            ("code", "library_code", code),
        ):
            held_out = bucket < HELD_OUT_PERCENT
            validation = bucket < HELD_OUT_PERCENT + VALIDATION_PERCENT
            yield Document(
                split="held_out" if held_out else "validation" if validation else "train",
                source_family_id="held_out_modules" if held_out else family,
                source_id=f"held_out_{group}" if held_out else f"{kind}_{group}",
                document_id=f"{kind}:{module}",
                text=text,
            )


def _library_modules() -> Iterator[tuple[str, str]]:
    """(module name, source) in an order that a hash of the name shuffles, up to the budget of bytes."""
    library = Path(sysconfig.get_path("stdlib"))
    modules = []
    for path in library.rglob("*.py"):
        parts = path.relative_to(library).with_suffix("").parts
        if not _LEFT_OUT.intersection(parts) and all(part.isidentifier() for part in parts):
            modules.append((".".join(part for part in parts if part != "__init__"), path))
    if not modules:
        raise BadInput(f"no library sources in {library}; install the full standard library, or pass --corpus DIR")
    total_bytes = 0
    for module, path in sorted(modules, key=lambda item: _hash("selection", item[0])):
        if module.startswith("_sysconfigdata") or not module:
            continue  # describes the machine that Python was built on
        with tokenize.open(path) as file:
            source = file.read()
        total_bytes += len(source.encode())
        if total_bytes > SOURCE_BYTES_MOST:
            return
        yield module, source


def _separated(source: str, module: str) -> tuple[str, str]:
    """A module's docstrings under their qualified names, and its code without their lines."""
    lines = source.split("\n")
    docstrings: list[str] = []

    def take(node: ast.AST, qualified_name: str) -> None:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if not isinstance(node, ast.Module):
                qualified_name = f"{qualified_name}.{node.name}"
            if docstring := ast.get_docstring(node):
                docstrings.append(f"{qualified_name}\n\n{docstring}\n")
                statement = node.body[0]
                if statement.lineno != getattr(node, "lineno", None):  # else it shares the line of its `def`
                    for number in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1):
                        lines[number - 1] = ""
        for child in ast.iter_child_nodes(node):
            take(child, qualified_name)

    take(ast.parse(source), module)
    return "\n".join(docstrings), "\n".join(lines)


def _group_by_name(groups: dict[str, str]) -> dict[str, str]:
    return {name: group for group, names in groups.items() for name in names.split()}


def _bucket(purpose: str, name: str) -> int:
    """0 to 99, from a hash of the name."""
    return int(_hash(purpose, name)[:16], 16) % 100


def _hash(purpose: str, name: str) -> str:
    return hashlib.sha256(f"{purpose}:{name}".encode()).hexdigest()
