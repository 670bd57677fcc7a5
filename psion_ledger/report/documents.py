"""What `verify` checked and found, whichever of a receipt's witnesses were at hand."""

from typing import Literal

import msgspec

from psion_ledger.contracts import ContractFinding
from psion_ledger.receipts import Verification
from psion_ledger.receipts.compatibility import OK, OriginalInputs
from psion_ledger.receipts.strict import Documents, strict_findings


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A line for each thing that was checked, and every finding; none means that all of it holds."""

    checked: list[str]
    findings: list[ContractFinding]


def check(
    receipt: bytes,
    config: bytes,
    descriptor: bytes,
    corpus: bytes,
    policy: bytes,
    *,
    profile: Literal["strict", "original"],
) -> Check:
    """A receipt against its documents. Raises ContractRefused when the original could not read one of the inputs."""
    if profile == "strict":
        texts = Documents(
            stage_config=config,
            receipt=receipt,
            model_descriptor=descriptor,
            tokenized_corpus=corpus,
            sampling_policy=policy,
        )
        return Check(checked=["strictly, against its documents"], findings=strict_findings(texts))
    inputs = OriginalInputs(model_descriptor=descriptor, tokenized_corpus=corpus, sampling_policy=policy)
    verdicts = inputs.verdict(config, receipt)
    found = [
        ContractFinding(verdict, f"{role}#", OK, verdict)
        for role, verdict in zip(("stage_config", "receipt"), verdicts, strict=True)
        if verdict != OK
    ]
    return Check(checked=["as the original would, against its documents"], findings=found)


def joined(found: Check | None, derived: Verification) -> Check:
    """A check by documents, where there was one, and a check by derivation."""
    known = "recorded" if derived.recorded else "never recorded"
    line = f"{known} in its ledger; derived again as of {derived.basis_entries} manifest entries"
    differences = [ContractFinding(d.code, f"receipt#{d.pointer}", d.expected, d.actual) for d in derived.differences]
    return Check(
        checked=[*(found.checked if found else []), line],
        findings=[*(found.findings if found else []), *differences],
    )
