"""`psion-ledger verify` on a receipt and its documents, as a process: with and without a ledger."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from psion_ledger.receipts.strict import Documents
from tests.cli import FIXTURE_LEDGER, psion
from tests.compatibility import fixture_documents, put, upstream_documents
from tests.compatibility.full import TEXT
from tests.documents import needs_upstream

OPTIONS = {
    "stage_config": "--config",
    "model_descriptor": "--descriptor",
    "tokenized_corpus": "--corpus",
    "sampling_policy": "--policy",
}
STRICTLY, ORIGINALLY = "strictly, against its documents", "as the original would, against its documents"
DERIVED = "recorded in its ledger; derived again as of 3 manifest entries"
NEVER = "never recorded in its ledger; derived again as of 4 manifest entries"
REPLAY = "/replay_receipt/exact_replay_observed"


def files(folder: Path, texts: Documents) -> dict[str, list[object]]:
    """The documents as files; by role, the words that name each on a command line."""
    words: dict[str, list[object]] = {}
    for role in texts.__struct_fields__:
        path = folder / f"{role}.json"
        path.write_bytes(getattr(texts, role))
        words[role] = [OPTIONS[role], path] if role in OPTIONS else [path]
    return words


def verify(folder: Path, texts: Documents, *words: object) -> tuple[int, Any]:
    """Exit code and JSON output of `verify` on all five documents."""
    named = [word for part in files(folder, texts).values() for word in part]
    done = psion("verify", *named, "--format", "json", *words)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def passed(*checked: str) -> tuple[int, Any]:
    return 0, {"schema": "psion_ledger.verification.v1", "verdict": "PASS", "checked": [*checked], "findings": []}


def failed(checked: list[str], *findings: tuple[str, str, str, str]) -> tuple[int, Any]:
    found = [dict(zip(("code", "pointer", "expected", "actual"), finding, strict=True)) for finding in findings]
    return 1, {"schema": "psion_ledger.verification.v1", "verdict": "FAIL", "checked": checked, "findings": found}


def test_good_documents_pass_strictly_without_a_ledger(tmp_path: Path) -> None:
    """The fixture's, in a folder where there is no ledger."""
    named = [word for part in files(tmp_path, fixture_documents()).values() for word in part]
    done = psion("verify", *named, "--format", "json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (*passed(STRICTLY), "")


@needs_upstream
def test_the_originals_documents_pass(tmp_path: Path) -> None:
    """Strictly and as the original would."""
    texts = upstream_documents("cuda_topology")
    assert verify(tmp_path, texts) == passed(STRICTLY)
    assert verify(tmp_path, texts, "--profile", "original") == passed(ORIGINALLY)


def test_a_profile_decides_what_is_a_fault(tmp_path: Path) -> None:
    """A replay that was not exact: of two faults the original names the first, the strict reading both."""
    texts = msgspec.structs.replace(fixture_documents(), receipt=put(TEXT, REPLAY, False))
    original = ("ReplayDigestMismatch", "receipt#", "ok", "ReplayDigestMismatch")
    strict = ("ReplayNotExact", f"receipt#{REPLAY}", "true", "false")
    assert verify(tmp_path, texts, "--profile", "original") == failed([ORIGINALLY], original)
    assert verify(tmp_path, texts, "--profile", "strict") == failed([STRICTLY], original, strict)


def test_documents_and_ledger_are_both_asked(tmp_path: Path) -> None:
    """A recorded receipt holds by both; a changed one is named by each."""
    texts = fixture_documents()
    ledger = ("--ledger", FIXTURE_LEDGER)
    assert verify(tmp_path, texts, *ledger) == passed(STRICTLY, DERIVED)
    label = "/checkpoint_lineage/promoted_checkpoint_label"
    changed = msgspec.structs.replace(texts, receipt=put(texts.receipt, label, "a|b"))
    assert verify(tmp_path, changed, *ledger) == failed(
        [STRICTLY, NEVER],
        ("CheckpointLineageDigestMismatch", "receipt#", "ok", "CheckpointLineageDigestMismatch"),
        ("SeparatorInIdentity", f"receipt#{label}", "no `|`", "a|b"),
        ("FieldMismatch", f"receipt#{label}", "smoke-pretrain-final", "a|b"),
    )


def test_a_verification_is_shown_to_people(tmp_path: Path) -> None:
    """The verdict, what was checked, and for each finding its pointer, code and both values; nothing hostile."""
    texts = msgspec.structs.replace(fixture_documents(), receipt=put(TEXT, "/summary", "a\x1b[31m\u202eb"))
    named = [word for part in files(tmp_path, texts).values() for word in part]
    done = psion("verify", *named, "--profile", "original")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "FAIL",
        f"  {ORIGINALLY}",
        "receipt#  ReceiptDigestMismatch",
        "  expected ok",
        "  found    ReceiptDigestMismatch",
    ]


@pytest.mark.parametrize("left_out", [("stage_config",), ("stage_config", "model_descriptor", "tokenized_corpus")])
def test_an_incomplete_set_of_documents_is_a_usage_error(tmp_path: Path, left_out: tuple[str, ...]) -> None:
    """Four or none; the ledger that is named beside them does not help."""
    words = files(tmp_path, fixture_documents())
    named = [word for role, part in words.items() if role not in left_out for word in part]
    done = psion("verify", *named, "--ledger", FIXTURE_LEDGER)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "give all of --config, --descriptor, --corpus and --policy, or none" in done.stderr


def test_the_originals_profile_needs_documents(tmp_path: Path) -> None:
    """A ledger alone has no original to ask."""
    receipt = files(tmp_path, fixture_documents())["receipt"]
    done = psion("verify", *receipt, "--profile", "original", "--ledger", FIXTURE_LEDGER)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


def test_an_input_that_the_original_cannot_read(tmp_path: Path) -> None:
    """A finding of the strict reading; the original's own verdict cannot be had: exit code 2, one line."""
    texts = msgspec.structs.replace(fixture_documents(), sampling_policy=b"{}")
    code, found = verify(tmp_path, texts)
    assert (code, [finding["pointer"] for finding in found["findings"]]) == (
        1,
        ["sampling_policy#", "sampling_policy#/schema_version"],
    )
    named = [word for part in files(tmp_path, texts).values() for word in part]
    done = psion("verify", *named, "--profile", "original")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "psion-ledger: sampling_policy#: the original cannot read this document; give its own text\n"


def test_half_a_surrogate_pair_is_shown(tmp_path: Path) -> None:
    """As a key that stands twice: no UTF-8 has it, and the output is UTF-8."""
    texts = msgspec.structs.replace(fixture_documents(), receipt=b'{"\\ud800": 1, "\\ud800": 2}')
    code, found = verify(tmp_path, texts)
    assert (code, [(finding["code"], finding["pointer"]) for finding in found["findings"]]) == (
        1,
        [("parse", "receipt#"), ("DuplicateKey", "receipt#/\\ud800"), ("Malformed", "receipt#")],
    )
