"""The audit for people, in Rich: at most 100 columns, legible without colour. Every text goes through `plain`."""

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from psion_ledger.auditing import FAMILIES, Audit
from psion_ledger.escape import brief, plain
from psion_ledger.findings import Finding, LawResult
from psion_ledger.report import words
from psion_ledger.report.console import COLUMNS, text
from psion_ledger.report.facts import Facts, Item, Row

FINDINGS_SHOWN = 5
INDENT_MAX = 6
_STYLE = {"PASS": "bold green", "HELD": "bold green", "FAIL": "bold red", "UNPROVEN": "bold yellow"}
_MARK = {"violated": "VIOLATED", "vacuous": "vacuous", "not_applicable": "n/a", "skipped": "skipped"}


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
    if found.checked_here:
        parts.append(_account("Checked here", [(words.checked(point), None) for point in found.checked_here]))
    if found.not_proven:
        lines = [(words.not_proven(point), point.closes) for point in found.not_proven]
        parts.append(_account("On the run's word, or not proven", lines))
    parts.append(_last_line(found))
    out.print(Group(*parts), crop=False)


def _titled(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(""), Text(title, style="bold"), Padding(body, (0, 0, 0, 2)))


def _verdict(found: Audit) -> Panel:
    lines = Text()
    lines.append(found.verdict, style=_STYLE[found.verdict])
    lines.append(f"   {words.verdict(found)}   run {plain(found.run_id)}")
    if required := _required(found):
        lines.append(f"\nrequired: {required}")
    violated = [law for law in found.laws if law.status == "violated"]
    if violated:
        lines.append(
            f"\n{len(violated)} of {len(found.laws)} laws violated; each is below, with where and what was found"
        )
    return Panel(lines, title="psion-ledger audit", title_align="left", width=COLUMNS)


def _required(found: Audit) -> str:
    witnessed = ["witnessed"] if found.witness_required else []
    return " and ".join([*([found.required_level] if found.required_level else []), *witnessed])


def _account(title: str, lines: list[tuple[str, str | None]]) -> RenderableType:
    """A list of sentences; under one that a command closes, the command, never wrapped, so that it can be pasted."""
    parts: list[RenderableType] = [Text(f"\n{title}", style="bold")]
    for line, closes in lines:
        parts.append(Padding(text(f"- {line}"), (0, 0, 0, 2)))
        if closes:
            parts.append(Text(f"      {plain(closes)}", style="italic", no_wrap=True, overflow="ignore"))
    return Group(*parts)


def _last_line(found: Audit) -> RenderableType:
    line = Text(f"\n{found.verdict}", style=_STYLE[found.verdict])
    line.append(f"  {words.verdict(found)}", style="default")
    step = words.next_step(found)
    if step is None:
        return line
    return Group(line, Text(f"next: {plain(step)}", no_wrap=True, overflow="ignore"))


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
    for name in ("sequences", "tokens", "share", "nats/token"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        share = row["token_share_bps"]
        table.add_row(
            text(row["split_name"]),
            text(row["source_family_id"]),
            _number(row["sequences"]),
            _number(row["tokens"]),
            "-" if share is None else f"{share / 100:.2f} %",
            _number(row["loss_nats"], ".4f"),
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
        unread = [law for law in own if law.skipped is not None and law.skipped.code == "damaged"]
        note = "ok" if held == len(own) else "not run: the record is damaged" if unread else ""
        table.add_row(family, f"{held} of {len(own)} held", _number(examined), note)
        for law in (law for law in own if law.status != "held" and law not in unread):
            style = {"violated": "bold red", "vacuous": "yellow"}.get(law.status, "dim")
            findings = f" ({law.findings_total})" if law.findings_total else ""
            why = f": {plain(brief(law.skipped.reason))}" if law.skipped is not None else ""
            mark = Text(_MARK[law.status] + findings + why, style=style)
            table.add_row("", f"  {law.name}", _number(law.examined), mark)
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


def _lineage(rows: list[Row]) -> Table:
    """A row a checkpoint, each under its parent and naming it; one is indented where its parent has several."""
    children: dict[str | None, list[Row]] = {}
    known = {row["checkpoint_id"] for row in rows}
    for row in rows:
        parent = row["parent_checkpoint_id"]
        children.setdefault(parent if parent in known else None, []).append(row)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("checkpoint", "parent", "step", "weights", ""):
        table.add_column(name, overflow="fold", justify="right" if name == "step" else "left")
    # Deepest first, without recursion: a lineage may be longer than Python's stack.
    pending = [(root, 0) for root in reversed(children.get(None, []))]
    shown = set[str]()
    while pending:
        row, depth = pending.pop()
        shown.add(row["checkpoint_id"])
        own = children.get(row["checkpoint_id"], [])
        below = depth + (len(own) > 1)
        pending.extend((child, below) for child in reversed(own) if child["checkpoint_id"] not in shown)
        table.add_row(*_checkpoint(row, min(depth, INDENT_MAX)))
    return table


def _checkpoint(row: Row, depth: int) -> list[Text]:
    notes = Text()
    if row["label"] is not None:
        notes.append(f"promoted as {plain(brief(row['label']))} ", style="bold green")
    if not row["effective"]:
        notes.append("superseded ", style="dim")
    if row["same_weights_as"] is not None:
        notes.append(f"same weights as {plain(brief(row['same_weights_as']))} ", style="bold yellow")
    if row["removed"] is not None:
        notes.append(f"removed: {plain(brief(row['removed']))}", style="dim")
    parent = row["parent_checkpoint_id"]
    return [
        text("  " * depth + row["checkpoint_id"]), text("-" if parent is None else parent), text(row["step"]),
        text(row["object_sha256"][:16]), notes,
    ]  # fmt: skip
