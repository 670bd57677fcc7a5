"""A run over real token data: audited with the data at hand it is `replayed`, and one token that differs is found."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from psion_ledger import data, events
from psion_ledger.auditing import Audit, audit
from psion_ledger.contracts import Contracts, EvaluationSet, encode_document
from psion_ledger.contracts.sampling_plan import Cadence, Passes, PlanOrder
from psion_ledger.data import Data, Tokens
from psion_ledger.digest import sha256
from psion_ledger.errors import CannotDecide
from psion_ledger.ledger import Run
from psion_ledger.reading import read
from psion_ledger.replay import declared_corpus_digest, opened_corpus, record_replay
from tests.data.writing import FORMATS, LENGTH, STREAMS, digest, source, write
from tests.documents import changed
from tests.edits import edited, place
from tests.ledgers import Script, write_ledger
from tests.practices.parts import loop as looped
from tests.practices.parts import order, plan, shuffled
from tests.practices.recorder import Attempt, Loop, script_of
from tests.suites import sampled

ENTRIES, STEPS, BATCH = 24, 4, 4
ROWS = [[100 * row + spot for spot in range(1 + row * 5 % 7)] for row in range(ENTRIES)]
EVEN = [[100 * row + spot for spot in range(LENGTH)] for row in range(ENTRIES)]
HELD_OUT = [[60_000 + 10 * row + spot for spot in range(LENGTH)] for row in range(6)]


def described(folder: Path, kind: str, unit: Any = "sequence") -> Data:
    """Train data of a format, in two files, and evaluation data of raw shards."""
    rows = EVEN if kind in STREAMS or kind == "npy rows" else ROWS
    parts = (("b", rows[:9]), ("a", rows[9:]))
    own = [source(kind, write(folder / "tokens", kind, part, name)) for name, part in parts]
    own.append(data.shards(write(folder, "raw", HELD_OUT, "held-out"), split="held_out"))
    return data.describe(own, sequence_tokens=LENGTH, unit=unit)


def loop_of(found: Data) -> Loop:
    """A loop over the train family of what was described, which evaluates on the held out one."""
    train = next(family for family in found.families if family.split_kind == "train")
    held = next(family for family in found.families if family.split_kind == "held_out")
    measured = EvaluationSet(
        evaluation_set="held_out", split_name="held_out", source_family_id="text", stride=2, sequences=3,
        first_sequence_id=held.first_sequence_id, end_sequence_id=held.first_sequence_id + 6,
    )  # fmt: skip
    twice = Cadence(every_steps=2, at_start=True, at_end=True)
    # No derived order is over windows: theirs is in a file, every seventh one.
    windows = [7 * position % train.sequences for position in range(STEPS * BATCH)]
    in_file = PlanOrder(kind="materialised", may_repeat="anything")
    is_window = found.unit == "window"
    own = plan(
        train.sequences, in_file if is_window else order(), steps=STEPS, batch=BATCH, token_dtype=None,
        families=found.families, unit=found.unit, sequence_tokens=found.sequence_tokens,
        dataset_identity=found.dataset_identity, passes=Passes(sequences=train.sequences, end="spans"),
        evaluation_sets=[measured], evaluations=twice, checkpoints=twice,
    )  # fmt: skip
    assert found.token_data is not None
    tokens = Tokens(own, found.token_data, found.root)
    made = looped(
        own, windows.__getitem__ if is_window else shuffled(train.sequences), Attempt(until=3),
        Attempt(cut=2, until=STEPS), checkpoint_every=2,
        tokens=lambda entry: tokens.content([train.first_sequence_id + entry])[1],
        digest=lambda ids: tokens.content(ids)[2], index_files=tuple(found.index_parts()),
        order_files=((np.array(windows, "<u4").tobytes(), len(windows)),) if is_window else (),
    )  # fmt: skip
    return msgspec.structs.replace(made, contracts=Contracts(sampling_plan=own, token_data=found.token_data))


def audited(ledger: Path, script: Script, corpus: Path) -> Audit:
    with Run(read(write_ledger(ledger, script))) as run:
        return audit(run, require="replayed", corpus=corpus, artifacts=ledger / "none")


CASES = [
    ("parquet", "sequence"), *((kind, "sequence") for kind in FORMATS if kind != "parquet"), ("megatron", "window"),
    ("parquet", "window"), ("raw", "window"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "unit"),
    sampled(CASES, 4, " ".join),
)
def test_a_run_over_real_data_is_replayed(tmp_path: Path, kind: str, unit: str) -> None:
    """Of every format, rows of one length and of several, and windows that go on in another file."""
    found = described(tmp_path / "corpus", kind, unit)
    verdict = audited(tmp_path / "ledger", script_of(loop_of(found)), found.root)
    assert [(law.name, law.findings) for law in verdict.laws if law.status == "violated"] == []
    assert (verdict.verdict, verdict.level, verdict.unproven) == ("PASS", "replayed", [])
    assert "corpus" not in str([point.values for point in verdict.not_proven if point.code == "not_promised"])


@pytest.mark.parametrize(("kind", "unit"), [("parquet", "sequence"), ("raw", "window")])
def test_one_token_that_differs_fails_at_its_batch(tmp_path: Path, kind: str, unit: str) -> None:
    """The third batch was not what the file holds at those places: the law names its event, and no other."""
    found = described(tmp_path / "corpus", kind, unit)
    script = script_of(loop_of(found))
    at = place(script, events.BatchReplayed, 3)  # Step 3 was trained twice: the second time counts.
    stream, batch = script[at]
    assert isinstance(batch, events.BatchReplayed)
    verdict = audited(
        tmp_path / "ledger", edited(script, events.BatchReplayed, 3, token_sha256=digest([1], [2])), found.root
    )
    violated = {law.name: law.findings for law in verdict.laws if law.status == "violated"}
    assert (verdict.verdict, list(violated)) == ("FAIL", ["replay_here_agrees"])
    (finding,) = violated["replay_here_agrees"]
    assert (finding.stream, finding.subject) == (stream, f"position {batch.first_position}")


def test_data_that_is_not_the_declared_one_cannot_decide(tmp_path: Path) -> None:
    """A byte of a file, of an index beside it, or a file that is gone: whether a batch reads it or not."""
    found = described(tmp_path, "megatron")
    contracts = loop_of(found).contracts
    for name in ("tokens/a.bin", "tokens/b.idx", "held-out.bin"):
        path = found.root / name
        before = path.read_bytes()
        for damage in (bytes([before[0] ^ 1]) + before[1:], before[:-4], before + bytes(4), None):
            if damage is None:
                path.unlink()
            else:
                path.write_bytes(damage)
            with pytest.raises(CannotDecide, match=str(path)):
                opened_corpus(contracts, found.root)
        path.write_bytes(before)
    opened_corpus(contracts, found.root).close()


def test_without_its_data_a_run_is_ordered(tmp_path: Path) -> None:
    """It is not wrong, and not `replayed`."""
    found = described(tmp_path / "corpus", "npy rows")
    script = script_of(loop_of(found))
    (found.root / "held-out.bin").unlink()
    verdict = audited(tmp_path / "ledger", script, found.root)
    assert (verdict.verdict, verdict.level) == ("UNPROVEN", "ordered")


LIES: list[tuple[str, dict[str, object]]] = [
    ("npy rows", {"/files/1/dtype": "uint64"}),
    ("npy rows", {"/files/1/sequences": 25, "/files/1/tokens": 200}),
    ("npy rows", {"/files/1/format": "raw", "/files/1/tokens": 44}),
    ("npy rows", {"/files/1/format": "arrow", "/files/1/column": "input_ids"}),
    ("parquet", {"/files/1/column": "tokens"}),
    ("parquet", {"/files/1/column": "attention_mask"}),
    ("npy stream", {"/files/1/sequences": 0}),
]


@pytest.mark.parametrize(("kind", "lie"), LIES)
def test_a_contract_that_describes_a_file_wrongly_cannot_decide(
    tmp_path: Path, kind: str, lie: dict[str, object]
) -> None:
    """The file has the digest, and not what is said of it."""
    found = described(tmp_path, kind)
    contracts = loop_of(found).contracts
    assert contracts.token_data is not None
    wrong = msgspec.structs.replace(contracts, token_data=changed(contracts.token_data, lie))
    with pytest.raises(CannotDecide):
        opened_corpus(wrong, found.root)


@pytest.mark.parametrize("changes", [{"targets": "given"}, {"unit": "content"}])
def test_what_follows_from_no_token_cannot_be_replayed(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Targets that the trainer gave, and sequences without ids."""
    found = described(tmp_path, "npy rows")
    contracts = loop_of(found).contracts
    own = msgspec.structs.replace(contracts.sampling_plan, **changes)
    with pytest.raises(CannotDecide):
        opened_corpus(msgspec.structs.replace(contracts, sampling_plan=own), found.root)


def test_a_recorded_replay_names_the_data_by_its_digest(tmp_path: Path) -> None:
    """The pass is exact, and a law holds the digest of what it read against the declared one."""
    found = described(tmp_path / "corpus", "arrow")
    folder = write_ledger(tmp_path / "ledger", script_of(loop_of(found)))
    record_replay(folder, found.root, "0.1.0")
    assert found.token_data is not None
    with Run(read(folder)) as run:
        row = run.first("select corpus_digest from verification_started")
        verdict = audit(run)
    assert row == (declared_corpus_digest(found.token_data),)
    laws = {law.name: law.status for law in verdict.laws}
    assert (laws["verifications_count_themselves"], laws["verification_agrees_with_training"]) == ("held", "held")


@pytest.mark.parametrize("text", ["{}", None])
def test_a_contract_that_breaks_its_rules_is_a_violation(tmp_path: Path, text: str | None) -> None:
    """Whether it cannot be read, or names a file twice: the audit fails, and says the role."""
    found = described(tmp_path / "corpus", "npy rows")
    script = script_of(loop_of(found))
    roles = [event.contract_role for _, event in script if isinstance(event, events.ContractDeclared)]
    assert found.token_data is not None
    broken = text or encode_document(changed(found.token_data, {"/files/1/path": "../b.npy"}))
    script = edited(
        script, events.ContractDeclared, roles.index("token_data"), document=broken, sha256=sha256(broken.encode())
    )
    with Run(read(write_ledger(tmp_path / "ledger", script))) as run:
        verdict = audit(run)
    (law,) = (law for law in verdict.laws if law.name == "contracts_hold_their_rules")
    assert (verdict.verdict, law.status) == ("FAIL", "violated")
    assert {finding.subject.split("#")[0] for finding in law.findings} == {"token_data"}
