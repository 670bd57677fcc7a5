"""The original's measured verdicts: the same two names for every changed document."""

from collections.abc import Iterable

import pytest

from psion_ledger.receipts.compatibility import original_verdict
from tests.compatibility import BASES, Case, cases, inputs_of, sampled, upstream, upstream_documents
from tests.documents import needs_upstream

pytestmark = needs_upstream
COUNT = 19_013


def disagreements(given: Iterable[Case]) -> list[str]:
    """Which case, where it was changed and how, and the four names."""
    inputs = inputs_of(upstream_documents())
    found = []
    for case in given:
        verdicts = inputs.verdict(case.config, case.receipt)
        if verdicts != case.verdicts:
            place = f"{case.name} {case.base} {case.document}#{case.path} {case.op} {case.note}"
            found.append(f"{place}: the original says {case.verdicts}, we say {verdicts}")
    return found


def test_a_sample_of_every_sort_of_change_has_the_originals_verdicts() -> None:
    """By receipt, document, operation and pair of verdicts, at most three cases each."""
    places = sampled(3, "base", "document", "op", "config_verdict", "receipt_verdict")
    assert disagreements(cases(places)) == []
    assert 600 < len(places) < 900


@pytest.mark.slow
def test_every_changed_document_has_the_originals_verdicts() -> None:
    """All of them."""
    given = list(cases())
    assert disagreements(given) == []
    assert len(given) == COUNT


@pytest.mark.parametrize("base", BASES)
def test_an_unchanged_receipt_is_accepted(base: str) -> None:
    """Each of the four that the changes start from."""
    texts = upstream_documents(base)
    assert inputs_of(texts).verdict(texts.stage_config, texts.receipt) == ("ok", "ok")


def test_the_canonical_documents_are_accepted_by_the_function_too() -> None:
    """`original_verdict` takes the three inputs with each call."""
    texts = upstream_documents()
    inputs = {
        "model_descriptor": texts.model_descriptor,
        "tokenized_corpus": texts.tokenized_corpus,
        "sampling_policy": texts.sampling_policy,
    }
    config = upstream("psion_pretrain_stage_config_v1.json")
    receipt = upstream("psion_pretrain_stage_receipt_v1.json")
    assert original_verdict(config, receipt, **inputs) == ("ok", "ok")
    assert original_verdict(b"{}", receipt, **inputs) == ("parse", "not_run")
    assert original_verdict(b"{}", b"{}", **inputs) == ("parse", "parse")
    assert original_verdict(config, b"{}", **inputs) == ("ok", "parse")
