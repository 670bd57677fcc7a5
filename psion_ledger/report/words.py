"""The sentences of an audit's account. A point carries a code and its values; only here do they become prose."""

from collections.abc import Callable, Mapping
from typing import Any

from psion_ledger.account import Checked, Open, Point, Promise
from psion_ledger.auditing import Audit

Values = dict[str, Any]
LAWS_NAMED_MAX = 5


def _some(names: list[str]) -> str:
    more = len(names) - LAWS_NAMED_MAX
    return ", ".join(names[:LAWS_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _because(values: Values) -> str:
    return f": {values['reason']}" if values.get("reason") else ""


PROMISES: dict[Promise, str] = {
    "stage": "a stage and its receipt",
    "model": "a model",
    "corpus": "a corpus",
    "sampling_policy": "a sampling policy",
    "order": "an order",
    "sequence_ids": "ids of sequences",
    "batch_sizes": "sizes of batches",
    "micro_steps": "sizes of micro batches",
    "evaluation_sets": "evaluation sets",
    "evaluations": "when it evaluates",
    "checkpoints": "when it writes checkpoints",
}
CHECKED: dict[Checked, Callable[[Values], str]] = {
    "bytes": lambda v: (
        f"The bytes: {v['files']:,} sealed files under {v['entries']:,} manifest entries, {v['events']:,} events, are "
        "those that were sealed."
    ),
    "events_encoded_again": lambda v: f"The events of {v['examined']:,} entries, encoded again, give the sealed links.",
    "laws": lambda v: f"The laws: {v['held']:,} of {v['laws']:,} hold ({v['ran']:,} were run).",
    "receipts": lambda v: f"The receipts: {v['examined']:,} derived again from the record, equal field for field.",
    "order": lambda v: f"The order: {v['examined']:,} positions hold the sequences that the contracts put there.",
    "order_and_content": lambda v: (
        f"Order and content: {v['examined']:,} batches derived again from the contracts and the corpus, equal."
    ),
    "checkpoint_files": lambda v: f"The checkpoints at hand: {v['examined']:,} files have the recorded digests.",
    "head": lambda v: f"The history continues the kept head of {v['entries']:,} entries.",
}
OPEN: dict[Open, Callable[[Values], str]] = {
    "damaged": lambda v: f"Everything: the record is damaged ({_some(v['files'])})." if v["files"] else (
        "Everything: the record is not the one that was written."
    ),
    "vacuous": lambda v: f"Laws that had nothing to examine: {_some(v['laws'])}.",
    "skipped": lambda v: f"The law {v['law']} was not run{_because(v)}.",
    "torn": lambda v: f"Events behind a torn end: {v['file']} is cut inside a frame, as a crash leaves it.",
    "unfinished": lambda v: "The run is not finished.",
    "not_anchored": lambda v: "That the history is the original one: no head that was kept outside was given.",
    "head_covers_less": lambda v: (
        f"That the history is the original one: the kept head has {v['covered']:,} entries, and the verdict rests on "
        f"entries {v['first_uncovered']:,} to {v['last_uncovered']:,} as well."
    ),
    "tail_not_anchored": lambda v: f"Entries {v['covered']:,} to {v['entries'] - 1:,}: the kept head is older.",
    "unsealed": lambda v: "Events that are not sealed yet: no head covers them.",
    "compacted_since": lambda v: "Segments that were compacted after the kept head was signed.",
    "replay_is_recorded": lambda v: (
        f"The content of the batches: the run recorded {v['passes']:,} exact replays of its own; this audit did none."
    ),
    "order": lambda v: f"The order of the batches{_because(v)}.",
    "order_and_content": lambda v: f"The content of the batches{_because(v)}.",
    "checkpoint_files": lambda v: f"The checkpoints' files{_because(v)}.",
    "base_run": lambda v: f"The base that the run began with{_because(v)}.",
    "events_encoded_again": lambda v: "That the sealed columns are the very events that were chained.",
    "not_promised": lambda v: f"Not promised, and so not asked for: {', '.join(PROMISES[what] for what in v['what'])}.",
    "losses": lambda v: "Losses, gradient norms and weights: they are the run's word until steps are executed again.",
    "circumstances": lambda v: "Who ran it, on which machine, and when: nothing in a ledger can show that.",
}  # fmt: skip


def checked(point: Point) -> str:
    """A point that the audit checked, in words."""
    return _of(CHECKED, point)


def not_proven(point: Point) -> str:
    """An open point, in words."""
    return _of(OPEN, point)


def _of(sentences: Mapping[Any, Callable[[Values], str]], point: Point) -> str:
    return sentences[point.code](point.values)


def verdict(found: Audit) -> str:
    """The verdict in words: a level is named only where one was reached."""
    held = sum(law.status == "held" for law in found.laws)
    if found.selected:
        chosen = [law for law in found.laws if law.name in found.selected]
        chosen_held = sum(law.status == "held" for law in chosen)
        return f"{chosen_held} of {found.laws_total} laws held, {len(chosen)} selected"
    witnessed = found.evidence["witnessed"]
    parts = ["no level reached" if found.level == "none" else f"level {found.level}"]
    if found.level == "replayed":
        parts[0] += " (here)"
    if witnessed is not None:
        parts.append(f"witnessed to entry {witnessed} of {found.evidence['entries']}")
    parts.append(f"{held} of {found.laws_total} laws held")
    return ", ".join(parts)


def next_step(found: Audit) -> str | None:
    """The command that closes the most important open point, where one does."""
    return next((point.closes for point in found.not_proven if point.closes is not None), None)
