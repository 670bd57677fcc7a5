"""Strings that would do something where they are shown, names that are none, documents without an end."""

import os
from pathlib import Path

import pytest

from psion_ledger import events
from tests.hostile import RUN_ID, Commands
from tests.hostile.forging import chained, journal
from tests.ledgers import opened

pytestmark = pytest.mark.slow
# Colours, a title, a new line, a bidi override, a zero width, Rich's markup, a carriage return, a C1 control.
EVIL = "a\x1b[31mred\x1b]0;title\x07\n\u202eevil\u200b[bold]x[/bold]\r\x9b"
VERIFY = opened(role="verify")


def gap(reason: str) -> events.GapRecorded:
    return events.GapRecorded(gap_stream="t0001.r00000", after_seq=1, events_lost=1, reason=reason)


def declared(document: str) -> events.ContractDeclared:
    return events.ContractDeclared(
        contract_role="sampling_plan", schema_version="psion_ledger.sampling_plan.v1", sha256=bytes(32),
        document=document,
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("audit", RUN_ID), ("show", RUN_ID), ("fsck", RUN_ID), ("seal", RUN_ID), ("runs",),
        ("query", RUN_ID, "select * from gap_recorded"), ("query", RUN_ID, "select host from stream_opened"),
        ("query", RUN_ID, f"select '{EVIL}' as \"{EVIL}\""), ("query", RUN_ID, EVIL),
    ],
)  # fmt: skip
def test_no_string_of_an_event_reaches_a_terminal(commands: Commands, run: Path, words: tuple[str, ...]) -> None:
    """Host, version and reason are what a writer says; a query is what somebody pasted."""
    chained(run, [opened(role="verify", host=EVIL, code_version=EVIL), gap(EVIL)])
    commands.ends(run.parent, (0, 1, 2, 3), *words)


@pytest.mark.parametrize("command", ["audit", "show", "fsck", "seal"])
@pytest.mark.parametrize("stream", [EVIL.replace("/", "_"), "v.", "V.UPPER", "v." + "x" * 250, "\u202e"])
def test_no_name_of_a_folder_reaches_a_terminal(commands: Commands, run: Path, stream: str, command: str) -> None:
    """A folder with a journal in it that calls its stream the same; sealing makes no stream of a name that is none."""
    chained(run, [VERIFY, gap("none")], stream=stream)
    ended = commands.ends(run.parent, (0, 1, 2, 3), command, RUN_ID)
    if command == "seal":
        assert (ended.returncode, list(run.glob("segments/gap_recorded/*"))) != (0, [])


def test_a_name_that_is_no_text_is_shown_by_its_bytes(commands: Commands, run: Path) -> None:
    """A file system takes any bytes. The journal that is there holds no event, so that nobody but fsck minds it."""
    journal(run)
    os.rename(os.fsencode(run / "journal" / "v.more"), os.fsencode(run / "journal") + b"/\xff\xfe")
    for command, code in {"audit": 0, "show": 0, "fsck": 1, "seal": 3}.items():
        commands.ends(run.parent, code, command, RUN_ID)


def test_a_receipt_that_is_no_json_does_not_reach_a_terminal(commands: Commands, run: Path) -> None:
    """`receipt` prints the recorded bytes; what is no document is not printed."""
    recorded = events.ReceiptRecorded(
        schema_version="psion.pretrain_stage_receipt.v1", sha256=bytes(32), document=EVIL, basis_entries=1,
        basis_head=bytes(32), derivation_version=1,
    )  # fmt: skip
    chained(run, [opened(role="verify", attempt=5), recorded])
    commands.ends(run.parent, (1, 3), "receipt", RUN_ID)


@pytest.mark.parametrize(
    "document",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "[1" + ",1" * (20 << 20) + "]",
        '"' + "\\u0000" * (8 << 20) + '"',
        "1" * 100_000,
    ],
    ids=["lists", "maps", "40 MB of numbers", "48 MB of one string", "a number of 100,000 digits"],
)
def test_a_contract_without_an_end_is_refused(commands: Commands, run: Path, document: str) -> None:
    """A later attempt declares it again: it is none, which the laws about contracts find."""
    chained(run, [opened(attempt=5), declared(document)], stream="t0005.r00000")
    commands.ends(run.parent, (1, 3), "audit", RUN_ID)
    commands.ends(run.parent, (0, 3), "show", RUN_ID)


def test_strings_of_60_megabytes_are_read_and_not_shown_whole(commands: Commands, run: Path) -> None:
    """As many as fit into a journal: two."""
    chained(run, [opened(role="verify", host="h" * (60 << 20)), gap("r" * (60 << 20))])
    for words in (
        ("audit", RUN_ID),
        ("fsck", RUN_ID),
        ("show", RUN_ID),
        ("query", RUN_ID, "select * from gap_recorded"),
    ):
        commands.ends(run.parent, (0, 1, 3), *words)


def test_other_folders_beside_a_run_are_no_runs(commands: Commands, run: Path) -> None:
    """Their names are no ids, whatever is in them."""
    for name in (EVIL.replace("/", "_"), "A", "..x", "x" * 65):
        (run.parent / name).mkdir()
        (run.parent / name / "CLAIM").write_bytes(b"{}")
    ended = commands.ends(run.parent, 0, "runs", "--format", "json")
    assert ended.stdout.count('"run":') == 1
