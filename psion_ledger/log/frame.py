"""The bytes of one event in a journal, and of a journal's header.

A frame is length (uint32, little-endian), crc32 of the body, body. The body is the msgpack array
`[seq, recorded_at_ns, previous_link, durable_through, event]`; its link is sha256(0x00 || body), the RFC 6962
leaf, and stands in the next frame: no frame can be changed, moved or left out without the next one showing it.
The first previous link binds the stream to its run. A header has the same envelope behind a magic number.
"""

import struct
import zlib
from collections.abc import Iterator

import msgspec

from psion_ledger.digest import leaf_hash, length_prefixed, sha256
from psion_ledger.errors import NewerFormat, Unreadable
from psion_ledger.events import EVENTS_VERSION, Event
from psion_ledger.log.files import UNDECODABLE

MAGIC = b"PSIONWAL"
FRAME_BYTES_MAX = 64 << 20
ENVELOPE = struct.Struct("<II")
NOTHING_DURABLE = -1


class Header(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    format_version: int
    events_version: int
    run_id: str
    stream: str
    nonce: bytes
    first_seq: int
    link_before: bytes


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """`durable_through` is the last seq known to be synced when this was written, -1 for none."""

    seq: int
    recorded_at_ns: int
    previous_link: bytes
    durable_through: int
    event: Event


encode = msgspec.msgpack.Encoder().encode
decode_event = msgspec.msgpack.Decoder(Event).decode
_decode_frame = msgspec.msgpack.Decoder(Frame).decode
_decode_header = msgspec.msgpack.Decoder(Header).decode


def first_link(run_id: str, stream: str, nonce: bytes) -> bytes:
    return sha256(b"psion-ledger/v1/stream\0" + length_prefixed(run_id.encode(), stream.encode(), nonce))


def enveloped(body: bytes) -> bytes:
    return ENVELOPE.pack(len(body), zlib.crc32(body)) + body


def encode_header(header: Header) -> bytes:
    return MAGIC + enveloped(encode(header))


def _body_at(data: bytes, offset: int) -> bytes | str:
    """The body enveloped at `offset`, or why there is none."""
    if offset + ENVELOPE.size > len(data):
        return "cut inside a frame's length"
    length, crc = ENVELOPE.unpack_from(data, offset)
    if length > FRAME_BYTES_MAX:
        return f"a frame claims {length:,} bytes"
    body = data[offset + ENVELOPE.size : offset + ENVELOPE.size + length]
    if len(body) < length:
        return "cut inside a frame"
    return body if zlib.crc32(body) == crc else "crc32 differs"


def read_header(data: bytes, file: object) -> tuple[Header, int]:
    """The header and the offset of the first frame. Raises Unreadable, or NewerFormat for a later version."""
    if not data.startswith(MAGIC):
        raise Unreadable(f"{file}: not a journal (its magic number differs)")
    body = _body_at(data, len(MAGIC))
    if isinstance(body, str):
        raise Unreadable(f"{file}: its header is damaged: {body}")
    try:
        header = _decode_header(body)
    except UNDECODABLE as error:
        raise Unreadable(f"{file}: its header is damaged: {error}") from error
    if header.format_version > 1 or header.events_version > EVENTS_VERSION:
        raise NewerFormat(f"{file}: events version {header.events_version} is newer than {EVENTS_VERSION}: upgrade")
    return header, len(MAGIC) + ENVELOPE.size + len(body)


class Scan:
    """Walks the whole frames of a journal's bytes. After the walk, `end` is the offset behind the last whole
    frame, `link` its link, and `damage` says why the walk stopped short of the data's end (None: it did not)."""

    def __init__(self, data: bytes, file: object) -> None:
        self.header, self.end = read_header(data, file)
        self.link = self.header.link_before
        self.damage: str | None = None
        self._data = data

    def __iter__(self) -> Iterator[tuple[Frame, bytes]]:
        """Pairs of a frame and its link, in order of seq."""
        seq = self.header.first_seq
        while self.end < len(self._data):
            body = _body_at(self._data, self.end)
            if isinstance(body, str):
                self.damage = body
                return
            try:
                frame = _decode_frame(body)
            except UNDECODABLE as error:
                self.damage = f"no event: {error}"
                return
            if frame.seq != seq or frame.previous_link != self.link:
                self.damage = f"seq {frame.seq} does not follow seq {seq - 1}: the chain is broken"
                return
            self.link = leaf_hash(body)
            self.end += ENVELOPE.size + len(body)
            seq += 1
            yield frame, self.link
