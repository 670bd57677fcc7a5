"""The laws, run over a record: findings, statuses, a level and a verdict. Returns, never prints.

The integrity laws run first. When one is violated the others are not run: what they would say of a damaged record
is noise. No law passes on nothing: one that examined no row is vacuous, and a required one leaves the run UNPROVEN.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

from psion_ledger import catalog, evidence
from psion_ledger.errors import UsageError
from psion_ledger.ledger import Run
from psion_ledger.witness import Kept

Level = Literal["intact", "accounted", "replayed"]
Required = Literal["intact", "accounted", "replayed", "witnessed"]
Status = Literal["held", "violated", "vacuous", "not_applicable", "skipped"]
LEVELS: tuple[Level, ...] = ("intact", "accounted", "replayed")
FINDINGS_SHOWN_MAX = 100
SCHEMA_VERSION = "psion_ledger.audit.v1"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One violation: what it is about, where in the record (seq and stream, where there is one), and what it says."""

    subject: str
    event_seq: int | None
    stream: str | None
    expected: str
    actual: str


class LawResult(msgspec.Struct, frozen=True, kw_only=True):
    """`examined` rows of the law's population; at most 100 findings of `findings_total`; `reason` for a skip."""

    name: str
    family: str
    level: Level
    status: Status
    examined: int
    findings_total: int
    findings: list[Finding]
    law: str
    reason: str | None = None


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict for the level that was required, the level reached, and each law.

    `evidence` says by whom the run was replayed (`here`, `recorded`, `none`), how many manifest entries a head that
    was kept outside anchors (null: none was given), and what was not at hand; `unproven` says what keeps the verdict
    from PASS. To require `witnessed` is to require `accounted`, and such a head.
    """

    run_id: str
    verdict: Literal["PASS", "FAIL", "UNPROVEN"]
    level: Level | Literal["none"]
    required_level: Required
    evidence: dict[str, Any]
    unproven: list[str]
    laws: list[LawResult]

    @property
    def exit_code(self) -> int:
        return {"PASS": 0, "FAIL": 1, "UNPROVEN": 3}[self.verdict]


def audit(
    run: Run,
    *,
    require: Required = "accounted",
    artifacts: Path | str = "runs",
    corpus: Path | str | None = None,
    select: list[str] | None = None,
    kept: Kept | None = None,
    deep: bool = False,
) -> Audit:
    """Audit a run. `select` names laws or `family:F`; the verdict is then over those alone. `kept` is a signed head
    from outside the ledger; `deep` encodes every sealed event again.

    Raises UsageError for a selection that names nothing, CannotDecide for what cannot be read.
    """
    laws = _selected(select)
    folder = Path(artifacts)
    wanted = Path(corpus) if corpus is not None else folder / run.run_id / "corpus"
    replay_asked = require == "replayed" or corpus is not None
    sources = evidence.Sources(artifacts=folder, corpus=wanted if replay_asked else None, kept=kept, deep=deep)
    level: Level = "accounted" if require == "witnessed" else require
    made: dict[str, str | None] = {}
    results: list[LawResult] = []
    damaged = False
    for law in sorted(laws, key=lambda law: LEVELS.index(_level(law))):
        if damaged and _level(law) != "intact":
            results.append(_skipped(law, "the record is damaged: mend or restore it first"))
        elif LEVELS.index(_level(law)) > LEVELS.index(level) and not (replay_asked and level == "accounted"):
            results.append(_skipped(law, f"beyond the level asked for ({level}): pass --require {_level(law)}"))
        else:
            results.append(_run_law(run, law, sources, made))
        damaged = damaged or (_level(law) == "intact" and results[-1].status == "violated")
    judged = _judged(run, results, level, selected=bool(select), damaged=damaged)
    return _witnessed(run, judged, require, sources)


def _level(law: catalog.Query) -> Level:
    return next(level for level in LEVELS if level == law.header["level"])


def _selected(select: list[str] | None) -> list[catalog.Query]:
    laws = list(catalog.laws())
    if not select:
        return laws
    families = {law.header["family"] for law in laws}
    known = {law.name for law in laws} | {f"family:{family}" for family in families}
    if unknown := [name for name in select if name not in known]:
        raise UsageError(f"no law or family {', '.join(unknown)}: `psion-ledger laws` lists them")
    return [law for law in laws if law.name in select or f"family:{law.header['family']}" in select]


def _skipped(law: catalog.Query, reason: str) -> LawResult:
    return _result(law, "skipped", reason=reason)


def _result(law: catalog.Query, status: Status, **values: Any) -> LawResult:
    known: dict[str, Any] = {"examined": 0, "findings_total": 0, "findings": []} | values
    return LawResult(
        name=law.name,
        family=law.header["family"],
        level=_level(law),
        law=law.header["law"],
        status=status,
        **known,
    )


def provide(run: Run, words: frozenset[str], sources: evidence.Sources, made: dict[str, str | None]) -> None:
    """Make the evidence relations among `words`, once; `made` keeps why one is not at hand."""
    for name in sorted(words & evidence.RELATIONS.keys()):
        if name not in made:
            table = evidence.RELATIONS[name](run, sources)
            made[name] = table if isinstance(table, str) else None
            run.con.register(name, evidence.SCHEMAS[name].empty_table() if isinstance(table, str) else table)


def _run_law(run: Run, law: catalog.Query, sources: evidence.Sources, made: dict[str, str | None]) -> LawResult:
    provide(run, law.words | {law.header["over"]}, sources, made)
    if reason := made.get(law.header.get("needs", "")):
        return _skipped(law, reason)
    applies = law.header.get("applies")
    if applies and not _count(run, applies):
        return _result(law, "not_applicable")
    examined = _count(run, law.header["over"])
    rows = run.rows(law)
    findings = [msgspec.convert(row, Finding) for row in rows[:FINDINGS_SHOWN_MAX]]
    status: Status = "violated" if rows else "held" if examined else "vacuous"
    return _result(law, status, examined=examined, findings_total=len(rows), findings=findings)


def _count(run: Run, relation: str) -> int:
    run.relate([relation])
    (rows,) = run.con.sql(f"select count(*) from {relation}").fetchall()
    return int(rows[0])


def _judged(run: Run, results: list[LawResult], require: Level, *, selected: bool, damaged: bool) -> Audit:
    unproven: list[str] = []
    finished, passes = (False, 0) if damaged else _progress(run)
    status = {result.name: result.status for result in results}
    if not selected and not finished and not damaged and require != "intact":
        unproven.append(f"the run is not finished: `{run.command(f'python -m trainer --resume {run.run_id}')}` goes on")
    torn = [f"{t.path}: {t.damage}" for t in run.record.tails if t.damage is not None and not t.damage.tampered]
    unproven.extend(f"{line}; `psion-ledger seal {run.run_id}` cuts it there" for line in torn)
    required = [r for r in results if LEVELS.index(r.level) <= LEVELS.index(require)]
    vacuous = [r.name for r in required if r.status == "vacuous"]
    if vacuous:
        unproven.append(f"examined nothing: {', '.join(vacuous)}")
    if require == "replayed" and status.get("replay_here_agrees", "held") not in ("held", "vacuous"):
        unproven.extend(r.reason for r in results if r.name == "replay_here_agrees" and r.reason)
    violated = any(r.status == "violated" for r in results)
    here = status.get("replay_here_agrees") == "held"
    replayed = "here" if here else "recorded" if passes else "none"
    not_at_hand = [
        r.reason
        for r in results
        if r.status == "skipped" and r.name == "promoted_files_hold_their_digests" and r.reason
    ]
    return Audit(
        run_id=run.run_id,
        verdict="FAIL" if violated else "UNPROVEN" if unproven else "PASS",
        level="none" if selected else _reached(results, finished, here),
        required_level=require,
        evidence={"replayed": replayed, "finished": finished, "not_at_hand": [] if damaged else not_at_hand},
        unproven=[] if violated else unproven,
        laws=sorted(results, key=lambda r: (FAMILIES.index(r.family), r.name)),
    )


def _witnessed(run: Run, judged: Audit, require: Required, sources: evidence.Sources) -> Audit:
    """The verdict with what a kept head adds: how far it anchors the record, and what is missing when one is asked
    for."""
    held = any(law.name == "history_continues_the_kept_head" and law.status == "held" for law in judged.laws)
    anchored = sources.kept.head.size if sources.kept is not None and held else None
    unproven = list(judged.unproven)
    if require == "witnessed" and sources.kept is None:
        unproven.append("the tail is not anchored: pass a head that was kept outside, --expect-head NOTE --key PUB")
    since = [entry for entry in run.record.manifest.current() if anchored is not None and entry.number >= anchored]
    if not sources.deep and any(end.entry < (anchored or 0) for entry in since for end in entry.ends):
        unproven.append("segments were compacted after the kept head: --deep holds their events against it")
    violated = judged.verdict == "FAIL"
    return msgspec.structs.replace(
        judged,
        required_level=require,
        verdict="FAIL" if violated else "UNPROVEN" if unproven else "PASS",
        unproven=[] if violated else unproven,
        evidence=judged.evidence | {"witnessed": anchored, "entries": len(run.record.manifest.entries)},
    )


FAMILIES = ("integrity", "binding", "coverage", "replay", "lineage", "stage")


def _progress(run: Run) -> tuple[bool, int]:
    """Whether the run is finished, and how many whole passes it recorded that equal training."""
    run.relate(["progress", "verification_passes"])
    row = run.first("select (select finished from progress), (select count(*) filter (exact) from verification_passes)")
    assert row is not None
    return bool(row[0]), int(row[1])


def _reached(results: list[LawResult], finished: bool, here: bool) -> Level | Literal["none"]:
    def holds(level: Level) -> bool:
        return all(r.status not in ("violated", "vacuous") for r in results if r.level == level)

    if not holds("intact"):
        return "none"
    if (
        not finished
        or not holds("accounted")
        or any(r.level == "accounted" and r.reason and r.reason.startswith("beyond") for r in results)
    ):
        return "intact"
    return "replayed" if here else "accounted"


def to_json(found: Audit) -> bytes:
    """`psion_ledger.audit.v1`."""
    shown = ("name", "family", "level", "status", "examined", "findings_total", "findings")
    laws = [
        {name: getattr(r, name) for name in shown}
        | ({"reason": r.reason} if r.reason else {})
        for r in found.laws
    ]  # fmt: skip
    return msgspec.json.format(
        msgspec.json.encode({"schema": SCHEMA_VERSION, **msgspec.structs.asdict(found), "laws": laws}),
        indent=2,
    )
