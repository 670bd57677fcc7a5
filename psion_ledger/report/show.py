"""Small outputs of the command line: a run's facts, a verification, a replay."""

from datetime import UTC, datetime
from typing import Any

from rich.padding import Padding
from rich.table import Table

from psion_ledger import catalog, heads
from psion_ledger.escape import plain
from psion_ledger.fsck import Checked
from psion_ledger.ledger import Run
from psion_ledger.replay import Replay
from psion_ledger.report import rows as printing
from psion_ledger.report.console import console, text
from psion_ledger.report.documents import Check
from psion_ledger.report.facts import report_rows

FINDINGS_SHOWN = 100
# Columns of the tables of a run that JSON alone has, and those that are shown where any row has a value.
_LEFT_OUT, _RARE = ("sequence_share_bps", "removed"), ("same_weights_as",)


def facts(run: Run) -> dict[str, Any]:
    """What `show` prints, as values."""
    return {
        "run_id": run.run_id,
        "damaged": [fault.file for fault in run.faults],
        "entries": len(run.record.manifest.entries),
        "head": run.record.manifest.head().hex(),
        "summary": report_rows(run, "summary")[0],
        "contracts": _rows(
            run, "select role, schema_version, lower(hex(sha256)) as sha256 from contracts order by role"
        ),
        "splits": report_rows(run, "splits"),
        "streams": _rows(
            run,
            "select stream, role, attempt, rank, events, last_seq, ended_seq is not null or verified_seq is "
            "not null as ended from streams order by stream",
        ),
        "checkpoints": report_rows(run, "lineage"),
    }


def _rows(run: Run, sql: str) -> list[dict[str, Any]]:
    return run.rows(catalog.Query(name="", path="", header={}, sql=sql))


def print_run(run: Run) -> None:
    known = facts(run)
    out = console()
    out.print(text(f"run {known['run_id']}: {known['entries']} manifest entries, head {known['head'][:16]}", "bold"))
    for name, value in known["summary"].items():
        out.print(text(f"  {name:<18} {printing.shown(value)}"))
    for title in ("contracts", "splits", "streams", "checkpoints"):
        out.print()
        out.print(text(title, "bold"))
        rows = known[title]
        if rows:
            table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
            shown = [name for name in rows[0] if name not in _LEFT_OUT and (name not in _RARE or _any(rows, name))]
            for name in shown:
                table.add_column(name, overflow="fold")
            for row in rows:
                table.add_row(*(text(_brief(row[name])) for name in shown))
            out.print(Padding(table, (0, 0, 0, 2)))


def _any(rows: list[dict[str, Any]], name: str) -> bool:
    return any(row[name] is not None for row in rows)


def _brief(value: Any) -> str:
    shown = f"{value:.4f}" if isinstance(value, float) else printing.shown(value)
    return shown[:16] if len(shown) == 64 else shown


def verification(found: Check) -> dict[str, Any]:
    """`psion_ledger.verification.v1` without its schema."""
    return {
        "verdict": "FAIL" if found.findings else "PASS",
        "checked": found.checked,
        "findings": [
            {"code": f.code, "pointer": f.pointer, "expected": f.expected, "actual": f.actual} for f in found.findings
        ],
    }


def print_verification(found: Check) -> None:
    out = console()
    out.print(text("FAIL" if found.findings else "PASS", "bold"))
    for line in found.checked:
        out.print(text(f"  {line}"))
    for finding in found.findings:
        out.print(text(f"{finding.pointer or '/'}  {finding.code}", "bold"))
        out.print(text(f"  expected {finding.expected}"))
        out.print(text(f"  found    {finding.actual}"))


def print_replay(found: Replay) -> None:
    out = console()
    verdict = "differs" if found.mismatches else "exact"
    counted = f"{found.batches:,} batches of {found.steps:,} steps, {found.mismatches:,} mismatches"
    out.print(text(f"{verdict}  run {found.run_id}: order and content of {counted}"))
    for finding in found.findings[:5]:
        out.print(text(f"{finding['subject']}: expected {finding['expected']}, found {finding['actual']}"))
    if found.recorded_as is not None:
        out.print(text(f"recorded as stream {plain(found.recorded_as)}"))


def print_fsck(found: Checked) -> None:
    out = console()
    out.print(text(f"{found.verdict}  run {found.run_id}", "bold"))
    counted = [f"{found.entries} manifest entries", f"{found.files} segments", f"{found.journals} journals"]
    counted += [f"{found.heads} heads", *(["every sealed event encoded again"] if found.deep else [])]
    out.print(text(f"  {', '.join(counted)}"))
    for finding in found.findings[:FINDINGS_SHOWN]:
        seqs = "" if finding.seq_first is None else f", seq {finding.seq_first}"
        seqs += "" if finding.seq_last is None else f" to {finding.seq_last}"
        where = "" if finding.stream is None else f"   stream {finding.stream}{seqs}"
        out.print(text(f"{finding.code}  {finding.file}{where}", "bold"))
        out.print(text(f"  {finding.detail}"))
    if len(found.findings) > FINDINGS_SHOWN:
        out.print(text(f"and {len(found.findings) - FINDINGS_SHOWN:,} more: --format json lists them all"))


def print_proof(found: heads.Checked, proven: heads.Statement | None, findings: list[heads.Finding]) -> None:
    out = console()
    out.print(text("FAIL" if findings else "PASS", "bold"))
    for head in found.heads:
        out.print(text(f"  signed: {head.size} entries of {head.origin}"))
    if proven is not None:
        out.print(text(f"  proves: {_proven(proven)}"))
        for name, value in ({} if proven.event is None else proven.event["fields"]).items():
            out.print(text(f"    {name} {printing.shown(value)}"))
    for finding in findings:
        out.print(text(f"{finding.pointer}  {finding.code}", "bold"))
        out.print(text(f"  expected {finding.expected}"))
        out.print(text(f"  found    {finding.actual}"))


def _proven(proven: heads.Statement) -> str:
    entry, event = proven.entry, proven.event
    if event is not None and entry is not None:
        recorded = datetime.fromtimestamp(event["recorded_at_ns"] // 1_000_000_000, UTC)
        place = f"seq {event['seq']} of {event['stream']}, recorded {recorded:%Y-%m-%d %H:%M:%S} UTC"
        return f"{event['kind']} at {place}, is in entry {entry['number']} of the log"
    if entry is not None:
        seqs = f"seq {entry['first_seq']} to {entry['last_seq']} of {entry['stream']}"
        return f"entry {entry['number']} is in the log: {seqs}"
    first, last = proven.sizes
    if proven.kind == "consistency":
        return f"the log of {last} entries begins with the log of {first}"
    return f"the key signed two histories: they differ within the first {first} entries"
