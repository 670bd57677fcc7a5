"""Whatever the texts hold: a pair of known names, findings, or ContractRefused; never another exception."""

from typing import Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psion_ledger.errors import ContractRefused
from psion_ledger.receipts.compatibility import OriginalInputs
from psion_ledger.receipts.strict import Documents
from psion_ledger.receipts.verify import compare
from psion_ledger.report import documents, machine, show
from tests.compatibility import fixture_documents, fixture_inputs, inputs_of
from tests.compatibility.full import FULL, TEXT
from tests.compatibility.mutations import mutated
from tests.compatibility.trees import nested

FIXTURE = fixture_documents()
INPUTS = ("model_descriptor", "tokenized_corpus", "sampling_policy")
# Every name that the original's two functions can give, by its documentation.
CONFIG_NAMES = {
    "ok", "parse", "MissingField", "FieldMismatch", "SchemaVersionMismatch", "StageKindMismatch", "InvalidBpsValue",
    "ContextLengthMismatch",
}  # fmt: skip
RECEIPT_NAMES = CONFIG_NAMES | {
    "not_run", "ObjectiveConfigMismatch", "DuplicateSourceFamilyReportRow", "UnknownSplitName", "SplitKindMismatch",
    "UnknownSourceFamilyForSplit", "UnknownSourceIdForFamily", "SourceFamilyCoverageMismatch",
    "InvalidSplitShareTotal", "ReplayContractMismatch", "MissingSuccessfulReplay", "ReplayDigestMismatch",
    "CheckpointFamilyMismatch", "CheckpointLineageDigestMismatch", "InvalidDeliveredExecution",
    "ReceiptDigestMismatch",
}  # fmt: skip

given_documents = st.tuples(
    st.one_of(st.just(FIXTURE.stage_config), mutated(FIXTURE.stage_config)), st.one_of(st.just(TEXT), mutated(TEXT))
)
given_inputs = st.sampled_from(INPUTS).flatmap(lambda role: st.tuples(st.just(role), mutated(getattr(FIXTURE, role))))


def judged(config: bytes, receipt: bytes, inputs: OriginalInputs) -> tuple[str, str]:
    """The verdicts, which must be known names that go together."""
    of_config, of_receipt = verdicts = inputs.verdict(config, receipt)
    assert of_config in CONFIG_NAMES
    assert of_receipt in RECEIPT_NAMES
    assert (of_receipt == "not_run") <= (of_config == "parse")
    assert (of_config not in ("ok", "parse")) <= (of_receipt in (of_config, "parse"))
    return verdicts


def checked(texts: Documents) -> None:
    """What `verify` does without a ledger, to the end of its output. The original's word on inputs that it cannot
    read is a refusal; the strict reading's is a finding."""
    try:
        found = check(texts, "original")
    except ContractRefused:
        found = None
    for shown in (found, check(texts, "strict")):
        if shown is not None:
            machine.document("psion_ledger.verification.v1", show.verification(shown))


def check(texts: Documents, profile: Literal["strict", "original"]) -> documents.Check:
    three = (texts.model_descriptor, texts.tokenized_corpus, texts.sampling_policy)
    return documents.check(texts.receipt, texts.stage_config, *three, profile=profile)


def check_documents(pair: tuple[bytes, bytes]) -> None:
    config, receipt = pair
    texts = msgspec.structs.replace(FIXTURE, stage_config=config, receipt=receipt)
    judged(config, receipt, fixture_inputs())
    checked(texts)
    compare(FULL, receipt)


def check_inputs(changed: tuple[str, bytes]) -> None:
    role, text = changed
    texts = msgspec.structs.replace(FIXTURE, **{role: text})
    try:
        inputs = inputs_of(texts)
    except ContractRefused as error:
        refused = str(error)
    else:
        judged(texts.stage_config, texts.receipt, inputs)
        refused = ""
    assert refused in ("", f"{role}#: the original cannot read this document; give its own text")
    checked(texts)


@settings(max_examples=120, deadline=None)
@given(given_documents)
def test_changed_documents_are_judged(pair: tuple[bytes, bytes]) -> None:
    """A config and a receipt, changed as JSON and as bytes."""
    check_documents(pair)


@settings(max_examples=50, deadline=None)
@given(given_inputs)
def test_changed_inputs_are_judged_or_refused(changed: tuple[str, bytes]) -> None:
    """Descriptor, corpus and policy are documents that somebody gave, too."""
    check_inputs(changed)


@pytest.mark.slow
@settings(max_examples=4_000, deadline=None)
@given(given_documents)
def test_changed_documents_are_judged_at_length(pair: tuple[bytes, bytes]) -> None:
    """The same over many more."""
    check_documents(pair)


@pytest.mark.slow
@settings(max_examples=1_500, deadline=None)
@given(given_inputs)
def test_changed_inputs_are_judged_or_refused_at_length(changed: tuple[str, bytes]) -> None:
    """The same over many more."""
    check_inputs(changed)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_bytes_of_no_document_do_not_parse(config: bytes, receipt: bytes) -> None:
    """Anything at all."""
    assert judged(config, receipt, fixture_inputs()) == ("parse", "parse")
    checked(msgspec.structs.replace(FIXTURE, stage_config=config, receipt=receipt))


MEGABYTE = 2**20
HUGE = {
    "a string of 10 MB": b'"' + b"x" * (10 * MEGABYTE) + b'"',
    "escapes of 2 MB": b'"' + b"\\u00e9" * (2 * MEGABYTE // 6) + b'"',
    "a number of 10 MB": b"1" * (10 * MEGABYTE),
    "one key thirty thousand times": b"{" + b",".join([b'"a":1'] * 30_000) + b"}",
    "as many keys": b"{" + b",".join(b'"%d":1' % n for n in range(30_000)) + b"}",
    "as many elements": b"[" + b",".join([b"[]"] * 30_000) + b"]",
    "white space of 10 MB": b" " * (10 * MEGABYTE) + b"1",
    **{f"{depth} deep, {'objects' if o else 'lists'}": nested(depth, o).encode()
       for depth in (200, 2_000, 100_000) for o in (False, True)},
}  # fmt: skip


# One that is long, one that is wide and one that is deep; the slow suite has them all.
QUICK = ("a string of 10 MB", "as many keys", "2000 deep, lists")


@pytest.mark.parametrize(
    "value",
    [pytest.param(value, id=name, marks=() if name in QUICK else pytest.mark.slow) for name, value in HUGE.items()],
)
def test_a_huge_or_deep_value_is_judged(value: bytes) -> None:
    """Under an unknown key, for a known one, at the end and as the whole document."""
    unknown = b'{"unknown": ' + value + b"," + TEXT[1:]
    known = TEXT.replace(b'"run_id": "fixture"', b'"run_id": ' + value)
    assert fixture_inputs().verdict(FIXTURE.stage_config, unknown) == ("ok", "ok")
    assert fixture_inputs().verdict(value, TEXT + value) == ("parse", "parse")
    check_documents((FIXTURE.stage_config, unknown))
    check_documents((FIXTURE.stage_config, known))


def test_half_a_surrogate_pair_can_be_shown() -> None:
    """As a key that stands twice: no UTF-8 has it, and the output is UTF-8."""
    key = b'"\\ud800": 1, '
    checked(msgspec.structs.replace(FIXTURE, receipt=b"{" + key + key + TEXT[1:]))
