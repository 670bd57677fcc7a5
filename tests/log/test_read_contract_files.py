"""A contract of several files, as it is read: no reader answers from another file or list than was declared."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from psion_ledger import events, log, open_run
from psion_ledger.auditing import audit
from psion_ledger.digest import sha256
from psion_ledger.errors import Damaged, Unreadable
from psion_ledger.fsck import fsck
from psion_ledger.log.contract_files import Part, parts_of
from psion_ledger.reading import read
from tests.corpora import index_bytes, index_parts, index_rows, real_contracts, spelled
from tests.laws import audited
from tests.ledgers import RANK0, RUN_ID, Script, beginning, trained_run, write_ledger

CONTRACTS = real_contracts()
ROWS = index_rows(CONTRACTS)
PARTS = index_parts(ROWS)


# ---- A record whose list is good, and whose files are not ----


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ledger(tmp_path_factory.mktemp("trained"), trained_run(CONTRACTS))


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "ledger" / RUN_ID)
    return tmp_path / "ledger" / RUN_ID


def listed(run: Path) -> list[Part]:
    with open_run(run.parent, RUN_ID, despite_damage=True) as opened:
        return parts_of("sequence_index", opened.contracts_text["sequence_index"])


def part(run: Path, number: int) -> Path:
    return run / listed(run)[number].path


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def appended(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def another_runs(path: Path) -> None:
    """A whole index of fewer sequences, under the name of this one."""
    path.write_bytes(index_bytes(ROWS[:7]))


def the_other_part(path: Path) -> None:
    (other,) = (found for found in path.parent.iterdir() if found != path)
    shutil.copyfile(other, path)


def linked(path: Path) -> None:
    path.rename(path.parent.parent / "tmp" / "moved")
    path.symlink_to(path.parent.parent / "tmp" / "moved")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "missing": (Path.unlink, ["index_missing"]),
    "truncated": (truncated, ["index_changed"]),
    "longer": (appended, ["index_changed"]),
    "one bit": (one_bit, ["index_changed"]),
    "another run's": (another_runs, ["index_changed"]),
    "the other part": (the_other_part, ["index_changed"]),
    "a link": (linked, ["index_changed", "index_missing"]),
    "a fifo": (fifo, ["index_changed", "index_missing"]),
}


def test_a_whole_index_of_two_parts_is_one_relation(copy: Path) -> None:
    """Every row of both, in any reader; and the run passes as far as it goes."""
    with open_run(copy.parent, RUN_ID) as opened:
        found = opened.sql("select sequence_id, token_sha256 from sequence_index order by 1").fetchall()
        assert found == [(row["sequence_id"], row["token_sha256"]) for row in ROWS]
        assert (opened.faults, len(listed(copy))) == ([], 2)
    assert fsck(copy.parent, RUN_ID, deep=True).findings == []
    assert audited(copy, "index_covers_the_plan").status == "held"


@pytest.mark.parametrize(("damage", "number"), [*((damage, 1) for damage in DAMAGES), ("missing", 0), ("one bit", 0)])
def test_a_damaged_part_is_found_and_never_answered_from(copy: Path, damage: str, number: int) -> None:
    """Whichever part it is: `fsck` names it, the audit fails at the file, and nothing is asked of the rest."""
    path = part(copy, number)
    name = path.relative_to(copy).as_posix()
    spoil, codes = DAMAGES[damage]
    spoil(path)
    found = fsck(copy.parent, RUN_ID)
    assert ([(f.code, f.file) for f in found.findings if f.code != "leftover"], found.verdict) == (
        [(code, name) for code in codes], "FAIL",
    )  # fmt: skip
    with open_run(copy.parent, RUN_ID) as opened:
        for ask in (
            lambda: opened.sql("select 1"), lambda: opened.con, lambda: opened.relate(["sequence_index"]),
            lambda: opened.contracts,
        ):  # fmt: skip
            with pytest.raises(Damaged) as refused:
                ask()
            assert refused.value.file == name
        result = audit(opened)
    assert (result.verdict, result.level) == ("FAIL", "none")
    law = next(law for law in result.laws if law.name == "files_hold_their_digests")
    assert [finding.subject for finding in law.findings] == [name]


def test_despite_damage_the_index_is_left_out_whole(copy: Path) -> None:
    """Half an index would answer wrongly which sequences there are."""
    part(copy, 1).unlink()
    with open_run(copy.parent, RUN_ID, despite_damage=True) as opened:
        assert opened.sql("select count(*) from sequence_index").fetchall() == [(0,)]
        assert [fault.file for fault in opened.faults] == [listed(copy)[1].path]


def test_a_part_that_changes_after_opening_is_found_by_the_query(copy: Path) -> None:
    """The run was opened, and verified, before."""
    with open_run(copy.parent, RUN_ID) as opened:
        assert opened.faults == []
        one_bit(part(copy, 1))
        with pytest.raises(Damaged):
            opened.sql("select count(*) from sequence_index")


def test_a_part_that_is_not_sealed_yet_is_missed_too(tmp_path: Path) -> None:
    """Its list stands in a journal."""
    run = write_ledger(tmp_path, beginning(CONTRACTS))
    path = part(run, 1)
    path.unlink()
    with pytest.raises(Damaged, match=path.name), open_run(tmp_path, RUN_ID) as opened:
        opened.sql("select 1")
    (finding,) = fsck(tmp_path, RUN_ID).findings
    declarations = [row for tail in read(run).tails for row in tail.tables["contract_declared"].to_pylist()]
    (seq,) = (row["seq"] for row in declarations if row["contract_role"] == "sequence_index")
    assert (finding.code, finding.file, finding.stream, finding.seq_first) == (
        "index_missing", f"contracts/{path.name}", RANK0, seq,
    )  # fmt: skip


# ---- A record whose list was declared as it is, and is not ours ----


def declaring(change: Callable[[list[dict[str, Any]]], Any]) -> Script:
    """A trained run that kept its good index, and declared another list of it."""

    def declare(folder: Path, writer: log.Writer) -> None:
        text = spelled(change(json.loads(log.add_files(folder, "sequence_index", PARTS))))
        writer.emit(
            events.ContractDeclared(
                contract_role="sequence_index", schema_version="psion_ledger.sequence_index.v1",
                sha256=sha256(text.encode()), document=text,
            )
        )  # fmt: skip

    script = trained_run(CONTRACTS)
    at = next(place for place, (_, step) in enumerate(script) if getattr(step, "__name__", "") == "declare_index")
    return [*script[:at], (RANK0, declare), *script[at + 1 :]]


def first_changed(**values: Any) -> Callable[[list[dict[str, Any]]], Any]:
    return lambda parts: [parts[0] | values, *parts[1:]]


REFUSED: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "no JSON": lambda parts: "[",
    "no list": lambda parts: parts[0],
    "no file": lambda parts: [],
    "a gap between first and rows": lambda parts: [parts[0], parts[1] | {"first": parts[1]["first"] + 1}],
    "a path outside": first_changed(path="../contracts/outside.parquet"),
    "an oversized part": first_changed(bytes=(64 << 20) + 1),
    "one part alone": lambda parts: parts[1:],
}


# Each is refused by the one function that reads such a list, so one is quick.
@pytest.mark.parametrize(
    "name", ["no file", *(pytest.param(n, marks=pytest.mark.slow) for n in REFUSED if n != "no file")]
)
def test_a_declared_list_that_is_none_of_ours_fails_the_audit(tmp_path: Path, name: str) -> None:
    """The record's bytes are those that were written: it is the contract that does not hold. No file is read by it."""
    run = write_ledger(tmp_path / "ledger", declaring(REFUSED[name]))
    assert fsck(run.parent, RUN_ID).findings == []
    law = audited(run, "contracts_hold_their_rules")
    assert (law.status, [finding.subject for finding in law.findings]) == ("violated", ["sequence_index#"])
    assert audited(run, "index_covers_the_plan").status == "violated"
    with open_run(run.parent, RUN_ID) as opened:
        assert opened.sql("select count(*) from sequence_index").fetchall() == [(0,)]
        if name == "no JSON":
            assert audit(opened).verdict == "FAIL"


def unread(change: Callable[[list[dict[str, Any]]], Any], tmp_path: Path) -> tuple[list[str], str]:
    """What `fsck` finds of a good list that is not of what is there, and what an answer is refused with."""
    run = write_ledger(tmp_path / "ledger", declaring(change))
    with open_run(run.parent, RUN_ID) as opened, pytest.raises((Damaged, Unreadable)) as refused:
        opened.sql("select 1")
    return [finding.code for finding in fsck(run.parent, RUN_ID).findings], str(refused.value)


def test_a_list_with_another_digest_of_the_same_name_is_found(tmp_path: Path) -> None:
    """The name has sixteen digits of the digest; the other forty-eight are promised as well."""
    codes, said = unread(lambda parts: [parts[0] | {"sha256": parts[0]["sha256"][:16] + "0" * 48}, parts[1]], tmp_path)
    assert (codes, "0" * 48 in said) == (["index_changed"], True)


def test_a_list_with_another_size_is_found(tmp_path: Path) -> None:
    """A byte less than the file has."""
    codes, said = unread(lambda parts: [parts[0] | {"bytes": parts[0]["bytes"] - 1}, parts[1]], tmp_path)
    assert (codes, "a file of" in said) == (["index_changed"], True)


def test_a_list_of_other_rows_is_not_read(tmp_path: Path) -> None:
    """The first part is said to have a row less, and the second to begin there: the bytes hold, the footer does not."""
    codes, said = unread(
        lambda parts: [parts[0] | {"rows": parts[0]["rows"] - 1}, parts[1] | {"first": parts[1]["first"] - 1}], tmp_path
    )
    assert (codes, f"its footer says {len(ROWS) // 2} rows" in said) == ([], True)


def test_a_part_that_is_listed_twice_does_not_cover_the_plan(tmp_path: Path) -> None:
    """Its rows are there twice: no sequence is known by one row."""

    def twice(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*parts, parts[0] | {"first": len(ROWS)}]

    run = write_ledger(tmp_path / "ledger", declaring(twice))
    with open_run(run.parent, RUN_ID) as opened:
        count = opened.sql("select count(*) from sequence_index").fetchall()
        result = audit(opened)
    assert (count, result.verdict) == ([(len(ROWS) + len(ROWS) // 2,)], "FAIL")
    assert audited(run, "index_covers_the_plan").status == "violated"


def test_a_list_of_half_the_parts_does_not_cover_the_plan(tmp_path: Path) -> None:
    """The first part alone is a good list of fewer sequences."""
    run = write_ledger(tmp_path / "ledger", declaring(lambda parts: parts[:1]))
    assert (fsck(run.parent, RUN_ID).findings, audited(run, "index_covers_the_plan").status) == ([], "violated")


def test_a_part_of_another_run_does_not_cover_the_plan(tmp_path: Path) -> None:
    """It is there under its own digest, and it is listed; its sequences are not those of the plan."""
    others = index_bytes([row | {"sequence_id": row["sequence_id"] + 1000} for row in ROWS[len(ROWS) // 2 :]])

    def listing(folder: Path, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        other = json.loads(log.add_files(folder, "sequence_index", [(others, len(ROWS) - len(ROWS) // 2)]))
        return [parts[0], other[0] | {"first": parts[1]["first"]}]

    run = write_ledger(tmp_path / "ledger", declaring(lambda parts: listing(tmp_path / "ledger" / RUN_ID, parts)))
    assert fsck(run.parent, RUN_ID).findings == []
    assert audited(run, "index_covers_the_plan").status == "violated"


def test_a_contract_that_is_declared_twice_is_read_by_the_first(tmp_path: Path) -> None:
    """The second list names half of the index; a law says that there are two."""
    script = trained_run(CONTRACTS)
    at = next(place for place, (_, step) in enumerate(script) if getattr(step, "__name__", "") == "declare_index")
    (again,) = (step for step in declaring(lambda parts: parts[:1])[at : at + 1])
    run = write_ledger(tmp_path / "ledger", [*script[: at + 1], again, *script[at + 1 :]])
    with open_run(run.parent, RUN_ID) as opened:
        assert opened.sql("select count(*) from sequence_index").fetchall() == [(len(ROWS),)]
    assert audited(run, "contracts_are_declared_once").status == "violated"
