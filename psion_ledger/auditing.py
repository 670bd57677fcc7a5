"""The laws, run over a record: findings, statuses, a level and a verdict. Returns, never prints.

The integrity laws always run, and first. When one is violated the others are not run: they would speak of a record
that is not the one that was written. No law passes on nothing: one that examined no row is vacuous, and a required one
leaves the run UNPROVEN.
"""

import heapq
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from psion_ledger import catalog, evidence
from psion_ledger.account import Commands, Judged, Point, checked_here, not_proven
from psion_ledger.errors import UsageError
from psion_ledger.findings import LEDGER_LEVEL, LEVELS, Finding, LawResult, Level, Skipped, Status
from psion_ledger.ledger import Run
from psion_ledger.ordered import LAW as ORDER_LAW
from psion_ledger.witness import Kept

Required = Literal["intact", "accounted", "ordered", "replayed", "witnessed"]
FAMILIES = ("integrity", "binding", "coverage", "replay", "lineage", "stage")
FINDINGS_SHOWN_MAX = 100
SCHEMA_VERSION = "psion_ledger.audit.v1"
ARTIFACTS = Path("runs")


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, the level reached, each law, and the audit's account of itself.

    PASS, FAIL and UNPROVEN are of the level that was required. Over `selected` laws there is no such verdict: HELD
    says that they and the integrity laws held, and both levels are null. `evidence` has by whom the run was replayed
    (`here`, `recorded`, `none`), whether it is finished, how many manifest entries there are, and how many of them a
    head that was kept outside anchors (null: none was given).
    """

    run_id: str
    verdict: Literal["PASS", "FAIL", "UNPROVEN", "HELD"]
    level: Level | Literal["none"] | None
    required_level: Level | None
    witness_required: bool
    selected: list[str]
    laws_total: int
    evidence: dict[str, Any]
    checked_here: list[Point]
    not_proven: list[Point]
    laws: list[LawResult]

    @property
    def exit_code(self) -> int:
        return {"PASS": 0, "HELD": 0, "FAIL": 1, "UNPROVEN": 3}[self.verdict]

    @property
    def unproven(self) -> list[str]:
        """The codes of the points that keep the verdict from PASS."""
        return [point.code for point in self.not_proven if point.blocks]

    @property
    def damaged(self) -> bool:
        """Whether an integrity law is violated, so that nothing else can be said of the record."""
        return any(law.level == "intact" and law.status == "violated" for law in self.laws)


def audit(
    run: Run,
    *,
    require: Required | Sequence[Required] = "accounted",
    artifacts: Path | str | None = None,
    corpus: Path | str | None = None,
    select: list[str] | None = None,
    kept: Kept | None = None,
    deep: bool = False,
) -> Audit:
    """Audit a run. `require` is a level, `witnessed` (with `accounted`), or both. `select` names laws or `family:F`.
    `artifacts` is the folder of the trainer's output (`runs` where none is given), `corpus` that of the shards; `kept`
    is a signed head from outside the ledger; `deep` encodes every sealed event again.

    Raises UsageError for a selection that names nothing, CannotDecide for what cannot be read.
    """
    required = {require} if isinstance(require, str) else set(require)
    level: Level = next((known for known in reversed(LEVELS) if known in required), "accounted")
    selected = _selected(select)
    folder = ARTIFACTS if artifacts is None else Path(artifacts)
    wanted = Path(corpus) if corpus is not None else folder / run.run_id / "corpus"
    sources = evidence.Sources(
        artifacts=folder,
        artifacts_given=artifacts is not None,
        corpus=wanted if level == "replayed" or corpus is not None else None,
        corpus_given=corpus is not None,
        kept=kept,
        deep=deep,
    )
    looked = run.looked_at() if run.faults else run
    try:
        results = _results(looked, selected, level, sources)
        return _judged(looked, results, selected, level, "witnessed" in required, sources)
    finally:
        if looked is not run:
            looked.close()


def commands(run: Run, artifacts: Path | str | None) -> Commands:
    """Commands about a run that continue an audit with these artifacts."""
    folder = ARTIFACTS if artifacts is None else Path(artifacts)
    return Commands(run, evidence.Sources(artifacts=folder, artifacts_given=artifacts is not None, corpus=None))


def level_of(law: catalog.Query) -> Level:
    return next(level for level in LEVELS if level == law.header["level"])


def _selected(select: list[str] | None) -> list[str]:
    """The names of the selected laws; none without a selection."""
    laws = catalog.laws()
    families = {law.header["family"] for law in laws}
    known = {law.name for law in laws} | {f"family:{family}" for family in families}
    if unknown := [name for name in select or [] if name not in known]:
        raise UsageError(f"no law or family {', '.join(unknown)}: `psion-ledger laws` lists them")
    return [law.name for law in laws if {law.name, f"family:{law.header['family']}"} & set(select or [])]


def _results(run: Run, selected: list[str], level: Level, sources: evidence.Sources) -> list[LawResult]:
    """Each law's result, in the order of levels: the integrity laws decide whether the others are run."""
    laws = [law for law in catalog.laws() if not selected or law.name in selected or level_of(law) == "intact"]
    made: dict[str, evidence.NotAtHand | None] = {}
    results: list[LawResult] = []
    damaged = False
    for law in sorted(laws, key=lambda law: LEVELS.index(level_of(law))):
        own = level_of(law)
        beyond = LEVELS.index(own) > max(map(LEVELS.index, (level, LEDGER_LEVEL))) and sources.corpus is None
        if damaged and own != "intact":
            skipped = Skipped(code="damaged", reason="the record is damaged: restore it first")
            results.append(_result(law, "skipped", skipped=skipped))
        elif (beyond or (level == "intact" and own != "intact")) and law.name not in selected:
            skipped = Skipped(code="beyond", reason=f"beyond the level asked for ({level})", flag=f"--require {own}")
            results.append(_result(law, "skipped", skipped=skipped))
        else:
            results.append(run_law(run, law, sources, made))
        damaged = damaged or (own == "intact" and results[-1].status == "violated")
    return results


def _result(law: catalog.Query, status: Status, **values: Any) -> LawResult:
    known: dict[str, Any] = {"examined": 0, "findings_total": 0, "findings": []} | values
    return LawResult(
        name=law.name,
        family=law.header["family"],
        level=level_of(law),
        law=law.header["law"],
        status=status,
        **known,
    )


def provide(
    run: Run, words: frozenset[str], sources: evidence.Sources, made: dict[str, evidence.NotAtHand | None]
) -> None:
    """Make the evidence relations among `words`, once; `made` keeps why one is not at hand."""
    for name in sorted(words & evidence.RELATIONS.keys()):
        if name not in made:
            table = evidence.RELATIONS[name](run, sources)
            made[name] = table if isinstance(table, evidence.NotAtHand) else None
            absent = isinstance(table, evidence.NotAtHand)
            run.con.register(name, evidence.SCHEMAS[name].empty_table() if absent else table)


def run_law(
    run: Run, law: catalog.Query, sources: evidence.Sources, made: dict[str, evidence.NotAtHand | None]
) -> LawResult:
    """One law over a record, as it is. `made` is the evidence that is there already."""
    provide(run, law.words | {law.header["over"]}, sources, made)
    applies = law.header.get("applies")
    if applies and not _count(run, applies):
        return _result(law, "not_applicable")
    if absent := made.get(law.header.get("needs", "")):
        skipped = Skipped(code=absent.code, reason=absent.reason, flag=absent.flag)
        return _result(law, "skipped", skipped=skipped)
    examined = _count(run, law.header["over"])
    rows = run.rows(law)
    findings = heapq.nsmallest(FINDINGS_SHOWN_MAX, map(_finding, rows), key=_place)
    status: Status = "violated" if rows else "held" if examined else "vacuous"
    return _result(law, status, examined=examined, findings_total=len(rows), findings=findings)


def _finding(row: dict[str, Any]) -> Finding:
    """A row of a law. A word of it that a NULL of the record made NULL is no reason to find nothing."""
    words = {name: "null" for name in ("subject", "expected", "actual") if row[name] is None}
    return msgspec.convert(row | words, Finding)


def _place(finding: Finding) -> tuple[object, ...]:
    """A total order of findings, so that the same record is always spoken of in the same words; step 9 before 10."""
    parts = re.split(r"(\d+)", finding.subject)
    numbers = [(len(digits.lstrip("0")), digits) for digits in parts[1::2]]
    named = (list(zip(parts[::2], [*numbers, (-1, "")], strict=True)), finding.stream or "")
    return *named, -1 if finding.event_seq is None else finding.event_seq, finding.expected, finding.actual


def _count(run: Run, relation: str) -> int:
    run.relate([relation])
    with run.reading():
        (rows,) = run.con.sql(f"select count(*) from {relation}").fetchall()
    return int(rows[0])


def _judged(
    run: Run,
    results: list[LawResult],
    selected: list[str],
    level: Level,
    witness_wanted: bool,
    sources: evidence.Sources,
) -> Audit:
    damaged = any(r.level == "intact" and r.status == "violated" for r in results)
    finished, passes = (False, 0) if damaged else _progress(run)
    judged = Judged(
        results=results,
        selected=selected,
        laws_total=len(catalog.laws()),
        wanted=None if selected else level,
        witness_wanted=witness_wanted,
        damaged=damaged,
        finished=finished,
        replays_recorded=passes,
        sources=sources,
    )
    violated = any(r.status == "violated" for r in results)
    unproven = not_proven(run, judged)
    blocked = any(point.blocks for point in unproven)
    anchored = sources.kept is not None and judged.status("history_continues_the_kept_head") == "held"
    return Audit(
        run_id=run.run_id,
        verdict="FAIL" if violated else "UNPROVEN" if blocked else "HELD" if selected else "PASS",
        level=None if selected else _reached(results, judged),
        required_level=None if selected else level,
        witness_required=witness_wanted,
        selected=selected,
        laws_total=judged.laws_total,
        evidence={
            "replayed": "here" if judged.replayed_here else "recorded" if passes else "none",
            "finished": finished,
            "witnessed": sources.kept.head.size if anchored and sources.kept is not None else None,
            "entries": len(run.record.manifest.entries),
        },
        checked_here=checked_here(run, judged),
        not_proven=unproven,
        laws=sorted(results, key=lambda r: (FAMILIES.index(r.family), r.name)),
    )


def _progress(run: Run) -> tuple[bool, int]:
    """Whether the run is finished, and how many whole passes it recorded that equal training."""
    run.relate(["progress", "verification_passes"])
    row = run.first("select (select finished from progress), (select count(*) filter (exact) from verification_passes)")
    assert row is not None
    return bool(row[0]), int(row[1])


def _reached(results: list[LawResult], judged: Judged) -> Level | Literal["none"]:
    def holds(level: Level) -> bool:
        return all(r.status not in ("violated", "vacuous") for r in results if r.level == level)

    if judged.damaged or not holds("intact"):
        return "none"
    ran = not any(r.level == "accounted" and r.skipped is not None and r.skipped.code == "beyond" for r in results)
    if not (judged.finished and ran and holds("accounted")):
        return "intact"
    if judged.status(ORDER_LAW) != "held" or not holds("ordered"):
        return "accounted"
    return "replayed" if judged.replayed_here else "ordered"


def to_json(found: Audit) -> bytes:
    """`psion_ledger.audit.v1`."""
    shown = ("name", "family", "level", "status", "examined", "findings_total", "findings")
    laws = [
        {name: getattr(r, name) for name in shown} | ({"skipped": r.skipped} if r.skipped else {})
        for r in found.laws
    ]  # fmt: skip
    counts = {"laws_held": sum(r.status == "held" for r in found.laws), "laws_ran": len(found.laws)}
    values = msgspec.structs.asdict(found) | counts | {"unproven": found.unproven, "laws": laws}
    return msgspec.json.format(msgspec.json.encode({"schema": SCHEMA_VERSION, **values}), indent=2)
