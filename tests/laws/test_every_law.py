"""What must hold of every law there is: it passes good ledgers, something breaks it, and its header is true."""

import ast
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from psion_ledger import catalog, evidence
from psion_ledger.auditing import FAMILIES, Audit, audit, run_law
from psion_ledger.findings import LEVELS, Skipped
from psion_ledger.ledger import Run
from psion_ledger.log.indexes import INDEXES
from psion_ledger.reading import read
from tests.laws.copies import EVIDENCE, RECORDED, kept
from tests.ledgers import RUN_ID

LAWS = pytest.mark.parametrize("law", catalog.laws(), ids=lambda law: law.name)
NAMES = frozenset(law.name for law in catalog.laws())


def audited(folder: Path, artifacts: Path) -> Audit:
    """With all evidence that there can be: a head kept outside, and every event encoded again."""
    with Run(read(folder)) as run:
        return audit(run, require="replayed", artifacts=artifacts, kept=kept(run.record), deep=True)


def statuses(found: Audit) -> dict[str, str]:
    return {law.name: law.status for law in found.laws}


@pytest.mark.parametrize("name", ["good", "two_ranks", "resumed"])
def test_every_law_holds_on_a_good_run(name: str, artifacts: Path, request: pytest.FixtureRequest) -> None:
    """With shards and weights at hand every law is examined and held, but those of what the run did not promise."""
    found = audited(request.getfixturevalue(name), artifacts)
    unpromised = {
        "order_repeats_as_declared", "planned_skips_are_taken", "base_was_promoted_by_its_run",
        "document_index_covers_the_plan",
    }  # fmt: skip
    unpromised |= {"ranks_agree_on_the_loss"} if name != "two_ranks" else set()
    assert statuses(found) == dict.fromkeys(NAMES, "held") | dict.fromkeys(unpromised, "not_applicable")
    assert [law.name for law in found.laws if law.status == "held" and law.examined == 0] == []
    assert (found.verdict, found.level, found.unproven) == ("PASS", "replayed", [])


def test_evidence_that_is_not_at_hand_is_skipped_with_its_reason(good: Path, tmp_path: Path) -> None:
    """A ledger without its artifacts: two laws are skipped, and say what to pass."""
    found = audited(good, tmp_path)
    skipped = {law.name: law.skipped for law in found.laws if law.skipped is not None}
    assert skipped == {
        "checkpoint_files_hold_their_digests": Skipped(
            code="not_at_hand", reason=f"no checkpoint's files are below {tmp_path / RUN_ID}"
        ),
        "replay_here_agrees": Skipped(
            code="not_at_hand", reason=f"the corpus is not at hand ({tmp_path / RUN_ID / 'corpus'})",
            flag="--require replayed --corpus DIR",
        ),
    }  # fmt: skip
    assert (found.verdict, found.level) == ("UNPROVEN", "ordered")


def broken_in(path: Path) -> set[str]:
    """The laws that a module's tests break: those whose findings they ask for."""
    return {
        argument.value
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("findings", "findings_after", "violations")
        for argument in call.args
        if isinstance(argument, ast.Constant) and argument.value in NAMES
    }


def test_every_law_has_a_test_that_breaks_it() -> None:
    """A new law needs a ledger that breaks it, in the module of its family."""
    broken = {family: broken_in(Path(__file__).with_name(f"test_{family}.py")) for family in FAMILIES}
    for name in ("test_verification.py", "test_order.py"):
        broken["replay"] |= broken_in(Path(__file__).with_name(name))
    broken["binding"] |= broken_in(Path(__file__).with_name("test_windows.py"))
    broken["integrity"] |= broken_in(Path(__file__).with_name("test_outside.py"))
    broken["lineage"] |= broken_in(Path(__file__).with_name("test_weights.py"))
    families = {family: {law.name for law in catalog.laws() if law.header["family"] == family} for family in FAMILIES}
    assert broken == families


def sources(name: str) -> set[str]:
    """What a relation is made of in the end: event kinds, and what is known of the record."""
    views = {view.name: view for view in catalog.views()}
    if name not in views:
        return {name}
    direct = (views[name].words & (RECORDED | EVIDENCE)) - {name}
    return set().union(*(sources(word) for word in direct))


PROMISED = {"contract_declared", "attempt_started", "stage_started", *INDEXES}


@pytest.mark.parametrize("law", [law for law in catalog.laws() if "applies" in law.header], ids=lambda law: law.name)
def test_a_law_is_not_applicable_by_promised_facts_alone(law: catalog.Query) -> None:
    """What a run did cannot make a law inapplicable; only what it promised beforehand can, and how it was started. What
    is at stake is promised or there: what was done can only add to it."""
    name = law.header["applies"]
    view = next(view for view in catalog.views() if view.name == name)
    if name.endswith("_at_stake"):
        promised, *added = view.sql.split("union all")
        assert added, "what is promised, and what is there"
        words = (RECORDED | EVIDENCE) & set(re.findall(r"[a-z_]+", promised))
        assert set().union(*(sources(word) for word in words)) <= PROMISED
    else:
        assert sources(name) <= PROMISED


@LAWS
def test_a_laws_header_is_whole(law: catalog.Query) -> None:
    """Name, one sentence, family (its folder), level and population, and no key that nothing reads."""
    required, optional = {"name", "law", "family", "level", "over"}, {"applies", "needs"}
    assert required <= law.header.keys() <= required | optional
    assert law.path == f"invariants/{law.header['family']}/{law.name}.sql"
    assert law.header["family"] in FAMILIES
    assert law.header["level"] in LEVELS
    assert {law.header["over"], law.header.get("applies", "contracts")} <= RECORDED | EVIDENCE
    assert law.header.get("needs", "replay_here") in EVIDENCE
    assert re.fullmatch(r"[A-Z].*\.", law.header["law"])
    assert re.search(r"[.!?] [A-Z]", law.header["law"]) is None, "one sentence"


@pytest.fixture(scope="module")
def opened_good(good: Path) -> Iterator[Run]:
    """The good run, opened once: the tests that share it ask for columns alone."""
    with Run(read(good)) as run:
        yield run


@LAWS
def test_a_law_returns_findings(law: catalog.Query, opened_good: Run) -> None:
    """Five columns under their names."""
    opened_good.relate(law.words)
    for name in law.words & EVIDENCE:
        opened_good.con.register(name, evidence.SCHEMAS[name].empty_table())
    described = opened_good.con.sql(f"describe {law.sql}").fetchall()
    assert [(row[0], row[1]) for row in described] == [
        ("subject", "VARCHAR"),
        ("event_seq", "BIGINT"),
        ("stream", "VARCHAR"),
        ("expected", "VARCHAR"),
        ("actual", "VARCHAR"),
    ]


def test_findings_come_in_the_order_of_their_places(opened_good: Run) -> None:
    """Whatever order a law's rows come in: numbers as numbers, then stream, seq and the values; no place first."""
    places = [
        ("step 9", None, None, "a"),
        ("step 9", "t0001.r00000", 2, "a"),
        ("step 9", "t0001.r00000", 10, "a"),
        ("step 9", "t0001.r00000", 10, "b"),
        ("step 9", "t0002.r00000", 1, "a"),
        ("step 9 rank 0", None, None, "a"),
        ("step 10", None, None, "a"),
    ]
    shuffled = random.Random(3).sample(places, len(places))
    rows = " union all ".join(
        f"select '{subject}' as subject, {seq or 'null'}::bigint as event_seq, "
        f"{repr(stream) if stream else 'null'} as stream, '{expected}' as expected, 'x' as actual"
        for subject, stream, seq, expected in shuffled
    )
    law = catalog.Query(name="any", path="any.sql", sql=rows, header=catalog.laws()[0].header | {"over": "run_started"})
    sources = evidence.Sources(artifacts=Path("none"), artifacts_given=False, corpus=None)
    found = run_law(opened_good, law, sources, {}).findings
    assert [(one.subject, one.stream, one.event_seq, one.expected) for one in found] == places


# Comparisons that NULL slips through, and what other engines do not have.
FORBIDDEN = (
    "<>", "!=", " not in ", "//", "len(", "list_", "lambda", "arg_max", "arg_min", "asof ", "group by all",
    "order by all", "qualify ",
)  # fmt: skip


@LAWS
def test_a_law_is_sql_that_others_have_too(law: catalog.Query) -> None:
    """A law compares NULL-safely, and leaves DuckDB's own words to the materialised views."""
    assert [word for word in FORBIDDEN if word in law.sql.lower()] == []


def test_only_materialised_views_use_integer_division() -> None:
    """`//` is DuckDB's own; views that every law may read through do without it."""
    plain = [view for view in catalog.views() if view.header.get("materialise") != "true"]
    assert [view.name for view in plain if "//" in view.sql] == []
