"""What the ledger knows of windows: their documents, and that none of evaluation is among them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from psion_ledger import open_run
from psion_ledger.auditing import Audit, audit
from psion_ledger.ledger import Run
from psion_ledger.log.indexes import DOCUMENT_INDEX_SCHEMA
from psion_ledger.reading import read
from tests.corpora import parquet_of
from tests.laws import findings
from tests.ledgers import RUN_ID, Script, write_ledger
from tests.practices.recorder import documents_of, files, script_of
from tests.practices.table import windows

Rows = list[dict[str, Any]]
INDEX, SPLIT = "document_index_covers_the_plan", "documents_stay_in_one_split"
TRAINED = windows(held_out=100)
# The held-out family stands first: 115 tokens in 5 documents; then 1,015 of train in 43.
ALL = "1015 tokens, without a gap"


def script_with(rows: Rows | None) -> Script:
    """The loop's script with this document index in the place of the good one, or with none."""
    script = script_of(TRAINED)
    at = next(place for place, (_, step) in enumerate(script) if callable(step))
    mark: Script = []
    if rows is not None:
        mark = [(script[at][0], files("document_index", [(parquet_of(rows, DOCUMENT_INDEX_SCHEMA), len(rows))]))]
    return [*script[:at], *mark, *script[at + 1 :]]


def audited(folder: Path, rows: Rows | None) -> Audit:
    with Run(read(write_ledger(folder, script_with(rows), strict=False))) as run:
        return audit(run)


def found(folder: Path, rows: Rows | None) -> list[tuple[str, str, str, str]]:
    return [
        (law.name, finding.subject, finding.expected, finding.actual)
        for law in audited(folder, rows).laws
        for finding in law.findings
    ]


def test_windows_over_whole_documents_pass(tmp_path: Path) -> None:
    """The neighbour of all below: both laws hold, over every family and every document."""
    result = audited(tmp_path, documents_of(TRAINED))
    examined = {law.name: (law.status, law.examined) for law in result.laws if law.name in (INDEX, SPLIT)}
    assert (result.verdict, result.level) == ("PASS", "accounted")
    assert examined == {INDEX: ("held", 2), SPLIT: ("held", 48)}


def test_a_document_in_two_splits_is_found(tmp_path: Path) -> None:
    """A document that is held out stands among the tokens that windows are cut from."""
    rows = documents_of(TRAINED)
    rows[20] |= {"source_id": rows[2]["source_id"], "document_id": rows[2]["document_id"]}
    assert found(tmp_path, rows) == [(SPLIT, "held_out/2 of held_out", "one split", "held_out and train")]


WRONG: dict[str, tuple[Callable[[Rows], Any], tuple[str, str, str]]] = {
    "a document is missing": (
        lambda rows: rows.pop(20),
        ("train text", ALL, "42 documents of 991 tokens, a gap before token 384"),
    ),
    "the last one is missing": (lambda rows: rows.pop(), ("train text", ALL, "42 documents of 1008 tokens")),
    "one is longer than it is": (
        lambda rows: rows[20].update(tokens=25),
        ("train text", ALL, "43 documents of 1016 tokens, a gap before token 384"),
    ),
    "one ends before it begins, and another makes up for it": (
        lambda rows: (rows[20].update(tokens=-24), rows[21].update(first_token=336, tokens=72)),
        ("train text", ALL, "43 documents of 1015 tokens, a gap before token 336"),
    ),
    "the tokens overflow": (
        lambda rows: [row.update(first_token=2**63 - 1, tokens=2**63 - 1) for row in rows[20:22]],
        ("train text", ALL, "43 documents of too many tokens, a gap before token 408"),
    ),
    "a family has none": (
        lambda rows: rows.__delitem__(slice(0, 5)),
        ("held_out text", "115 tokens, without a gap", "none"),
    ),
    "a family is not in the plan": (
        lambda rows: rows.append(rows[0] | {"split_name": "other", "document_id": "other/0"}),
        ("other text", "no such pair in the plan", "1 documents of 24 tokens"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_an_index_that_does_not_cover_the_tokens_is_found(tmp_path: Path, name: str) -> None:
    """The documents of each family follow each other from its first token to its last."""
    rows = documents_of(TRAINED)
    wrong, expected = WRONG[name]
    wrong(rows)
    (row,) = findings(tmp_path, script_with(rows), "document_index_covers_the_plan")
    assert (row[0], row[3], row[4]) == expected


def test_windows_without_an_index_are_found(tmp_path: Path) -> None:
    """It is missing among the contracts, and no family is covered."""
    rows = found(tmp_path, None)
    assert ("contracts_are_declared_once", "document_index") in [row[:2] for row in rows]
    assert [row[1:] for row in rows if row[0] == INDEX] == [
        ("held_out text", "115 tokens, without a gap", "none"), ("train text", ALL, "none"),
    ]  # fmt: skip


def test_the_steps_that_saw_a_document_are_answered(tmp_path: Path) -> None:
    """Windows begin at tokens 0, 37, 74 and so on: three steps of four windows of 16 tokens."""
    folder = write_ledger(tmp_path, script_with(documents_of(TRAINED)))
    with open_run(folder.parent, RUN_ID) as run:
        rows = run.sql(
            "select document_id, sequence_id, tokens from window_documents "
            "where sequence_id between 137 and 211 order by all"
        ).fetchall()
    # The train family's ids begin with 100: these windows cover tokens 37 to 52, 74 to 89 and 111 to 126.
    assert rows == [
        ("train/1", 137, 11), ("train/2", 137, 5), ("train/3", 174, 16), ("train/4", 211, 9), ("train/5", 211, 7),
    ]  # fmt: skip
