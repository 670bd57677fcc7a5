"""What a sampling plan must hold by itself."""

from psion_ledger.contracts.finding import ContractFinding, Findings, at_least, covers, document_rules, equal, unique
from psion_ledger.contracts.sampling_plan import (
    ROLE,
    SCHEMA_VERSION,
    TRAIN_PROBE,
    EvaluationSet,
    PlanFamily,
    SamplingPlan,
)
from psion_ledger.contracts.values import U64_MAX
from psion_ledger.events import SplitKind


def _order_rules(plan: SamplingPlan) -> Findings:
    """Each kind of order says what it is known by, and nothing else."""
    at, order = f"{ROLE}#/order", plan.order
    has = {"name": order.name, "version": order.version, "seed": order.seed, "why": order.why}
    needs = {"derived": {"name", "version", "seed"}, "materialised": set[str](), "undeclared": {"why"}}[order.kind]
    for name, value in has.items():
        if (value is not None) != (name in needs):
            expected = f"{'given' if name in needs else 'absent'} where the order is {order.kind}"
            yield ContractFinding("OrderMismatch", f"{at}/{name}", expected, str(value))
    if order.kind != "derived" and order.parameters:
        yield ContractFinding("OrderMismatch", f"{at}/parameters", "none", str(len(order.parameters)))
    if order.seed is not None and order.seed > U64_MAX:
        yield ContractFinding("InvalidCount", f"{at}/seed", f"at most {U64_MAX}", str(order.seed))
    names = [parameter.name for parameter in order.parameters]
    yield from unique(f"{at}/parameters", names)
    yield from equal(f"{at}/parameters", sorted(names), names, "FamilyOrderMismatch")
    if order.kind == "derived" and plan.unit == "content":
        yield ContractFinding("OrderMismatch", f"{at}/kind", "undeclared, where sequences have no ids", order.kind)


def _batch_rules(plan: SamplingPlan) -> Findings:
    yield from at_least(f"{ROLE}#/horizon_steps", 1, plan.horizon_steps)
    at, schedule = f"{ROLE}#/batch/schedule", plan.batch.schedule
    if schedule is not None:
        firsts = [size.first_step for size in schedule]
        if not schedule or firsts[0] != 1 or firsts != sorted(set(firsts)):
            expected = "first steps that begin with 1 and rise"
            yield ContractFinding("BatchScheduleMismatch", at, expected, ", ".join(map(str, firsts)) or "none")
    if plan.passes.end == "short_batch" and plan.passes.sequences is None:
        yield ContractFinding("MissingField", f"{ROLE}#/passes/sequences", "the length of a pass", "absent")
    skips = [skip.before_step for skip in plan.planned_skips]
    if skips != sorted(set(skips)):
        expected = "each step once, in order"
        yield ContractFinding("BatchScheduleMismatch", f"{ROLE}#/planned_skips", expected, ", ".join(map(str, skips)))


def _family_rules(plan: SamplingPlan) -> Findings:
    if plan.unit == "window" and plan.sequence_tokens is None:
        yield ContractFinding("MissingField", f"{ROLE}#/sequence_tokens", "the length of a window", "absent")
    end, previous = 0, ("", "")
    kinds: dict[str, SplitKind] = {}
    for index, family in enumerate(plan.families):
        at, key = f"{ROLE}#/families/{index}", (family.split_name, family.source_family_id)
        if key <= previous:
            expected, actual = f"after {'/'.join(previous)}, each once", "/".join(key)
            yield ContractFinding("FamilyOrderMismatch", at, expected, actual)
        kind = kinds.setdefault(family.split_name, family.split_kind)
        yield from equal(f"{at}/split_kind", kind, family.split_kind, "SplitKindMismatch")
        yield from equal(f"{at}/first_sequence_id", end, family.first_sequence_id, "SequenceRangeMismatch")
        yield from at_least(f"{at}/sequences", 1, family.sequences)
        own_end = family.first_sequence_id + family.sequences
        yield from equal(f"{at}/end_sequence_id", own_end, family.end_sequence_id, "SequenceRangeMismatch")
        if plan.sequence_tokens is not None and plan.unit == "sequence":
            tokens = family.sequences * plan.sequence_tokens
            yield from equal(f"{at}/tokens", tokens, family.tokens, "CountMismatch")
        if plan.sequence_tokens is not None and plan.unit == "window":
            starts = max(0, family.tokens - plan.sequence_tokens + 1)
            if family.sequences > starts:
                expected = f"at most {starts} windows in {family.tokens} tokens"
                yield ContractFinding("CountMismatch", f"{at}/sequences", expected, str(family.sequences))
        yield from unique(f"{at}/shard_ids", family.shard_ids)
        end, previous = family.end_sequence_id, key


def _evaluation_rules(plan: SamplingPlan) -> Findings:
    at = f"{ROLE}#/evaluation_sets"
    families = {(family.split_name, family.source_family_id): family for family in plan.families}
    measured = [(row.split_name, row.source_family_id) for row in plan.evaluation_sets]
    yield from unique(at, measured)
    unknown = [key for key in measured if key not in families]
    yield from covers(at, [], unknown, "SourceFamilyCoverageMismatch")
    for index, (key, row) in enumerate(zip(measured, plan.evaluation_sets, strict=True)):
        if (family := families.get(key)) is not None:
            yield from _set_rules(f"{at}/{index}", row, family)


def _set_rules(at: str, row: EvaluationSet, family: PlanFamily) -> Findings:
    own = TRAIN_PROBE if family.split_kind == "train" else family.split_name
    yield from equal(f"{at}/evaluation_set", own, row.evaluation_set)
    yield from at_least(f"{at}/sequences", 1, row.sequences)
    first, end, stride = row.first_sequence_id, row.end_sequence_id, row.stride
    if first is None and end is None and stride is None:
        return
    if first is None or end is None or stride is None:
        yield ContractFinding("MissingField", at, "first, end and stride, or none of them", "some of them")
        return
    if not family.first_sequence_id <= first <= end <= family.end_sequence_id:
        expected = f"inside [{family.first_sequence_id}, {family.end_sequence_id})"
        yield ContractFinding("SequenceRangeMismatch", at, expected, f"[{first}, {end})")
    yield from equal(f"{at}/sequences", -(-(end - first) // stride), row.sequences, "CountMismatch")


def rules(plan: SamplingPlan) -> list[ContractFinding]:
    """What the plan must hold by itself."""
    return [
        *document_rules(ROLE, SCHEMA_VERSION, plan),
        *_order_rules(plan),
        *_batch_rules(plan),
        *_family_rules(plan),
        *_evaluation_rules(plan),
    ]
