"""Events survive the way into Parquet and back, value by value; statistics stand where DuckDB reads them right."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psion_ledger import events
from psion_ledger.log import columns
from psion_ledger.log.frame import Frame
from psion_ledger.log.segment import parquet_bytes
from tests.log.vocabulary import EXAMPLES, bits, events_of

IDENTITY = ("t0002.r00001", "train", 2, 1)
STREAM = dict(zip(("stream", "role", "attempt", "rank"), IDENTITY, strict=True))


def frames_of(made: list[events.Event]) -> list[Frame]:
    return [Frame(5 + seq, 10**18 + seq, bytes(32), seq - 1, event) for seq, event in enumerate(made)]


def table_of(kind: str, made: list[events.Event]) -> pa.Table:
    return pa.Table.from_batches([columns.batch(kind, frames_of(made), *IDENTITY)])


def expected_rows(made: list[events.Event]) -> list[dict[str, Any]]:
    """What a reader must see: the stream's columns, the frame's, then the event's fields in their order."""
    return [
        STREAM
        | {"seq": 5 + seq, "recorded_at_ns": 10**18 + seq, "durable_through": seq - 1}
        | {name: value for name, value in bits(event).items() if name not in STREAM}
        for seq, event in enumerate(made)
    ]


def read_back(table: pa.Table, path: Path) -> list[dict[str, Any]]:
    path.write_bytes(parquet_bytes(table))
    found: list[dict[str, Any]] = pq.read_table(path, schema=table.schema).to_pylist()
    return found


@pytest.mark.parametrize("kind", events.KINDS)
@settings(deadline=None, database=None, max_examples=10)
@given(data=st.data())
def test_every_event_survives_parquet(tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject) -> None:
    """Arrow, Parquet and back: the same columns in the same order with the same values, floats by their bits."""
    made = data.draw(st.lists(events_of(events.KINDS[kind]), min_size=1, max_size=5))
    path = tmp_path_factory.mktemp("columns") / "events.parquet"
    actual = bits(read_back(table_of(kind, made), path))
    assert expected_rows(made) == actual
    assert [list(row) for row in expected_rows(made)] == [list(row) for row in actual]


def test_floats_keep_their_bits(tmp_path: Path) -> None:
    """NaN, both zeros, both infinities and the smallest number."""
    values = [math.nan, -0.0, 0.0, math.inf, -math.inf, 5e-324]
    made: list[events.Event] = [
        events.StepCompleted(
            pass_id="train", step=1, loss_sum_nats=value, target_tokens=1, loss_divisor=1.0, loss_nats=1.0,
            grad_norm=1.0, learning_rate=1.0, step_ms=1.0, updated=True, trace_sha256=bytes(32), trainer_step=None,
        )
        for value in values
    ]  # fmt: skip
    rows = read_back(table_of("step_completed", made), tmp_path / "a")
    assert bits(values) == bits([row["loss_sum_nats"] for row in rows])


def test_empty_lists_and_nulls_stay_apart(tmp_path: Path) -> None:
    """An empty list is no null, and a null between numbers stays where it is."""
    full = EXAMPLES["batch_replayed"]
    empty = msgspec.structs.replace(full, sequence_ids=[], family_tokens=[], first_position=None)
    rows = read_back(table_of("batch_replayed", [full, empty, full]), tmp_path / "a")
    ids = [17, 40, 2**40]
    assert [(ids, 2, 20), ([], 0, None), (ids, 2, 20)] == [
        (row["sequence_ids"], len(row["family_tokens"]), row["first_position"]) for row in rows
    ]


@pytest.mark.parametrize("kind", events.KINDS)
def test_statistics_stand_on_required_integers_alone(tmp_path: Path, kind: str) -> None:
    """On every top-level integer that cannot be null, and on no other column."""
    table = table_of(kind, [EXAMPLES[kind], EXAMPLES[kind]])
    (tmp_path / "a").write_bytes(parquet_bytes(table))
    group = pq.read_metadata(tmp_path / "a").row_group(0)
    chunks = [group.column(index) for index in range(group.num_columns)]
    expected = [f.name for f in table.schema if pa.types.is_integer(f.type) and not f.nullable]
    assert expected == [chunk.path_in_schema for chunk in chunks if chunk.statistics is not None]


def test_the_schema_of_a_batch_is_the_documented_one() -> None:
    """Spelled out once, so that a change of a type shows."""
    expected = [
        ("stream", "string", False),
        ("role", "string", False),
        ("attempt", "int64", False),
        ("rank", "int64", False),
        ("seq", "int64", False),
        ("recorded_at_ns", "int64", False),
        ("durable_through", "int64", False),
        ("pass_id", "string", False),
        ("step", "int64", False),
        ("micro_step", "int64", False),
        ("first_position", "int64", True),
        ("stride", "int64", False),
        ("sequences", "int64", False),
        ("sequence_ids", "list<element: int64 not null>", False),
        ("sequence_sha256s", "list<element: fixed_size_binary[32] not null>", False),
        (
            "family_tokens",
            "list<element: struct<source_family_id: string not null, tokens: int64 not null> not null>",
            False,
        ),
        ("tokens", "int64", False),
        ("target_tokens", "int64", False),
        ("token_sha256", "fixed_size_binary[32]", False),
    ]
    assert expected == [(f.name, str(f.type), f.nullable) for f in columns.schema("batch_replayed")]


def test_what_may_be_null_in_an_event_may_be_null_in_its_column() -> None:
    """And nothing else may."""
    expected = {
        "run_started": ["resume_command"],
        "stage_started": ["base_checkpoint_id"],
        "attempt_started": ["launch_id", "checkpoint_id", "git_commit", "git_dirty", "isa", "threads_per_process"],
        "batch_replayed": ["first_position"],
        "batch_skipped": ["first_position"],
        "step_completed": [
            "loss_sum_nats",
            "loss_divisor",
            "loss_nats",
            "grad_norm",
            "learning_rate",
            "trace_sha256",
            "trainer_step",
        ],
        "split_loss_measured": ["checkpoint_id", "first_sequence_id", "end_sequence_id", "sequences_sha256"],
        "checkpoint_written": ["parent_checkpoint_id"],
        "checkpoint_promoted": ["criterion_split", "evaluation_id"],
        "verification_started": ["corpus_digest"],
        "verification_completed": ["first_mismatch_position"],
        "gap_recorded": ["events_lost"],
        "run_finished": ["reason"],
    }
    nullable = {kind: [f.name for f in columns.schema(kind) if f.nullable] for kind in events.KINDS}
    assert expected == {kind: names for kind, names in nullable.items() if names}
