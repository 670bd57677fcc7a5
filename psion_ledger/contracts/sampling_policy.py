"""`psion.sampling_policy.v1`: how often each source family is drawn, and what no mixture may exceed."""

from typing import get_args

from psion_ledger.contracts.finding import (
    ContractFinding,
    Findings,
    basis_points,
    covers,
    document_rules,
    equal,
    unique,
)
from psion_ledger.contracts.values import TOTAL_BPS, U32, ContentClass, Part, RegressionKind

SCHEMA_VERSION = "psion.sampling_policy.v1"
ROLE = "sampling_policy"


class SourceFamilyWeight(Part, frozen=True, kw_only=True):
    """A train family's part of the mixture.

    source_family_id: the family. content_class: what kind of text it is.
    sampling_weight_bps: its draws in 10,000 positions; at least 1.
    maximum_family_token_share_bps: most that it may be of all train tokens, in basis points.
    rationale: why.
    """

    source_family_id: str
    content_class: ContentClass
    sampling_weight_bps: U32
    maximum_family_token_share_bps: U32
    rationale: str


class SourceContributionCap(Part, frozen=True, kw_only=True):
    """A source's ceiling.

    source_id: the source.
    maximum_source_token_share_bps: most that it may be of all train tokens, in basis points.
    rationale: why.
    """

    source_id: str
    maximum_source_token_share_bps: U32
    rationale: str


class RepetitiveRegionControl(Part, frozen=True, kw_only=True):
    """A section that repeats itself.

    source_id, document_id, section_id: where it is.
    downweight_multiplier_bps: its weight against ordinary text, 1 to 10,000 basis points.
    maximum_region_token_share_bps: most that it may be of all train tokens, in basis points.
    rationale: why.
    """

    source_id: str
    document_id: str
    section_id: str
    downweight_multiplier_bps: U32
    maximum_region_token_share_bps: U32
    rationale: str


class ContentClassShare(Part, frozen=True, kw_only=True):
    """content_class: a kind of text. observed_token_share_bps: its part of all train tokens, basis points."""

    content_class: ContentClass
    observed_token_share_bps: U32


class RegressionThreshold(Part, frozen=True, kw_only=True):
    """An ability that a change of mixture may not cost too much of.

    regression_kind: the ability.
    maximum_regression_bps: most that it may fall, in basis points.
    rationale: why.
    """

    regression_kind: RegressionKind
    maximum_regression_bps: U32
    rationale: str


class SamplingPolicy(Part, frozen=True, kw_only=True):
    """The mixture.

    schema_version: `psion.sampling_policy.v1`.
    tokenized_corpus_schema_version, raw_source_schema_version: schemas of the documents that it speaks of.
    dataset_identity: `dataset_id@dataset_version` of the corpus.
    policy_id, policy_version: its name and version.
    packing_policy_version: the corpus's packing policy.
    maximum_code_token_ratio_bps: most that code may be of all train tokens, in basis points.
    source_family_weights: one for each family that training sees.
    source_contribution_caps: one for each source that training sees.
    repetitive_region_controls: sections drawn less often.
    content_class_token_share_report: one for each content class.
    regression_thresholds: one for each regression kind.
    """

    schema_version: str
    tokenized_corpus_schema_version: str
    raw_source_schema_version: str
    dataset_identity: str
    policy_id: str
    policy_version: str
    packing_policy_version: str
    maximum_code_token_ratio_bps: U32
    source_family_weights: list[SourceFamilyWeight]
    source_contribution_caps: list[SourceContributionCap]
    repetitive_region_controls: list[RepetitiveRegionControl]
    content_class_token_share_report: list[ContentClassShare]
    regression_thresholds: list[RegressionThreshold]

    @property
    def weights(self) -> dict[str, int]:
        """Draws of each family in 10,000 positions."""
        return {row.source_family_id: row.sampling_weight_bps for row in self.source_family_weights}


def _weight_rules(policy: SamplingPolicy) -> Findings:
    at = f"{ROLE}#/source_family_weights"
    yield from unique(at, (row.source_family_id for row in policy.source_family_weights))
    for index, row in enumerate(policy.source_family_weights):
        yield from basis_points(f"{at}/{index}/sampling_weight_bps", row.sampling_weight_bps, least=1)
        cap = row.maximum_family_token_share_bps
        yield from basis_points(f"{at}/{index}/maximum_family_token_share_bps", cap)
    total = sum(row.sampling_weight_bps for row in policy.source_family_weights)
    yield from equal(at, TOTAL_BPS, total, "ShareTotalMismatch")


def _cap_rules(policy: SamplingPolicy) -> Findings:
    at = f"{ROLE}#/source_contribution_caps"
    yield from unique(at, (row.source_id for row in policy.source_contribution_caps))
    for index, cap in enumerate(policy.source_contribution_caps):
        share = cap.maximum_source_token_share_bps
        yield from basis_points(f"{at}/{index}/maximum_source_token_share_bps", share)
    for index, region in enumerate(policy.repetitive_region_controls):
        at = f"{ROLE}#/repetitive_region_controls/{index}"
        yield from basis_points(f"{at}/downweight_multiplier_bps", region.downweight_multiplier_bps, least=1)
        yield from basis_points(f"{at}/maximum_region_token_share_bps", region.maximum_region_token_share_bps)


def _content_class_rules(policy: SamplingPolicy) -> Findings:
    """A class's share is at most its families' caps together; code has a ceiling of its own besides."""
    at = f"{ROLE}#/content_class_token_share_report"
    report = policy.content_class_token_share_report
    yield from unique(at, (row.content_class for row in report))
    yield from covers(at, get_args(ContentClass), (row.content_class for row in report), "CoverageMismatch")
    yield from basis_points(f"{ROLE}#/maximum_code_token_ratio_bps", policy.maximum_code_token_ratio_bps)
    for index, row in enumerate(report):
        share_at, share = f"{at}/{index}/observed_token_share_bps", row.observed_token_share_bps
        yield from basis_points(share_at, share)
        families = [family for family in policy.source_family_weights if family.content_class == row.content_class]
        cap = sum(family.maximum_family_token_share_bps for family in families)
        if share > cap:
            expected = f"at most {cap}, the caps of its families together"
            yield ContractFinding("ShareAboveCap", share_at, expected, str(share))
        if row.content_class == "code" and share > policy.maximum_code_token_ratio_bps:
            expected = f"at most {policy.maximum_code_token_ratio_bps}, the maximum code token ratio"
            yield ContractFinding("ShareAboveCap", share_at, expected, str(share))
    total = sum(row.observed_token_share_bps for row in report)
    yield from equal(at, TOTAL_BPS, total, "ShareTotalMismatch")


def _threshold_rules(policy: SamplingPolicy) -> Findings:
    at = f"{ROLE}#/regression_thresholds"
    kinds = [row.regression_kind for row in policy.regression_thresholds]
    yield from unique(at, kinds)
    yield from covers(at, get_args(RegressionKind), kinds, "CoverageMismatch")
    for index, row in enumerate(policy.regression_thresholds):
        yield from basis_points(f"{at}/{index}/maximum_regression_bps", row.maximum_regression_bps)


def rules(policy: SamplingPolicy) -> list[ContractFinding]:
    """What the policy must hold by itself."""
    return [
        *document_rules(ROLE, SCHEMA_VERSION, policy),
        *_weight_rules(policy),
        *_cap_rules(policy),
        *_content_class_rules(policy),
        *_threshold_rules(policy),
    ]
