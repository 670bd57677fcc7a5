"""The bytes of one event in a journal, and of a journal's header.

A frame is length (uint32, little-endian), crc32 of the body, body. The body is the msgpack array
`[seq, recorded_at_ns, previous_link, durable_through, event]`; its link is sha256(0x00 || body), the RFC 6962
leaf, and stands in the next frame: no frame can be changed, moved or left out without the next one showing it.
The first previous link binds the stream to its run. A header has the same envelope behind a magic number.
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import msgspec

from psion_ledger.digest import leaf_hash, length_prefixed, sha256
from psion_ledger.errors import EventRefused, NewerFormat, Unreadable
from psion_ledger.events import EVENTS_VERSION, Event
from psion_ledger.log import files
from psion_ledger.log.claim import Claim
from psion_ledger.log.files import UNDECODABLE

MAGIC = b"PSIONWAL"
FRAME_BYTES_MAX = 64 << 20
# A header holds two names, a nonce and a link.
HEADER_BYTES_MAX = 1 << 12
ENVELOPE = struct.Struct("<II")
ENVELOPE_BYTES = ENVELOPE.size
_unpack_envelope = ENVELOPE.unpack_from
NOTHING_DURABLE = -1
E = TypeVar("E", bound=Event)


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
# How every body begins: an array of five, seq, the time as eight bytes, 32 bytes of link.
_INTEGER = rb"(?:[\x00-\x7f]|\xcc.|\xcd.{2}|\xce.{4}|\xcf.{8})"
_BODY_START = re.compile(rb"\x95(?=" + _INTEGER + rb"\xcf.{8}\xc4\x20)", re.DOTALL)
decode_event = msgspec.msgpack.Decoder(Event).decode
_decode_frame = msgspec.msgpack.Decoder(Frame).decode
_decode_header = msgspec.msgpack.Decoder(Header).decode


def first_link(run_id: str, stream: str, nonce: bytes) -> bytes:
    # A folder that is no stream's may have any bytes for a name.
    name = stream.encode(errors="surrogateescape")
    return sha256(b"psion-ledger/v1/stream\0" + length_prefixed(run_id.encode(), name, nonce))


def checked(event: E, stream: str) -> E:
    """The event as it will be read: constructors validate nothing, so that what the decoder lets through is written.

    Raises EventRefused.
    """
    try:
        read: E = decode_event(encode(event))
        return read
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise EventRefused(f"stream {stream}, {type(event).__name__}: {error}") from error


def enveloped(body: bytes) -> bytes:
    return ENVELOPE.pack(len(body), crc32(body)) + body


def read_journal(path: Path) -> bytes:
    """A journal's bytes, in memory; of a file that is none, no more than shows it. Raises as `files.read_regular`."""
    return files.read_regular(path, files.JOURNAL_BYTES_MAX, begins=MAGIC)


def encode_header(header: Header) -> bytes:
    return MAGIC + enveloped(encode(header))


def _body_at(data: bytes, offset: int) -> bytes | str:
    """The body enveloped at `offset`, or why there is none."""
    start = offset + ENVELOPE_BYTES
    if start > len(data):
        return "cut inside a frame's length"
    length, crc = _unpack_envelope(data, offset)
    body = data[start : start + length]
    if crc32(body) == crc and len(body) == length and 0 < length <= FRAME_BYTES_MAX:
        return body  # First, because a sealer comes here for every event; what is wrong is named below.
    if length == 0:
        return "zeros in a frame's place"  # Whose crc32 would be right: what a power loss leaves of unwritten pages.
    if length > FRAME_BYTES_MAX:
        return f"a frame claims {length:,} bytes"
    return "cut inside a frame" if len(body) < length else "crc32 differs"


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


def foreign(header: Header, claimed: Claim, stream: str) -> str | None:
    """Whose a journal is that was found in the folder of `stream`, in the run of this claim; None when it belongs
    there."""
    if (header.run_id, header.stream, header.nonce.hex()) == (claimed.run_id, stream, claimed.nonce):
        return None
    return f"it belongs to stream {header.stream} of run {header.run_id}"


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """Where the whole frames of a journal end before its bytes do: `seq` is the first event that cannot be read.

    `durable_through` is the highest watermark of any frame that survived behind the damage (-1 for none). An event
    at or below it was synced, and no crash tears what was synced; nor does a crash leave a whole frame, its crc32
    right, that does not follow. Either was `tampered` with. All else is a torn tail, such as a power loss leaves.
    """

    offset: int
    seq: int
    what: str
    durable_through: int
    tampered: bool

    def __str__(self) -> str:
        where = f"{self.what} at seq {self.seq}, byte {self.offset}"
        return f"{where}: changed after it was written" if self.tampered else f"torn: {where}"


class Scan:
    """Walks the whole frames of a journal's bytes. After the walk, `end` is the offset behind the last whole
    frame, `link` its link, and `damage` says why the walk stopped short of the data's end (None: it did not).

    `following_seq` is the first seq of the stream's next journal, if there is one: a journal is synced before its
    successor has a name, so everything below that seq was durable.
    """

    def __init__(self, data: bytes, file: object, following_seq: int | None = None) -> None:
        self.header, self.end = read_header(data, file)
        self.link = self.header.link_before
        self.damage: Damage | None = None
        self._data = data
        self._known_durable = NOTHING_DURABLE if following_seq is None else following_seq - 1

    @classmethod
    def of(cls, path: Path, claimed: Claim, name: str, following_seq: int | None) -> "Scan":
        """A journal in its place. Of one that belongs elsewhere the header alone is read, and nothing is walked: a file
        may have many names. Raises FileNotFoundError as it is, Unreadable for no journal."""
        beginning = cls(files.read_beginning(path, HEADER_BYTES_MAX), name, following_seq)
        if (whose := foreign(beginning.header, claimed, path.parent.name)) is None:
            return cls(read_journal(path), name, following_seq)
        # Without an event it says nothing.
        if len(beginning._data) > beginning.end:
            beginning._refuse(whose)
        return beginning

    def _refuse(self, why: str) -> None:
        seq, durable = self.header.first_seq, self._known_durable
        self.damage = Damage(offset=0, seq=seq, what=why, durable_through=durable, tampered=True)
        self._data = b""

    def __iter__(self) -> Iterator[tuple[Frame, bytes]]:
        """Pairs of a frame and its link, in order of seq."""
        data, seq, link, end = self._data, self.header.first_seq, self.link, self.end
        while end < len(data):
            body = _body_at(data, end)
            if isinstance(body, str):
                self._stop(seq, body, tampered=False)
                return
            try:
                frame = _decode_frame(body)
            except UNDECODABLE as error:
                self._stop(seq, f"no event: {error}", tampered=True)
                return
            if frame.seq != seq or frame.previous_link != link:
                self._stop(seq, f"seq {frame.seq} does not follow: the chain is broken", tampered=True)
                return
            self.link = link = leaf_hash(body)
            self.end = end = end + ENVELOPE_BYTES + len(body)
            seq += 1
            yield frame, link
        if seq <= self._known_durable and self.damage is None:
            self._stop(seq, "the journal ends", tampered=True)

    def _stop(self, seq: int, what: str, *, tampered: bool) -> None:
        survivors = max((f.durable_through for f in self.survivors()), default=NOTHING_DURABLE)
        durable = max(survivors, self._known_durable)
        self.damage = Damage(
            offset=self.end, seq=seq, what=what, durable_through=durable, tampered=tampered or seq <= durable
        )

    def survivors(self) -> Iterator[Frame]:
        """The whole frames behind the damage, wherever they begin. Checks no more bytes than a few times the data's,
        whatever lengths somebody wrote there."""
        budget_bytes = 4 * len(self._data)
        for match in _BODY_START.finditer(self._data, self.end + ENVELOPE.size):
            offset = match.start() - ENVELOPE.size
            length, crc = ENVELOPE.unpack_from(self._data, offset)
            body = memoryview(self._data)[match.start() : match.start() + length]
            if length > min(FRAME_BYTES_MAX, budget_bytes) or len(body) < length:
                continue
            budget_bytes -= length
            if crc32(body) != crc:
                continue
            try:
                yield _decode_frame(body)
            except UNDECODABLE:
                continue
