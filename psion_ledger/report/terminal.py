"""The audit for people, in Rich: at most 100 columns, legible without colour. Every text goes through `plain`."""

from typing import IO, Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from psion_ledger.audit import FAMILIES, Audit, Finding, LawResult
from psion_ledger.report.escape import plain
from psion_ledger.report.facts import Facts, Item, Row

COLUMNS = 100
FINDINGS_SHOWN = 5
_STYLE = {"PASS": "bold green", "FAIL": "bold red", "UNPROVEN": "bold yellow"}
_MARK = {"violated": "VIOLATED", "vacuous": "vacuous", "not_applicable": "n/a", "skipped": "skipped"}


def console(file: IO[str] | None = None) -> Console:
    """A console of 100 columns at most, on stdout or a file; Rich honours NO_COLOR by itself."""
    made = Console(file=file, highlight=False, emoji=False, markup=False)
    made.width = min(made.width, COLUMNS) if made.is_terminal else COLUMNS
    return made


def text(value: object, style: str = "") -> Text:
    return Text(plain(str(value)), style=style)


def show_audit(out: Console, found: Audit, facts: Facts | None) -> None:
    """Print the whole report; `facts` is null when the record is too damaged to read more from it."""
    parts: list[RenderableType] = [_verdict(found)]
    if facts is not None:
        parts += [
            Group(Text("\nStage completeness", style="bold"), _checklist(facts.items)),
            _titled("Splits and families", _splits(facts.splits)),
        ]
        parts += [_titled("Run", _summary(facts.summary))]
    parts.append(_titled("Laws", _laws(found.laws)))
    steps = {} if facts is None else facts.steps
    parts += [_violation(law, steps) for law in found.laws if law.status == "violated"]
    if facts is not None and facts.lineage:
        parts.append(_titled("Checkpoint lineage", _lineage(facts.lineage)))
    out.print(Group(*parts), crop=False)


def _titled(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(""), Text(title, style="bold"), Padding(body, (0, 0, 0, 2)))


def level_words(found: Audit) -> str:
    """The level reached, and by whom what can be done elsewhere was done."""
    if found.level == "replayed":
        return "replayed (here)"
    return found.level


def _verdict(found: Audit) -> Panel:
    lines = Text()
    lines.append(found.verdict, style=_STYLE[found.verdict])
    lines.append(f"   level {level_words(found)}   required {found.required_level}   run {plain(found.run_id)}")
    if found.evidence["replayed"] == "recorded":
        lines.append("\nThe run recorded its own exact replays; --require replayed repeats one here.")
    lines.append(f"\n{_anchor(found)}")
    for reason in [*found.unproven, *found.evidence["not_at_hand"]]:
        lines.append(f"\n- {plain(reason)}")
    violated = [law for law in found.laws if law.status == "violated"]
    if violated:
        lines.append(f"\n- {len(violated)} of {len(found.laws)} laws violated; what was expected and found is below")
    return Panel(lines, title="psion-ledger audit", title_align="left", width=COLUMNS)


def _anchor(found: Audit) -> str:
    """How far a head that somebody kept outside vouches for the record."""
    entries, anchored = found.evidence["entries"], found.evidence["witnessed"]
    if anchored is None:
        return "The tail is not anchored: no head kept outside was held against it."
    if anchored == entries:
        return f"Witnessed: the kept head has all {entries} manifest entries."
    return f"Witnessed to entry {anchored} of {entries}; the tail behind it is not anchored."


def _checklist(items: list[Item]) -> RenderableType:
    """A line an item; under an open one the command that closes it, never wrapped, so that it can be pasted."""
    lines: list[RenderableType] = []
    for item in items:
        mark = Text("  [x]  ", style="green") if item.done else Text("  [ ]  ", style="yellow")
        lines.append(mark + text(f"{item.what:<33}{item.count}"))
        if item.closes:
            lines.append(Text(f"         {plain(item.closes)}", style="italic", no_wrap=True, overflow="ignore"))
    return Group(*lines)


def _number(value: Any, form: str = ",") -> str:
    return "-" if value is None else format(value, form)


def _splits(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("split", "source family"):
        table.add_column(name, overflow="fold")
    for name in ("sequences", "tokens", "share", "loss"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        share = row["token_share_bps"]
        table.add_row(
            text(row["split_name"]),
            text(row["source_family_id"]),
            _number(row["sequences"]),
            _number(row["tokens"]),
            "-" if share is None else f"{share / 100:.2f} %",
            _number(row["loss"], ".4f"),
        )
    return table


def _summary(row: Row) -> Table:
    table = Table.grid(padding=(0, 2))
    facts = [
        ("model", f"{row['model_id'] or '-'}, {_number(row['parameters'])} parameters"),
        (
            "steps",
            f"{_number(row['steps'])} of {_number(row['horizon_steps'])}, {_number(row['tokens'])} tokens",
        ),
        (
            "speed",
            f"{_number(row['tokens_per_s'], ',.0f')} tokens/s, {_number(row['step_ms'], '.1f')} ms a step",
        ),
        ("wall time", f"{_number(row['wall_s'], '.1f')} s"),
        ("attempts", f"{row['attempts']}, {row['superseded_steps']} steps superseded"),
    ]
    for name, value in facts:
        table.add_row(name, text(value))
    return table


def _laws(laws: list[LawResult]) -> Table:
    """A row a family; under it every law that did not simply hold. `psion-ledger laws` says what each promises."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("family", overflow="fold")
    table.add_column("laws", overflow="fold")
    table.add_column("examined", justify="right")
    table.add_column("")
    for family in FAMILIES:
        own = [law for law in laws if law.family == family]
        if not own:
            continue
        held = sum(law.status == "held" for law in own)
        examined = sum(law.examined for law in own)
        table.add_row(family, f"{held} of {len(own)} held", _number(examined), "ok" if held == len(own) else "")
        for law in (law for law in own if law.status != "held"):
            style = {"violated": "bold red", "vacuous": "yellow"}.get(law.status, "dim")
            findings = f" ({law.findings_total})" if law.findings_total else ""
            table.add_row("", f"  {law.name}", _number(law.examined), Text(_MARK[law.status] + findings, style=style))
    return table


def _violation(law: LawResult, steps: dict[tuple[str, int], int]) -> RenderableType:
    head = Text(f"\nVIOLATED {law.family}/{law.name}: ", style="bold red") + text(law.law)
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=8)
    table.add_column(overflow="fold")
    for finding in law.findings[:FINDINGS_SHOWN]:
        table.add_row("where", text(finding.subject + _place(finding, steps), "bold"))
        table.add_row("expected", text(finding.expected))
        table.add_row("found", text(finding.actual))
    more = law.findings_total - min(FINDINGS_SHOWN, len(law.findings))
    if more:
        table.add_row("", f"and {more} more: `psion-ledger audit --format json -s {law.name}` lists up to 100")
    return Group(head, Padding(table, (0, 0, 0, 2)))


def _place(finding: Finding, steps: dict[tuple[str, int], int]) -> str:
    """Stream, sequence number and step of the event that a finding is about, as far as it is about one."""
    if finding.stream is None or finding.event_seq is None:
        return ""
    step = steps.get((finding.stream, finding.event_seq))
    return f"   stream {finding.stream}, seq {finding.event_seq}" + ("" if step is None else f", step {step}")


def _lineage(rows: list[Row]) -> RenderableType:
    """The tree of checkpoints. A chain of single children stays on one level, so that long runs stay narrow."""
    children: dict[str | None, list[Row]] = {}
    known = {row["checkpoint_id"] for row in rows}
    for row in rows:
        parent = row["parent_checkpoint_id"]
        children.setdefault(parent if parent in known else None, []).append(row)
    trees = []
    for root in children.get(None, []):
        tree = Tree(_checkpoint(root))
        pending = [(tree, root)]
        while pending:
            node, row = pending.pop()
            following = children.get(row["checkpoint_id"], [])
            while len(following) == 1:
                node.add(_checkpoint(following[0]))
                following = children.get(following[0]["checkpoint_id"], [])
            pending.extend((node.add(_checkpoint(child)), child) for child in following)
        trees.append(tree)
    return Group(*trees)


def _checkpoint(row: Row) -> Text:
    line = text(f"{row['checkpoint_id']}  step {row['step']}  weights {row['weights_sha256'][:16]}")
    if row["label"] is not None:
        line.append(f"  promoted as {plain(row['label'])}", style="bold green")
    if not row["effective"]:
        line.append("  superseded", style="dim")
    if row["removed"] is not None:
        line.append(f"  removed: {plain(row['removed'])}", style="dim")
    return line
