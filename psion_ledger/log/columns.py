"""Events as Arrow columns: one schema per kind and version of the vocabulary, made from the kind's Struct.

A sealed file holds `stream, role, attempt, rank, seq, recorded_at_ns, durable_through`, then the event's fields
under their own names. Nested values are flattened by hand: building them from Python objects is ten times slower.
"""

import functools
import inspect
import types
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise
from operator import attrgetter
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import pyarrow as pa

from psion_ledger.events import EVENTS_VERSION, FIELD_COUNTS, KINDS, Digest
from psion_ledger.log.frame import Frame

STREAM_COLUMNS = (
    pa.field("stream", pa.string(), nullable=False),
    pa.field("role", pa.string(), nullable=False),
    pa.field("attempt", pa.int64(), nullable=False),
    pa.field("rank", pa.int64(), nullable=False),
)
FRAME_COLUMNS = (
    pa.field("seq", pa.int64(), nullable=False),
    pa.field("recorded_at_ns", pa.int64(), nullable=False),
    pa.field("durable_through", pa.int64(), nullable=False),
)
_STREAM_NAMES = {field.name for field in STREAM_COLUMNS}
_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), bytes: pa.binary()}


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _stripped(kind: Any) -> tuple[Any, bool]:
    """A type without `Annotated` and `| None`, and whether it may be null. A digest keeps its annotation."""
    if kind is Digest:
        return kind, False
    if get_origin(kind) is Annotated:
        return _stripped(get_args(kind)[0])
    if get_origin(kind) in (types.UnionType, Union):
        (inner,) = (arg for arg in get_args(kind) if arg is not type(None))
        return _stripped(inner)[0], True
    return kind, False


def arrow_type(kind: Any) -> pa.DataType:
    """The Arrow type of an event field's annotation."""
    kind, _ = _stripped(kind)
    if kind is Digest:
        return pa.binary(32)
    if get_origin(kind) is Literal:
        return pa.string()
    if get_origin(kind) is list:
        return pa.list_(pa.field("element", arrow_type(get_args(kind)[0]), nullable=False))
    if _is_struct(kind):
        return pa.struct(_fields(kind))
    return _SCALARS[kind]


def _fields(struct: type[msgspec.Struct]) -> list[pa.Field]:
    return [
        pa.field(field.name, arrow_type(field.type), nullable=_stripped(field.type)[1])
        for field in _typed_fields(struct)
    ]


@functools.cache
def _typed_fields(struct: type[msgspec.Struct]) -> tuple[Any, ...]:
    hints = {
        name: annotation
        for base in reversed(struct.__mro__)
        for name, annotation in inspect.get_annotations(base).items()
    }
    return tuple(types.SimpleNamespace(name=name, type=hints[name]) for name in struct.__struct_fields__)


@functools.cache
def schema(kind: str, events_version: int = EVENTS_VERSION) -> pa.Schema:
    """The columns of a kind as that version has them. A stream's own come from its stream_opened, whose fields of those
    names would stand there twice."""
    known = _fields(KINDS[kind])[: FIELD_COUNTS[events_version][kind]]
    return pa.schema([*STREAM_COLUMNS, *FRAME_COLUMNS, *(field for field in known if field.name not in _STREAM_NAMES)])


@functools.cache
def defaults(kind: str, events_version: int) -> pa.Table:
    """One row: the columns that a kind has got since that version, each with its default."""
    newer = msgspec.structs.fields(KINDS[kind])[FIELD_COUNTS[events_version][kind] :]
    values = {f.name: f.default if f.default is not msgspec.NODEFAULT else f.default_factory() for f in newer}
    typed = [field for field in _typed_fields(KINDS[kind]) if field.name in values]
    return pa.table(
        [array([values[field.name]], field.type) for field in typed],
        schema=pa.schema([schema(kind).field(field.name) for field in typed]),
    )


def completed(kind: str, table: pa.Table, events_version: int) -> pa.Table:
    """A table of that version with the columns that the kind has got since, in today's order."""
    newer = defaults(kind, events_version)
    for field in newer.schema:
        table = table.append_column(field, pa.repeat(newer.column(field.name)[0], table.num_rows))
    return table.select(schema(kind).names)


def array(values: Sequence[Any], kind: Any) -> pa.Array:
    """Python values of an event field as one Arrow array."""
    bare, nullable = _stripped(kind)
    if get_origin(bare) is list:
        offsets = pa.array(accumulate(map(len, values), initial=0), pa.int32())
        element = get_args(bare)[0]
        flat = array(list(chain.from_iterable(values)), element)
        return pa.ListArray.from_arrays(offsets, flat, type=arrow_type(kind))
    if _is_struct(bare) and not nullable:
        columns = [array(list(map(attrgetter(f.name), values)), f.type) for f in _typed_fields(bare)]
        return pa.StructArray.from_arrays(columns, fields=_fields(bare))
    return pa.array(values, arrow_type(kind))


def batch(
    kind: str,
    frames: Sequence[Frame],
    stream: str,
    role: str,
    attempt: int,
    rank: int,
    events_version: int = EVENTS_VERSION,
) -> pa.RecordBatch:
    """The frames of one kind in one stream as a record batch of that version's schema."""
    rows = len(frames)
    own = _typed_fields(KINDS[kind])[: FIELD_COUNTS[events_version][kind]]
    stream_values = (stream, role, attempt, rank)
    events = [frame.event for frame in frames]
    columns = [
        *(pa.repeat(pa.scalar(v, f.type), rows) for v, f in zip(stream_values, STREAM_COLUMNS, strict=True)),
        *(pa.array(list(map(attrgetter(f.name), frames)), f.type) for f in FRAME_COLUMNS),
        *(array(list(map(attrgetter(f.name), events)), f.type) for f in own if f.name not in _STREAM_NAMES),
    ]
    return pa.record_batch(columns, schema=schema(kind, events_version))


def values(column: pa.Array, kind: Any) -> list[Any]:
    """An event field's column as what msgpack has for it: a struct is the array of its fields."""
    bare, nullable = _stripped(kind)
    if get_origin(bare) is list:
        flat = values(column.flatten(), get_args(bare)[0])
        ends = accumulate(column.value_lengths().to_pylist(), initial=0)
        return [flat[first:end] for first, end in pairwise(ends)]
    if _is_struct(bare) and not nullable:
        fields = [values(column.field(f.name), f.type) for f in _typed_fields(bare)]
        return [list(row) for row in zip(*fields, strict=True)]
    found: list[Any] = column.to_pylist()
    return found


def rows(kind: str, found: pa.RecordBatch, events_version: int) -> Iterator[tuple[int, int, int, list[Any]]]:
    """Seq, recorded_at_ns, durable_through and the event, as that version encodes it, of each row of a kind."""
    fields = _typed_fields(KINDS[kind])[: FIELD_COUNTS[events_version][kind]]
    columns = [values(found.column(f.name), f.type) for f in fields]
    frame = [found.column(f.name).to_pylist() for f in FRAME_COLUMNS]
    # One empty tuple a row for a kind without fields.
    encoded = zip(*columns, strict=True) if columns else iter([()] * found.num_rows)
    for seq, recorded_at_ns, durable_through, event in zip(*frame, encoded, strict=True):
        yield seq, recorded_at_ns, durable_through, [kind, *event]
