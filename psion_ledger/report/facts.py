"""What a report shows beside the audit, read from the ledger by the queries under `queries/reports`."""

from typing import Any

import msgspec

from psion_ledger import catalog
from psion_ledger.account import Commands
from psion_ledger.auditing import Audit
from psion_ledger.events import KINDS
from psion_ledger.ledger import Run

Row = dict[str, Any]
REPLAYS_WANTED = 2


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the checklist; `closes` is the command that closes it, while it is open."""

    what: str
    done: bool
    count: str
    closes: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The rows behind a report."""

    items: list[Item]
    splits: list[Row]
    summary: Row
    lineage: list[Row]
    steps: dict[tuple[str, int], int]


def report_rows(run: Run, name: str) -> list[Row]:
    """The rows of one report query."""
    return run.rows(catalog.report(name))


def gather(run: Run, found: Audit, commands: Commands) -> Facts:
    """Everything that the report of an audit shows. Raises CannotDecide as queries do."""
    (complete,) = report_rows(run, "completeness")
    (summary,) = report_rows(run, "summary")
    return Facts(
        items=_checklist(complete, found, commands),
        splits=report_rows(run, "splits"),
        summary=summary,
        lineage=report_rows(run, "lineage"),
        steps=_steps(run, found),
    )


def _steps(run: Run, found: Audit) -> dict[tuple[str, int], int]:
    """The step of each event that a finding names, by stream and seq, for those kinds that have one."""
    named = {(f.stream, f.event_seq) for law in found.laws for f in law.findings if f.stream is not None}
    if not named:
        return {}
    kinds = [kind for kind, struct in KINDS.items() if "step" in struct.__struct_fields__]
    union = " union all ".join(f"select stream, seq, step from {kind}" for kind in kinds)
    rows = run.con.execute(
        f"select stream, seq, step from ({union}) where seq in (select unnest(?))",
        [sorted({seq for _, seq in named if seq is not None})],
    ).fetchall()
    return {(stream, seq): step for stream, seq, step in rows if (stream, seq) in named}


def _checklist(row: Row, found: Audit, commands: Commands) -> list[Item]:
    resume, replay = commands.resume(), commands.replay()
    verified = row["receipts"] > 0 and any(
        law.name == "receipts_rederive" and law.status == "held" for law in found.laws
    )
    pairs, promised = row["split_family_rows"], row["split_family_rows_promised"]
    promoted = row["promoted_checkpoint_id"]

    def item(what: str, done: bool, count: str, closes: str | None) -> Item:
        return Item(what=what, done=done, count=count, closes="" if done or closes is None else closes)

    needed = row["contracts_required"]
    items = [item("contracts declared", row["contracts"] == needed, f"{row['contracts']}/{needed}", resume)]
    if row["stage_promised"] or promised:
        items.append(item("split-family rows", 0 < promised == pairs, f"{pairs}/{promised}", resume))
    if row["stage_promised"] or row["checkpoints_at_stake"]:
        items.append(item("checkpoint promoted and durable", promoted is not None, promoted or "none", resume))
    if not row["stage_promised"]:
        return [*items, item("run finished", row["finished"], "finished" if row["finished"] else "not yet", resume)]
    replays = row["replays"]
    closes = replay if promoted else resume
    items.insert(
        2, item("replays of order and content", replays >= REPLAYS_WANTED, f"{replays}/{REPLAYS_WANTED}", closes)
    )
    receipt = commands.plain("receipt") if row["receipts"] else resume
    completed = row["stages_completed"] > 0 and row["stages_completed"] == row["stages_started"]
    return [
        *items,
        item("receipt verified", verified, f"{row['receipts']} recorded", receipt),
        item("stage completed", completed, row["stage_id"] or "no stage", resume),
    ]
