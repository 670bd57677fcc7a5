"""The journals of a run, held against its claim and its manifest."""

from collections.abc import Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import get_args

import msgspec

from psion_ledger.errors import ContractRefused, Inaccessible, Unreadable
from psion_ledger.events import ContractDeclared
from psion_ledger.fsck.finding import Code, Finding
from psion_ledger.log import claim, contract_files, files, manifest
from psion_ledger.log.frame import Damage, Header, Scan, first_link, foreign
from psion_ledger.log.liveness import live_holder


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A file that an event of the record promises; `path` is relative to the run's folder, `sha256` is hex."""

    path: str
    bytes: int
    sha256: str
    stream: str
    seq: int


class Scanned(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal says of itself, and of its events the files that contracts name; `refused` when it cannot be read
    at all."""

    name: str
    stream: str
    header: Header | None
    last_seq: int
    link_after: bytes
    damage: Damage | None
    refused: str | None
    contracts: list[Declared] = []


def declared(role: str, document: str, stream: str, seq: int) -> list[Declared]:
    """The files that a declared contract names; none where it is a document itself, or no list of ours."""
    if role not in get_args(contract_files.FileContract):
        return []
    try:
        parts = contract_files.parts_of(role, document)
    except ContractRefused:
        return []
    return [Declared(path=part.path, bytes=part.bytes, sha256=part.sha256, stream=stream, seq=seq) for part in parts]


def scans(folder: Path, claimed: claim.Claim) -> Iterator[Scanned]:
    journals = sorted((folder / "journal").glob("*/*.wal"))
    for path, following in zip_longest(journals, journals[1:]):
        follows = following is not None and following.parent == path.parent
        name = path.relative_to(folder).as_posix()
        try:
            # Asked before the bytes are read: a writer that dies in between leaves no less than was read.
            live = live_holder(path) is not None
            scan = Scan.of(path, claimed, name, files.first_seq(following) if follows else None)
        except FileNotFoundError:
            continue  # Sealed meanwhile.
        except Inaccessible:
            raise
        except Unreadable as error:
            yield Scanned(
                name=name, stream=path.parent.name, header=None, last_seq=files.first_seq(path), link_after=b"",
                damage=None, refused=str(error),
            )  # fmt: skip
            continue
        last_seq, contracts = scan.header.first_seq - 1, list[Declared]()
        for frame, _ in scan:
            last_seq, event = frame.seq, frame.event
            if isinstance(event, ContractDeclared):
                contracts += declared(event.contract_role, event.document, path.parent.name, frame.seq)
        # What a live writer has not finished to write is not torn.
        damage = None if scan.damage is None or (live and not scan.damage.tampered) else scan.damage
        yield Scanned(
            name=name, stream=path.parent.name, header=scan.header, last_seq=last_seq, link_after=scan.link,
            damage=damage, refused=None, contracts=contracts,
        )  # fmt: skip


def check(claimed: claim.Claim, known: manifest.Manifest, journals: list[Scanned]) -> Iterator[Finding]:
    """Each journal by itself, and where it must continue its stream: behind what is sealed, or the journal before."""
    nonce = bytes.fromhex(claimed.nonce)
    ends: dict[str, tuple[int, bytes]] = {}
    # What continues a faulty file is not accused beside it.
    faulty = {found.stream for found in journals} if known.broken is not None else set[str]()
    for found in journals:
        finding = partial(Finding, file=found.name, stream=found.stream)
        follows = found.stream not in faulty
        if (header := found.header) is None:
            yield finding(code="journal_unreadable", seq_first=found.last_seq, detail=str(found.refused))
            faulty.add(found.stream)
            continue
        if (whose := foreign(header, claimed, found.stream)) is not None:
            yield finding(code="journal_foreign", detail=whose)
            faulty.add(found.stream)
            continue
        if (damage := found.damage) is not None:
            code: Code = "journal_tampered" if damage.tampered else "journal_torn"
            yield finding(code=code, seq_first=damage.seq, detail=str(damage))
            faulty.add(found.stream)
        sealed = known.last_of(found.stream)
        if sealed is not None and sealed.last_seq >= header.first_seq:
            continue  # A sealer was stopped before it dropped the journal; the next one does.
        beginning = (-1, first_link(claimed.run_id, found.stream, nonce))
        sealed_end = (sealed.last_seq, bytes.fromhex(sealed.link_after)) if sealed else beginning
        seq, link = ends.get(found.stream, sealed_end)
        if follows and (header.first_seq, header.link_before) != (seq + 1, link):
            detail = f"expected seq {seq + 1}, link {link.hex()}; found link {header.link_before.hex()}"
            yield finding(code="stream_broken", seq_first=header.first_seq, seq_last=found.last_seq, detail=detail)
        ends[found.stream] = (found.last_seq, found.link_after)
