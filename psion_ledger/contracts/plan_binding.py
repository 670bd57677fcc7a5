"""The sampling plan against the model that it feeds and the corpus that it orders."""

from psion_ledger.contracts.finding import ContractFinding, Findings, covers, equal
from psion_ledger.contracts.model_descriptor import ModelDescriptor
from psion_ledger.contracts.sampling_plan import ROLE, SamplingPlan
from psion_ledger.contracts.tensor_layout import TensorLayout
from psion_ledger.contracts.tokenized_corpus import TokenizedCorpus

SEQUENTIAL = "sequential"
_UINT16_IDS = 2**16


def vocabulary_of(model: ModelDescriptor | TensorLayout) -> int:
    """How many token ids there are; 0 where the model does not say."""
    if isinstance(model, TensorLayout):
        return 0 if model.tokenizer_binding is None else model.tokenizer_binding.vocab_size
    return model.config.vocab_size


def plan_against_model(plan: SamplingPlan, model: ModelDescriptor | TensorLayout) -> Findings:
    """Sequences fit the context, and token ids fit their width."""
    context = model.max_context_tokens if isinstance(model, TensorLayout) else model.config.max_context
    vocabulary = vocabulary_of(model)
    if plan.sequence_tokens is not None and context is not None and plan.sequence_tokens > context:
        expected, actual = f"at most {context}, the model's context", str(plan.sequence_tokens)
        yield ContractFinding("ContextLengthMismatch", f"{ROLE}#/sequence_tokens", expected, actual)
    if plan.token_dtype == "uint16" and vocabulary > _UINT16_IDS:
        expected = f"uint32, for {vocabulary} token ids"
        yield ContractFinding("TokenWidthMismatch", f"{ROLE}#/token_dtype", expected, plan.token_dtype)


def plan_against_corpus(plan: SamplingPlan, corpus: TokenizedCorpus) -> Findings:
    """Identity, order, splits, families, totals and shards are the corpus's."""
    at = f"{ROLE}#/families"
    yield from equal(f"{ROLE}#/dataset_identity", corpus.identity, plan.dataset_identity)
    if plan.token_dtype is None:
        yield ContractFinding("MissingField", f"{ROLE}#/token_dtype", "the type of a token id in the shards", "absent")
    yield from _replay_contract(plan, corpus)
    splits = {split.split_name: split for split in corpus.splits}
    known = []
    for index, family in enumerate(plan.families):
        split = splits.get(family.split_name)
        if split is None:
            expected = "a split of the corpus"
            yield ContractFinding("UnknownSplitName", f"{at}/{index}/split_name", expected, family.split_name)
            continue
        known.append((family.split_name, family.source_family_id))
        yield from equal(f"{at}/{index}/split_kind", split.kind, family.split_kind, "SplitKindMismatch")
    promised = [(split.split_name, name) for split in corpus.splits for name in split.source_family_ids]
    yield from covers(at, promised, known, "SourceFamilyCoverageMismatch")
    yield from _totals(plan, corpus)
    yield from _shards(plan, corpus)


def _replay_contract(plan: SamplingPlan, corpus: TokenizedCorpus) -> Findings:
    """The corpus's replay contract is what the plan's order gives."""
    if plan.order.kind != "derived":
        return
    replay, sequential = corpus.replay_contract, plan.order.name == SEQUENTIAL
    seed = plan.order.seed
    if seed is not None:
        expected = replay.deterministic_shuffle_seed
        yield from equal(f"{ROLE}#/order/seed", expected, seed, "ReplayContractMismatch")
    ordering_at = "tokenized_corpus#/replay_contract/shard_ordering"
    ordering = "manifest_order" if sequential else "deterministic_shuffle"
    yield from equal(ordering_at, ordering, replay.shard_ordering, "ReplayContractMismatch")


def _totals(plan: SamplingPlan, corpus: TokenizedCorpus) -> Findings:
    for index, split in enumerate(corpus.splits):
        own = [family for family in plan.families if family.split_name == split.split_name]
        if own:
            at = f"tokenized_corpus#/splits/{index}"
            sequences, tokens = sum(family.sequences for family in own), sum(family.tokens for family in own)
            yield from equal(f"{at}/sequence_count", sequences, split.sequence_count, "CountMismatch")
            yield from equal(f"{at}/token_count", tokens, split.token_count, "CountMismatch")


def _shards(plan: SamplingPlan, corpus: TokenizedCorpus) -> Findings:
    """A family's shards are exactly the shards of its split that hold one of its sources."""
    ids = {shard.shard_id for shard in corpus.shards}
    for index, family in enumerate(plan.families):
        at = f"{ROLE}#/families/{index}/shard_ids"
        for row, shard_id in enumerate(family.shard_ids):
            if shard_id not in ids:
                yield ContractFinding("UnknownShard", f"{at}/{row}", "a shard of the corpus", shard_id)
        own = [
            shard.shard_id
            for shard in corpus.shards
            if shard.split_name == family.split_name
            and any(source.source_family_id == family.source_family_id for source in shard.source_lineage)
        ]
        listed = [shard_id for shard_id in family.shard_ids if shard_id in ids]
        yield from covers(at, own, listed, "CoverageMismatch")
