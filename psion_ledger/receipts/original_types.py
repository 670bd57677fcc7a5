"""The original's way of reading JSON into its types: serde's derived readers, over the document structs.

What they take that a strict reader does not: unknown keys, any order of keys, a struct as an array in declaration
order, a unit enum as `{"variant": null}`. What they refuse that a lenient reader does not: a struct's key twice,
integers beyond their width, an array of another length than the struct, anything after the document.

Source: the documentation and published behaviour of serde's derive (visit_map, visit_seq, internally tagged enums).
"""

import functools
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from psion_ledger.contracts import values
from psion_ledger.receipts.documents import Partition
from psion_ledger.receipts.original_json import (
    NotParsed,
    at,
    begins,
    expect,
    read_bool,
    read_string,
    read_unsigned,
    skip_read,
    skip_unread,
)

T = TypeVar("T", bound=msgspec.Struct)
Reader = Callable[[str, int], tuple[Any, int]]
# serde_json takes 127 nested values, and a partition is the sixth.
PARTITION_DEPTH = 127 - 6
_WIDTHS = {values.U16: 2**16 - 1, values.U32: 2**32 - 1, values.U64: values.U64_MAX}
# The one field that the original fills in when it is absent from an object.
ABSENT_IS_EMPTY = "selected_devices"


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
        return _integer(values.U64_MAX)
    if kind is bool:
        return read_bool
    if kind is Partition:
        return _tagged(kind, "kind", PARTITION_DEPTH)
    return _struct(kind)


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) in (types.UnionType, Union) and type(None) in get_args(kind)


def _integer(maximum: int) -> Reader:
    return lambda text, place: read_unsigned(text, place, maximum)


def _optional(inner: Reader) -> Reader:
    def read(text: str, place: int) -> tuple[Any, int]:
        place = at(text, place)
        return (None, place + 4) if text.startswith("null", place) else inner(text, place)

    return read


def _variant(variants: frozenset[str]) -> Reader:
    def read(text: str, place: int) -> tuple[str, int]:
        label, place = read_string(text, place)
        if label not in variants:
            raise NotParsed
        return label, place

    return read


def _enum(variants: frozenset[str]) -> Reader:
    """A unit enum: `"variant"` or `{"variant": null}`."""
    variant = _variant(variants)

    def read(text: str, place: int) -> tuple[str, int]:
        if not begins(text, place, "{"):
            return variant(text, place)
        label, place = variant(text, expect(text, place, "{"))
        return label, expect(text, expect(text, expect(text, place, ":"), "null"), "}")

    return read


def _list(inner: Reader) -> Reader:
    def read(text: str, place: int) -> tuple[list[Any], int]:
        place = expect(text, place, "[")
        found: list[Any] = []
        if begins(text, place, "]"):
            return found, expect(text, place, "]")
        while True:
            value, place = inner(text, place)
            found.append(value)
            if begins(text, place, "]"):
                return found, expect(text, place, "]")
            place = expect(text, place, ",")

    return read


def _members(text: str, place: int, member: Callable[[str, int], int]) -> int:
    """Past an object; `member` takes each key and the place of its value, and gives the place behind it."""
    place = expect(text, place, "{")
    if begins(text, place, "}"):
        return expect(text, place, "}")
    while True:
        key, place = read_string(text, place)
        place = member(key, expect(text, place, ":"))
        if begins(text, place, "}"):
            return expect(text, place, "}")
        place = expect(text, place, ",")


def _struct(kind: type[msgspec.Struct]) -> Reader:
    """A struct as an object, or as an array in declaration order."""
    fields = msgspec.structs.fields(kind)
    readers = {field.encode_name: reader_of(field.type) for field in fields}
    absent: dict[str, Any] = {field.encode_name: None for field in fields if _is_optional(field.type)}
    absent |= {name: [] for name in readers if name == ABSENT_IS_EMPTY}

    def from_array(text: str, place: int) -> tuple[msgspec.Struct, int]:
        found = {}
        opening = "["
        for name, reader in readers.items():
            found[name], place = reader(text, expect(text, place, opening))
            opening = ","
        return kind(**found), expect(text, place, "]")

    def read(text: str, place: int) -> tuple[msgspec.Struct, int]:
        if begins(text, place, "["):
            return from_array(text, place)
        found: dict[str, Any] = {}

        def member(key: str, place: int) -> int:
            reader = readers.get(key)
            if reader is None:
                return skip_unread(text, place)
            if key in found:
                raise NotParsed
            found[key], place = reader(text, place)
            return place

        place = _members(text, place, member)
        found = absent | found
        if len(found) != len(readers):
            raise NotParsed
        return kind(**found), place

    return read


def _tagged(kind: type[msgspec.Struct], tag: str, depth: int) -> Reader:
    """An internally tagged enum of unit variants: `{"kind": "variant", ...}` or `["variant"]`."""
    (field,) = msgspec.structs.fields(kind)
    variant = _variant(frozenset(get_args(field.type)))

    def read(text: str, place: int) -> tuple[msgspec.Struct, int]:
        if begins(text, place, "["):
            label, place = variant(text, expect(text, place, "["))
            return kind(**{tag: label}), expect(text, place, "]")
        found: dict[str, str] = {}

        def member(key: str, place: int) -> int:
            if key != tag:
                return skip_read(text, place, depth)
            if found:
                raise NotParsed
            found[tag], place = variant(text, place)
            return place

        place = _members(text, place, member)
        if not found:
            raise NotParsed
        return kind(**found), place

    return read
