"""The events' bytes are frozen, every event comes back as it went in, and what the schema forbids is never written."""

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psion_ledger import events, log
from psion_ledger.errors import EventRefused
from psion_ledger.log import frame
from psion_ledger.reading import read
from tests.ledgers import RANK0, RUN_ID, opened
from tests.log.streams import frames
from tests.log.vocabulary import EXAMPLES, bits, events_of

# kind -> hex of the event's msgpack, and of its frame with these four values. Rows are only ever added.
VECTORS: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("event_vectors.json").read_text())
SEQ, RECORDED_AT_NS, PREVIOUS_LINK, DURABLE_THROUGH = 300, 1_700_000_000_123_456_789, bytes(range(32)), 298
LINK = bytes(32)


def test_every_kind_has_an_example_and_a_vector() -> None:
    """A kind that is added here or there shows."""
    kinds = list(events.KINDS)
    assert (kinds, kinds) == (list(EXAMPLES), list(VECTORS))


@pytest.mark.parametrize("kind", events.KINDS)
def test_an_event_has_its_frozen_bytes(kind: str) -> None:
    """The event by itself."""
    assert VECTORS[kind]["event"] == frame.encode(EXAMPLES[kind]).hex()


@pytest.mark.parametrize("kind", events.KINDS)
def test_frozen_bytes_are_read_as_their_event(kind: str) -> None:
    """The other way round."""
    assert EXAMPLES[kind] == frame.decode_event(bytes.fromhex(VECTORS[kind]["event"]))


@pytest.mark.parametrize("kind", events.KINDS)
def test_a_frame_has_its_frozen_bytes(kind: str) -> None:
    """Length and crc32 (little-endian), then [seq, time, previous link, watermark, event]."""
    body = frame.encode((SEQ, RECORDED_AT_NS, PREVIOUS_LINK, DURABLE_THROUGH, EXAMPLES[kind]))
    assert VECTORS[kind]["frame"] == frame.enveloped(body).hex()


@pytest.mark.parametrize("kind", events.KINDS)
def test_a_frozen_frame_is_what_its_comment_says(kind: str) -> None:
    """Taken apart with the standard library: the envelope, and the event's own bytes at the body's end."""
    data = bytes.fromhex(VECTORS[kind]["frame"])
    length, crc = struct.unpack_from("<II", data)
    body = data[8:]
    assert (length, crc) == (len(body), zlib.crc32(body))
    assert msgspec.msgpack.decode(body)[:4] == [SEQ, RECORDED_AT_NS, PREVIOUS_LINK, DURABLE_THROUGH]
    assert body.endswith(bytes.fromhex(VECTORS[kind]["event"]))


def test_field_counts_are_those_of_version_1() -> None:
    """The table says how many fields each kind has, behind its tag."""
    actual = {kind: len(msgspec.msgpack.decode(frame.encode(event))) - 1 for kind, event in EXAMPLES.items()}
    assert events.FIELD_COUNTS[events.EVENTS_VERSION] == actual


def test_a_header_has_its_frozen_bytes() -> None:
    """Magic number, envelope, then format and events version, run, stream, nonce, first seq and link before."""
    header = frame.Header(
        format_version=1, events_version=1, run_id="run", stream=RANK0, nonce=bytes(range(16)), first_seq=5,
        link_before=PREVIOUS_LINK,
    )  # fmt: skip
    expected = (
        "5053494f4e57414c" "49000000" "ae4f77f7" "970101a372756eac74303030312e723030303030"
        "c410000102030405060708090a0b0c0d0e0f05c420000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    )  # fmt: skip
    assert expected == frame.encode_header(header).hex()


def test_the_first_link_binds_a_stream_to_its_run() -> None:
    """SHA-256 over the domain and the length-prefixed run id, stream and nonce."""
    nonce = bytes(range(16))
    text = b"psion-ledger/v1/stream\0" + b"\0\0\0\x03run" + b"\0\0\0\x0c" + RANK0.encode() + b"\0\0\0\x10" + nonce
    assert hashlib.sha256(text).digest() == frame.first_link("run", RANK0, nonce)


@pytest.mark.parametrize("kind", events.KINDS)
@settings(deadline=None, database=None, max_examples=20)
@given(data=st.data())
def test_every_event_survives_encoding(kind: str, data: st.DataObject) -> None:
    """Encode, decode strictly, compare by bits."""
    event = data.draw(events_of(events.KINDS[kind]))
    decoded = frame.decode_event(frame.encode(event))
    assert (type(event), bits(event)) == (type(decoded), bits(decoded))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[log.Writer]:
    with log.open_writer(log.create_run(tmp_path, RUN_ID), opened()) as made:
        yield made


def journal_bytes(writer: log.Writer) -> bytes:
    return (writer.run / "journal" / RANK0 / f"{0:012}.wal").read_bytes()


REFUSED: list[tuple[str, str, Any]] = [
    ("batch_replayed", "token_sha256", bytes(31)),
    ("batch_replayed", "token_sha256", bytes(33)),
    ("batch_replayed", "tokens", -1),
    ("batch_replayed", "tokens", 2**63),
    ("batch_replayed", "tokens", 1.0),
    ("batch_replayed", "tokens", True),
    ("batch_replayed", "tokens", "1"),
    ("batch_replayed", "tokens", None),
    ("batch_replayed", "sequence_ids", [0, -1]),
    ("batch_replayed", "sequence_ids", {"a": 1}),
    ("batch_replayed", "family_tokens", [("library_code", -1)]),
    ("batch_replayed", "family_tokens", [("library_code", 1, 2)]),
    ("batch_replayed", "pass_id", ""),
    ("batch_replayed", "pass_id", "x" * 513),
    ("batch_replayed", "pass_id", "\ud800"),
    ("batch_replayed", "pass_id", b"train"),
    ("split_loss_measured", "loss_sum_nanonats", None),
    ("split_loss_measured", "loss_sum_nanonats", 2**63),
    ("split_loss_measured", "loss_sum_nanonats", 2**64),
    ("split_loss_measured", "loss_sum_nanonats", -(2**63) - 1),
    ("step_completed", "step", 0),
    ("step_completed", "loss_nats", "5.0"),
    ("step_completed", "loss_nats", object()),
    ("step_completed", "updated", None),
    ("step_completed", "trace_sha256", bytes(31)),
    ("attempt_started", "git_dirty", 1),
    ("attempt_started", "deterministic", None),
    ("stream_opened", "role", "completion"),
    ("stream_opened", "attempt_sha256", bytes(33)),
    ("checkpoint_written", "files", [("model", 1, bytes(32), "model")]),
    ("batch_replayed", "stride", 0),
    ("batch_replayed", "sequence_sha256s", [bytes(31)]),
    ("stage_started", "stage_kind", "pretraining"),
    ("contract_declared", "contract_role", "corpus"),
    ("contract_declared", "document", None),
    ("verification_started", "sample_bps", 10_001),
    ("stream_ended", "outcome", "ended_early"),
    ("run_finished", "outcome", "stopped"),
    ("run_finished", "outcome", None),
]


@pytest.mark.parametrize(("kind", "field", "value"), REFUSED, ids=lambda value: str(value)[:20])
def test_what_the_schema_forbids_is_refused_unwritten(writer: log.Writer, kind: str, field: str, value: Any) -> None:
    """The message names the stream and the kind; the journal has the bytes that it had; the writer goes on."""
    before = journal_bytes(writer)
    bad = msgspec.structs.replace(EXAMPLES[kind], **{field: value})
    with pytest.raises(EventRefused, match=f"^stream {RANK0}, {type(bad).__name__}: .+") as refused:
        writer.emit(bad)
    assert "\n" not in str(refused.value)
    assert before == journal_bytes(writer)
    assert writer.emit(EXAMPLES["run_finished"]) == 1


@pytest.mark.parametrize("value", [{"kind": "run_finished"}, events.Setting(name="order", value="1"), "run_finished"])
def test_what_is_no_event_is_refused_unwritten(writer: log.Writer, value: Any) -> None:
    """A part of an event, or another object."""
    before = journal_bytes(writer)
    with pytest.raises(EventRefused):
        writer.emit(value)
    assert before == journal_bytes(writer)


def test_an_event_larger_than_a_frame_is_refused_unwritten(writer: log.Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no reader would take for a frame is not written."""
    monkeypatch.setattr(frame, "FRAME_BYTES_MAX", 1000)
    before = journal_bytes(writer)
    with pytest.raises(EventRefused, match="larger than"):
        writer.emit(msgspec.structs.replace(EXAMPLES["contract_declared"], document="x" * 1000))
    assert before == journal_bytes(writer)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 5e-324])
def test_a_loss_that_is_not_finite_is_a_fact(writer: log.Writer, value: float) -> None:
    """It is recorded as it is."""
    event = msgspec.structs.replace(EXAMPLES["step_completed"], loss_nats=value)
    writer.emit(event)
    (tail,) = read(writer.run).tails
    assert bits(event) == bits(frames(tail)[-1].event)


def test_what_is_written_is_the_reencoding_of_what_was_read(writer: log.Writer) -> None:
    """An integer given for a float, and a tuple for a list, are recorded in the schema's types."""
    given_event = msgspec.structs.replace(EXAMPLES["step_completed"], loss_nats=5)
    writer.emit(given_event)
    writer.emit(msgspec.structs.replace(EXAMPLES["batch_replayed"], sequence_ids=(1, 2)))
    (tail,) = read(writer.run).tails
    step, batch = frames(tail)[1].event, frames(tail)[2].event
    assert isinstance(step, events.StepCompleted)
    assert isinstance(batch, events.BatchReplayed)
    assert (float, 5.0, [1, 2]) == (type(step.loss_nats), step.loss_nats, batch.sequence_ids)


def lists() -> list[tuple[str, str]]:
    """Every list in an event, or in a part of one, by its Struct and field."""
    kinds: list[type[msgspec.Struct]] = [
        kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    ]
    return sorted(
        {
            (kind.__name__, field.name)
            for kind in kinds
            for field in msgspec.structs.fields(kind)
            if "list" in str(field.type)
        }
    )


def test_every_list_has_a_limit() -> None:
    """Else a frame of 64 MiB would decode to gigabytes before anybody could look."""
    assert len(lists()) >= 12
    for name, field in lists():
        (found,) = (f.type for f in msgspec.structs.fields(getattr(events, name)) if f.name == field)
        assert get_args(found)[1].max_length == events.LIST_VALUES_MAX


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_writer_refuses_a_list_that_no_reader_takes(writer: log.Writer, beyond: int) -> None:
    """The longest one is written and read."""
    ids = [0] * (events.LIST_VALUES_MAX + beyond)
    event = msgspec.structs.replace(EXAMPLES["batch_replayed"], sequence_ids=ids)
    if beyond:
        with pytest.raises(EventRefused, match="length"):
            writer.emit(event)
    else:
        assert writer.emit(event) == 1
        (tail,) = read(writer.run).tails
        assert tail.tables["batch_replayed"].column("sequence_ids")[0].as_py() == ids
