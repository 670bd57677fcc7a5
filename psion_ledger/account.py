"""An audit's account of itself: the points that it checked here, and those that rest on the run's word or are open.

Points are values: a code, the numbers that belong to it, and the command that closes it. `report.words` makes the
sentences.
"""

import shlex
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from psion_ledger.errors import CannotDecide, ContractRefused
from psion_ledger.escape import SHOWN_CHARACTERS_MAX
from psion_ledger.evidence import Sources
from psion_ledger.findings import LEVELS, LawResult, Level, Skipped, Status
from psion_ledger.ledger import Run
from psion_ledger.ordered import LAW

Checked = Literal[
    "bytes", "events_encoded_again", "laws", "receipts", "order", "order_and_content", "checkpoint_files", "head"
]
Open = Literal[
    "damaged", "vacuous", "skipped", "torn", "unfinished", "not_anchored", "head_covers_less", "tail_not_anchored",
    "unsealed", "compacted_since", "replay_is_recorded", "order", "order_and_content", "checkpoint_files",
    "events_encoded_again", "not_promised", "losses", "circumstances",
    "base_run",
]  # fmt: skip


Promise = Literal[
    "stage", "model", "corpus", "sampling_policy", "order", "sequence_ids", "batch_sizes", "micro_steps",
    "evaluation_sets", "evaluations", "checkpoints",
]  # fmt: skip


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the account. `closes` is the command that would check an open point, where there is one; `blocks`
    says that it keeps the verdict from PASS."""

    code: Checked | Open
    values: dict[str, Any] = {}
    closes: str | None = None
    blocks: bool = False


class Commands:
    """Commands about one run that a person can paste: with the ledger and artifacts that this audit was given."""

    def __init__(self, run: Run, sources: Sources) -> None:
        self._run = run
        given = sources.artifacts_given
        self._artifacts = f" --artifacts {shlex.quote(str(sources.artifacts))}" if given else ""

    def audit(self, flags: str) -> str:
        return self._run.command(f"psion-ledger audit {self._run.run_id} {flags}{self._artifacts}")

    def replay(self) -> str:
        return self._run.command(f"psion-ledger replay {self._run.run_id} --record{self._artifacts}")

    def resume(self) -> str | None:
        """How to go on: as the run itself says, or what prints a text too long to paste; of a run that says nothing,
        what finishes it once it is trained."""
        said = self._run.first("select resume_command from run_started order by stream, seq limit 1")
        if said is not None and said[0]:
            if len(said[0]) > SHOWN_CHARACTERS_MAX:
                return self.plain("query") + " 'select resume_command from run_started'"
            return f"{said[0]}  # as the run says"
        self._run.relate(["progress"])
        trained = self._run.first("select due_step >= horizon_steps from progress")
        if trained is None or not trained[0]:
            return None
        return self._run.command(f"psion-ledger finish {self._run.run_id}{self._artifacts}")

    def plain(self, name: str) -> str:
        return self._run.command(f"psion-ledger {name} {self._run.run_id}")


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The facts that the account is made from. `wanted` is the level that was asked for, null for a selection of
    laws."""

    results: list[LawResult]
    selected: list[str]
    laws_total: int
    wanted: Level | None
    witness_wanted: bool
    damaged: bool
    finished: bool
    replays_recorded: int
    sources: Sources

    def status(self, name: str) -> Status | None:
        return next((law.status for law in self.results if law.name == name), None)

    def skip(self, name: str) -> Skipped | None:
        return next((law.skipped for law in self.results if law.name == name), None)

    @property
    def replayed_here(self) -> bool:
        return self.status("replay_here_agrees") == "held"


def checked_here(run: Run, judged: Judged) -> list[Point]:
    """What this audit did itself, from the bytes that it read."""
    if judged.damaged:
        return []
    record = run.record
    points = [
        Point(
            code="bytes",
            values={
                "files": len(record.files),
                "entries": len(record.manifest.entries),
                "events": sum(file.rows for file in record.files) + sum(tail.events for tail in record.tails),
            },
        )
    ]
    by_name = {law.name: law for law in judged.results if law.status == "held"}
    for name, code in _CHECKS.items():
        if name in by_name:
            points.append(Point(code=code, values={"examined": by_name[name].examined}))
    if "history_continues_the_kept_head" in by_name and judged.sources.kept is not None:
        points.append(Point(code="head", values={"entries": judged.sources.kept.head.size}))
    ran = sum(law.status in ("held", "violated", "vacuous") for law in judged.results)
    points.append(Point(code="laws", values={"held": len(by_name), "ran": ran, "laws": judged.laws_total}))
    return points


_CHECKS: dict[str, Checked] = {
    "columns_give_their_links": "events_encoded_again",
    "receipts_rederive": "receipts",
    LAW: "order",
    "replay_here_agrees": "order_and_content",
    "checkpoint_files_hold_their_digests": "checkpoint_files",
}


def not_proven(run: Run, judged: Judged) -> list[Point]:
    """What the verdict rests on the run's word for, or leaves open; those that keep it from PASS come first."""
    if judged.damaged:
        return [Point(code="damaged", values={"files": [fault.file for fault in run.faults]}, blocks=True)]
    commands = Commands(run, judged.sources)
    torn = [fault.file for fault in run.faults if fault.torn]
    points = [*_laws(judged, commands), *_progress(run, judged, commands)]
    points += [Point(code="torn", values={"file": file}, closes=commands.plain("seal"), blocks=True) for file in torn]
    if judged.wanted is None:
        return points
    points += [*_anchor(run, judged, commands), *_outside(run, judged, commands)]
    if absent := unpromised(run):
        points.append(Point(code="not_promised", values={"what": absent}))
    points.append(Point(code="losses"))
    points.append(Point(code="circumstances"))
    return sorted(points, key=lambda point: not point.blocks)


def unpromised(run: Run) -> list[Promise]:
    """What the run did not promise, so that no law asks for it; nothing while its contracts cannot be read."""
    try:
        promised = run.contracts
    except (CannotDecide, ContractRefused):
        return []
    plan = promised.sampling_plan
    given: dict[Promise, bool] = {
        "stage": promised.stage_config is not None,
        "model": promised.model_descriptor is not None,
        "corpus": promised.tokenized_corpus is not None or promised.token_data is not None,
        "sampling_policy": promised.sampling_policy is not None,
        "order": plan.order.kind != "undeclared",
        "sequence_ids": plan.unit != "content",
        "batch_sizes": plan.batch.schedule is not None,
        "micro_steps": plan.batch.micro_batch_sequences is not None,
        "evaluation_sets": bool(plan.evaluation_sets),
        "evaluations": plan.evaluations is not None,
        "checkpoints": plan.checkpoints is not None,
    }
    return [name for name, is_given in given.items() if not is_given]


def _laws(judged: Judged, commands: Commands) -> Iterator[Point]:
    vacuous = [law.name for law in judged.results if law.status == "vacuous" and _is_wanted(law, judged)]
    if vacuous:
        yield Point(code="vacuous", values={"laws": vacuous}, blocks=True)
    for law in judged.results:
        if law.name in judged.selected and law.skipped is not None:
            flag = law.skipped.flag
            closes = None if flag is None else commands.audit(flag)
            values = {"law": law.name, "reason": law.skipped.reason}
            yield Point(code="skipped", values=values, closes=closes, blocks=True)


def _is_wanted(law: LawResult, judged: Judged) -> bool:
    return judged.wanted is None or LEVELS.index(law.level) <= LEVELS.index(judged.wanted)


def _progress(run: Run, judged: Judged, commands: Commands) -> Iterator[Point]:
    if judged.wanted not in (None, "intact") and not judged.finished:
        yield Point(code="unfinished", closes=commands.resume(), blocks=True)


def _anchor(run: Run, judged: Judged, commands: Commands) -> Iterator[Point]:
    """How far a head that was kept outside covers what the verdict rests on."""
    kept = judged.sources.kept
    anchoring = commands.audit("--require witnessed --expect-head NOTE --key PUB")
    if kept is None:
        yield Point(code="not_anchored", closes=anchoring, blocks=judged.witness_wanted)
        return
    if judged.status("history_continues_the_kept_head") != "held":
        return  # A law says so.
    covered, entries = kept.head.size, len(run.record.manifest.entries)
    needed = _entries_needed(run, judged)
    if needed is None:
        yield Point(code="unsealed", closes=commands.plain("seal"), blocks=judged.witness_wanted)
        needed = entries
    if covered < needed:
        values = {"covered": covered, "first_uncovered": covered, "last_uncovered": needed - 1}
        yield Point(code="head_covers_less", values=values, blocks=judged.witness_wanted)
    elif covered < entries:
        yield Point(code="tail_not_anchored", values={"covered": covered, "entries": entries})
    since = [entry for entry in run.record.manifest.current() if entry.number >= covered]
    if not judged.sources.deep and any(end.entry < covered for entry in since for end in entry.ends):
        closes = commands.audit("--deep --require witnessed --expect-head NOTE --key PUB")
        yield Point(code="compacted_since", closes=closes, blocks=True)


def _entries_needed(run: Run, judged: Judged) -> int | None:
    """How many manifest entries the verdict rests on: those through the last receipt, or all of them where there is
    none or every batch was derived again. None while what it rests on is not sealed."""
    entries = len(run.record.manifest.entries)
    run.relate(["recorded_receipts"])
    row = run.first("select max(entry), max(basis_entries), count(*), count(entry) from recorded_receipts")
    assert row is not None, "an aggregate has one row"
    last, basis, receipts, sealed = row
    if receipts != sealed or (not receipts and any(tail.events for tail in run.record.tails)):
        return None
    if not receipts or judged.wanted == "replayed":
        return max(1, entries)
    return max(int(last) + 1, int(basis))


def _outside(run: Run, judged: Judged, commands: Commands) -> Iterator[Point]:
    """Evidence that was not held against the ledger: an order that cannot be derived, and what stands outside."""
    if judged.wanted != "intact" and (unknown := judged.skip(LAW)) is not None:
        blocks = judged.wanted in ("ordered", "replayed")
        yield Point(code="order", values={"reason": unknown.reason}, blocks=blocks)
    if not judged.replayed_here:
        skip = judged.skip("replay_here_agrees")
        wanted = judged.wanted == "replayed"
        if judged.replays_recorded and not wanted:
            closes = commands.audit("--require replayed")
            yield Point(code="replay_is_recorded", values={"passes": judged.replays_recorded}, closes=closes)
        elif judged.wanted != "intact":
            values = {} if skip is None else {"reason": skip.reason}
            flag = None if skip is None else skip.flag
            closing = None if flag is None else commands.audit(flag)
            yield Point(code="order_and_content", values=values, closes=closing, blocks=wanted)
    for name, code in _OUTSIDE.items():
        found = judged.skip(name)
        if found is not None and found.code != "beyond":
            closing = None if found.flag is None else commands.audit(found.flag)
            yield Point(code=code, values={"reason": found.reason}, closes=closing)


_OUTSIDE: dict[str, Open] = {
    "base_was_promoted_by_its_run": "base_run",
    "checkpoint_files_hold_their_digests": "checkpoint_files",
    "columns_give_their_links": "events_encoded_again",
}
