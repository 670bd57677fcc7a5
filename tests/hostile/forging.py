"""Journals and entries as somebody writes them who knows the format and does not mean well."""

from pathlib import Path

import msgspec

from psion_ledger import events, log
from psion_ledger.digest import leaf_hash
from psion_ledger.log import canonical, frame, manifest
from tests.ledgers import RUN_ID

STREAM = "v.more"


def header(run: Path, stream: str = STREAM) -> frame.Header:
    """A right one."""
    nonce = bytes.fromhex(log.read_claim(run)[0].nonce)
    return frame.Header(
        format_version=1, events_version=1, run_id=RUN_ID, stream=stream, nonce=nonce, first_seq=0,
        link_before=frame.first_link(RUN_ID, stream, nonce),
    )  # fmt: skip


def journal(run: Path, frames: bytes = b"", stream: str = STREAM, name: str = f"{0:012}.wal") -> Path:
    """A journal with a right header and then these bytes."""
    path = run / "journal" / stream / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(frame.encode_header(header(run, stream)) + frames)
    return path


def chained(run: Path, emitted: list[events.Event], stream: str = STREAM) -> Path:
    """A journal whose frames are right: only what the events say is not checked by anybody."""
    link, frames = header(run, stream).link_before, []
    for seq, event in enumerate(emitted):
        body = frame.encode((seq, 1, link, frame.NOTHING_DURABLE, event))
        link = leaf_hash(body)
        frames.append(frame.enveloped(body))
    return journal(run, b"".join(frames), stream)


def body_with(run: Path, event: bytes) -> bytes:
    """A frame with a right envelope, seq and link, and these bytes for its event."""
    link = header(run).link_before
    return frame.enveloped(b"\x95\x00\xcf" + bytes(8) + b"\xc4\x20" + link + b"\xff" + event)


def appended(run: Path, entry: manifest.Entry, count: int) -> None:
    """So many entries more, chained, each the same but for its number and its range of one event."""
    numbers = sorted(int(path.stem) for path in (run / "manifest").iterdir())
    previous = manifest.read(run, log.read_claim(run)[1]).last_sha256
    for place in range(count):
        number = numbers[-1] + 1 + place
        changed = msgspec.structs.replace(
            entry, number=number, previous_sha256=previous, first_seq=place, last_seq=place
        )
        data, previous = canonical.encode(changed)
        manifest.path_of(run, number).write_bytes(data)
