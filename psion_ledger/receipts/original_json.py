"""The original's way of reading JSON into its types: serde_json's, rule by rule, over the document structs.

What it takes that a strict reader does not: unknown keys (their values are skipped unread), any order of keys, a
struct as an array in declaration order, a unit enum as `{"variant": null}`. What it refuses that a lenient reader
does not: duplicate keys of a struct, lone surrogates, `-0`, `4096.0`, `1e0`, integers beyond their width, anything
after the document. Unknown keys' values are checked as little as serde_json checks them.

Sources: the documentation and the published behaviour of serde and serde_json (deserializing with visit_map,
visit_seq and internally tagged enums; recursion limit 128).
"""

import functools
import re
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from psion_ledger.contracts import values
from psion_ledger.receipts.documents import Partition

T = TypeVar("T", bound=msgspec.Struct)
Reader = Callable[[str, int], tuple[Any, int]]
# serde_json stops at 128 nested values; a partition stands inside six of them, and is the seventh.
PARTITION_DEPTH = 128 - 7

_space = re.compile(r"[ \t\n\r]*").match
_plain = re.compile(r'"([^"\\\x00-\x1f]*)"').match
_string = re.compile(r'"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"').match
_unsigned = re.compile(r"(?:0|[1-9][0-9]*)(?![0-9.eE])").match
_number = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").match
_escape = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_skipped = re.compile(
    r'[ \t\n\r]*(?:"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|[\[{}\],:]|true|false|null'
    r"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
).match
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "/": "/"}


class NotParsed(Exception):
    """The original's parser refuses the text. Its only message here is that it does."""


def at(text: str, place: int) -> int:
    """The place of the next character that is no JSON white space."""
    found = _space(text, place)
    assert found is not None, "it matches the empty text"
    return found.end()


def expect(text: str, place: int, character: str) -> int:
    place = at(text, place)
    if text[place : place + 1] != character:
        raise NotParsed
    return place + 1


def read_string(text: str, place: int) -> tuple[str, int]:
    place = at(text, place)
    if (found := _plain(text, place)) is not None:
        return found[1], found.end()
    if (found := _string(text, place)) is None:
        raise NotParsed
    unescaped = _escape.sub(lambda e: chr(int(e[1], 16)) if e[1] else _LETTERS[e[2]], found[1])
    try:
        # Pairs of surrogates become one character; one alone is refused.
        return unescaped.encode("utf-16", "surrogatepass").decode("utf-16"), found.end()
    except UnicodeDecodeError:
        raise NotParsed from None


def _integer(maximum: int) -> Reader:
    def read(text: str, place: int) -> tuple[int, int]:
        place = at(text, place)
        found = _unsigned(text, place)
        if found is None or found.end() - place > 20 or (value := int(found[0])) > maximum:
            raise NotParsed
        return value, found.end()

    return read


def read_bool(text: str, place: int) -> tuple[bool, int]:
    place = at(text, place)
    if text.startswith("true", place):
        return True, place + 4
    if text.startswith("false", place):
        return False, place + 5
    raise NotParsed


def _null(text: str, place: int) -> int:
    place = at(text, place)
    if not text.startswith("null", place):
        raise NotParsed
    return place + 4


def _enum(variants: frozenset[str]) -> Reader:
    """A unit enum: `"variant"` or `{"variant": null}`."""

    def read(text: str, place: int) -> tuple[str, int]:
        place = at(text, place)
        wrapped = text[place : place + 1] == "{"
        label, place = read_string(text, place + 1 if wrapped else place)
        if label not in variants:
            raise NotParsed
        return (
            (label, expect(text, _null(text, expect(text, place, ":")), "}")) if wrapped else (label, place)
        )

    return read


def _optional(inner: Reader) -> Reader:
    def read(text: str, place: int) -> tuple[Any, int]:
        place = at(text, place)
        return (None, place + 4) if text.startswith("null", place) else inner(text, place)

    return read


def _list(inner: Reader) -> Reader:
    def read(text: str, place: int) -> tuple[list[Any], int]:
        place = expect(text, place, "[")
        found: list[Any] = []
        if text[(end := at(text, place)) : end + 1] == "]":
            return found, end + 1
        while True:
            value, place = inner(text, place)
            found.append(value)
            place = at(text, place)
            if text[place : place + 1] == "]":
                return found, place + 1
            place = expect(text, place, ",")

    return read


def _struct(kind: type[msgspec.Struct]) -> Reader:
    """A struct as an object, or as an array in declaration order."""
    fields = msgspec.structs.fields(kind)
    readers = {field.encode_name: reader_of(field.type) for field in fields}
    defaults: dict[str, Any] = {field.encode_name: None for field in fields if _is_optional(field.type)}
    defaults |= {name: [] for name in ABSENT_IS_EMPTY if name in readers}

    def from_array(text: str, place: int) -> tuple[msgspec.Struct, int]:
        found = {}
        for count, (name, reader) in enumerate(readers.items()):
            if count:
                place = expect(text, place, ",")
            found[name], place = reader(text, place)
        return kind(**found), expect(text, place, "]")

    def read(text: str, place: int) -> tuple[msgspec.Struct, int]:
        place = at(text, place)
        if text[place : place + 1] == "[":
            return from_array(text, place + 1)
        place = expect(text, place, "{")
        found: dict[str, Any] = {}
        if text[(end := at(text, place)) : end + 1] == "}":
            place = end
        else:
            while True:
                key, place = read_string(text, place)
                place = expect(text, place, ":")
                reader = readers.get(key)
                if reader is None:
                    place = _skip(text, place)
                elif key in found:
                    raise NotParsed
                else:
                    found[key], place = reader(text, place)
                place = at(text, place)
                if text[place : place + 1] != ",":
                    break
                place += 1
        for name, value in defaults.items():
            found.setdefault(name, value)
        if len(found) != len(readers):
            raise NotParsed
        return kind(**found), expect(text, place, "}")

    return read


# The one field that the original fills in when it is absent from an object.
ABSENT_IS_EMPTY = ("selected_devices",)


def _skip(text: str, place: int) -> int:
    """Pass over any value. serde_json checks its grammar alone: no surrogates, no depth, no duplicate keys."""
    closing: list[str] = []
    while True:
        place = at(text, place)
        found = _skipped(text, place)
        if found is None:
            raise NotParsed
        token, place = found[0], found.end()
        if token in "]}:,":
            # An empty container is the only value that begins so.
            raise NotParsed
        if token in "[{":
            closer = "]" if token == "[" else "}"
            if text[(end := at(text, place)) : end + 1] == closer:
                place = end + 1
            else:
                closing.append(closer)
                if closer == "}":
                    place = _skip_key(text, place)
                continue
        while closing:
            place = at(text, place)
            if text[place : place + 1] == closing[-1]:
                closing.pop()
                place += 1
                continue
            place = expect(text, place, ",")
            if closing[-1] == "}":
                place = _skip_key(text, place)
            break
        else:
            return place


def _skip_key(text: str, place: int) -> int:
    place = at(text, place)
    if (found := _string(text, place)) is None:
        raise NotParsed
    return expect(text, found.end(), ":")


def _any(text: str, place: int, depth: int) -> int:
    """Pass over a value that the original reads in full, because it looks for a tag in it first."""
    place = at(text, place)
    character = text[place : place + 1]
    if character == '"':
        return read_string(text, place)[1]
    if character and character in "[{":
        if depth == 0:
            raise NotParsed
        closer = "]" if character == "[" else "}"
        place = at(text, place + 1)
        if text[place : place + 1] == closer:
            return place + 1
        while True:
            if closer == "}":
                place = expect(text, read_string(text, place)[1], ":")
            place = at(text, _any(text, place, depth - 1))
            if text[place : place + 1] == closer:
                return place + 1
            place = expect(text, place, ",")
    for word in ("true", "false", "null"):
        if text.startswith(word, place):
            return place + len(word)
    found = _number(text, place)
    if found is None or found[0] == "" or float(found[0]) in (float("inf"), float("-inf")):
        raise NotParsed
    return found.end()


def _tagged(kind: type[msgspec.Struct], tag: str, depth: int) -> Reader:
    """An internally tagged enum of unit variants: `{"kind": "variant", ...}` or `["variant"]`."""
    (field,) = msgspec.structs.fields(kind)
    variants = frozenset(get_args(field.type))

    def variant(text: str, place: int) -> tuple[str, int]:
        label, place = read_string(text, place)
        if label not in variants:
            raise NotParsed
        return label, place

    def read(text: str, place: int) -> tuple[msgspec.Struct, int]:
        place = at(text, place)
        if text[place : place + 1] == "[":
            only, place = variant(text, place + 1)
            return kind(**{tag: only}), expect(text, place, "]")
        place = expect(text, place, "{")
        label: str | None = None
        while True:
            key, place = read_string(text, place)
            place = expect(text, place, ":")
            if key != tag:
                place = _any(text, place, depth)
            elif label is not None:
                raise NotParsed
            else:
                label, place = variant(text, place)
            place = at(text, place)
            if text[place : place + 1] != ",":
                break
            place += 1
        if label is None:
            raise NotParsed
        return kind(**{tag: label}), expect(text, place, "}")

    return read


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) in (types.UnionType, Union) and type(None) in get_args(kind)


_WIDTHS = {values.U16: 2**16 - 1, values.U32: 2**32 - 1, values.U64: 2**64 - 1}


@functools.cache
def reader_of(kind: Any) -> Reader:
    """The reader of a field's annotation."""
    if kind in _WIDTHS:
        return _integer(_WIDTHS[kind])
    if _is_optional(kind):
        (inner,) = (arg for arg in get_args(kind) if arg is not type(None))
        return _optional(reader_of(inner))
    origin = get_origin(kind)
    if origin is Annotated:
        return reader_of(get_args(kind)[0])
    if origin is Literal:
        return _enum(frozenset(get_args(kind)))
    if origin is list:
        return _list(reader_of(get_args(kind)[0]))
    if kind is str:
        return read_string
    if kind is int:
        return _integer(2**64 - 1)
    if kind is bool:
        return read_bool
    if kind is Partition:
        return _tagged(kind, "kind", PARTITION_DEPTH)
    return _struct(kind)


def read_document(kind: type[T], data: bytes) -> T:
    """A document as the original reads it. Raises NotParsed."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise NotParsed from None
    value, place = reader_of(kind)(text, 0)
    if at(text, place) != len(text):
        raise NotParsed
    assert isinstance(value, kind), "a struct's reader gives that struct"
    return value
