"""Small archives that unpack to much, or that decode to much: each reader ends with one line, in about 1 GiB."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from psion_ledger import events
from psion_ledger.digest import leaf_hash
from psion_ledger.events import LIST_VALUES_MAX
from psion_ledger.log import frame
from psion_ledger.log.contract_files import PARTS_MAX
from psion_ledger.log.files import JOURNAL_BYTES_MAX
from tests.hostile import RUN_ID, Commands
from tests.hostile.forging import STREAM, header
from tests.log.streams import numbered
from tests.log.vocabulary import EXAMPLES

pytestmark = pytest.mark.slow
MIB = 1 << 20


def written(run: Path, stream: str, emitted: Iterator[events.Event], bytes_max: int) -> Path:
    """A journal of these events, as many as fit."""
    link, path = header(run, stream).link_before, run / "journal" / stream / f"{0:012}.wal"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.write(frame.encode_header(header(run, stream)))
        for seq, event in enumerate(emitted):
            body = frame.encode((seq, 2**62, link, frame.NOTHING_DURABLE, event))
            if file.tell() + len(body) + frame.ENVELOPE_BYTES > bytes_max:
                break
            file.write(frame.enveloped(body))
            link = leaf_hash(body)
    return path


def planted(run: Path, emitted: Iterator[events.Event], bytes_max: int = JOURNAL_BYTES_MAX, links: int = 40) -> None:
    """One journal under so many names."""
    linked(run, written(run, STREAM, emitted, bytes_max), links)


def linked(run: Path, path: Path, links: int) -> None:
    for number in range(1, links):
        other = run / "journal" / f"v.{number}" / path.name
        other.parent.mkdir()
        os.link(path, other)


def forever(event: events.Event) -> Iterator[events.Event]:
    while True:
        yield event


def listed(parts: int) -> events.Event:
    """A contract of so many files, as long as a list of them may be; none of them is there."""
    digest = "5e" * 32
    rows = [
        {"bytes": 1, "first": number, "path": f"contracts/order_files-{digest[:16]}.u4", "rows": 1, "sha256": digest}
        for number in range(parts)
    ]
    return events.ContractDeclared(
        contract_role="order_files", schema_version="a", sha256=bytes(32), document=json.dumps(rows)
    )


def batch(ids: int = 0, families: int = 0, digests: int = 0) -> events.Event:
    tokens = events.FamilyTokens(source_family_id="a", tokens=0)
    return events.BatchReplayed(
        pass_id="a", step=1, micro_step=0, first_position=0, stride=1, sequences=1, sequence_ids=[0] * ids,
        sequence_sha256s=[bytes(32)] * digests, family_tokens=[tokens] * families, tokens=1, target_tokens=0,
        token_sha256=bytes(32),
    )  # fmt: skip


def finished(text: str) -> events.Event:
    return events.ContractDeclared(contract_role="stage_config", schema_version=text, sha256=bytes(32), document=text)


def settings(count: int) -> events.Event:
    started = EXAMPLES["run_started"]
    return msgspec.structs.replace(started, settings=[events.Setting(name="a", value="")] * count)


def holed(run: Path) -> None:
    """Whole frames, and then a hole that the file system gives for nothing."""
    planted(run, forever(numbered(1)), bytes_max=MIB, links=1)
    path = run / "journal" / STREAM / f"{0:012}.wal"
    with path.open("ab") as file:
        file.truncate(JOURNAL_BYTES_MAX)
    linked(run, path, 40)


def damaged(run: Path) -> None:
    """The first frame is broken, and behind it are as many whole ones as fit, each of which may be a survivor."""
    planted(run, forever(numbered(1)), links=1)
    path = run / "journal" / STREAM / f"{0:012}.wal"
    with path.open("r+b") as file:
        file.seek(len(frame.encode_header(header(run))) + 4)
        file.write(b"\0\0\0\0")


def distinct(run: Path) -> None:
    """Ten journals, each with a header of its own."""
    for number in range(10):
        written(run, f"v.{number}", forever(finished("x" * (20 * MIB))), JOURNAL_BYTES_MAX)


def crowded(run: Path) -> None:
    """Twenty thousand streams of one event."""
    planted(run, forever(numbered(1)), bytes_max=400, links=20_000)


ARCHIVES: dict[str, Callable[[Path], None]] = {
    "journals of tiny events": lambda run: planted(run, forever(numbered(1))),
    "long strings": lambda run: planted(run, forever(finished("x" * (20 * MIB)))),
    "deep JSON": lambda run: planted(run, forever(finished("[" * (20 * MIB)))),
    "long lists of ids": lambda run: planted(run, forever(batch(ids=LIST_VALUES_MAX))),
    "long lists of families": lambda run: planted(run, forever(batch(families=LIST_VALUES_MAX))),
    "long lists of settings": lambda run: planted(run, forever(settings(LIST_VALUES_MAX))),
    "long lists of digests": lambda run: planted(run, forever(batch(digests=LIST_VALUES_MAX))),
    "long lists of parts": lambda run: planted(run, forever(listed(PARTS_MAX))),
    "longer lists than a writer takes": lambda run: planted(run, forever(batch(ids=20 * MIB))),
    "journals with holes": holed,
    "a break before whole frames": damaged,
    "many streams": crowded,
    "journals that are what they say": distinct,
}


@pytest.mark.parametrize("what", ARCHIVES)
def test_no_reader_takes_much(commands: Commands, run: Path, what: str) -> None:
    """Undecided, or a violation where the bytes show one. Each byte is decoded once, and takes what it takes."""
    ARCHIVES[what](run)
    # `fsck` and `seal` hold one journal at a time: right ones of any number are no fault to them.
    right = (0,) if what == "journals that are what they say" else ()
    commands.ends(run.parent, (1, 3), "audit", RUN_ID, cpu_seconds_max=60)
    commands.ends(run.parent, (1, 3, *right), "fsck", RUN_ID, "--deep", cpu_seconds_max=60)
