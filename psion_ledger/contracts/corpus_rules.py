"""What a tokenised corpus must hold by itself.

Whether a source is fit for training or is benchmark material stands in no document that we have. What the
corpus can show is held here: nothing of a held-out split, family or source, is in a split of another kind.
"""

from collections.abc import Iterator

from psion_ledger.contracts.finding import ContractFinding, Findings, covers, document_rules, equal, unique
from psion_ledger.contracts.tokenized_corpus import (
    ROLE,
    SCHEMA_VERSION,
    CorpusShard,
    CorpusSplit,
    TokenizedCorpus,
)
from psion_ledger.contracts.values import U64_MAX


def _identity_rules(corpus: TokenizedCorpus) -> Findings:
    replay, at = corpus.replay_contract, f"{ROLE}#/replay_contract"
    yield from equal(f"{at}/stable_dataset_identity", corpus.identity, replay.stable_dataset_identity)
    seed = replay.deterministic_shuffle_seed
    if seed > U64_MAX:
        at = f"{at}/deterministic_shuffle_seed"
        yield ContractFinding("InvalidCount", at, f"at most {U64_MAX}", str(seed))


def _name_rules(corpus: TokenizedCorpus) -> Findings:
    yield from unique(f"{ROLE}#/splits", (split.split_name for split in corpus.splits))
    yield from unique(f"{ROLE}#/shards", (shard.shard_id for shard in corpus.shards))
    families = (binding.source_family_id for binding in corpus.source_family_bindings)
    yield from unique(f"{ROLE}#/source_family_bindings", families)
    for index, binding in enumerate(corpus.source_family_bindings):
        yield from unique(f"{ROLE}#/source_family_bindings/{index}/source_ids", binding.source_ids)
    for index, split in enumerate(corpus.splits):
        yield from unique(f"{ROLE}#/splits/{index}/source_family_ids", split.source_family_ids)


def _lineage_rules(corpus: TokenizedCorpus) -> Findings:
    bound = {
        (binding.source_family_id, source_id)
        for binding in corpus.source_family_bindings
        for source_id in binding.source_ids
    }
    used: set[tuple[str, str]] = set()
    for index, shard in enumerate(corpus.shards):
        at = f"{ROLE}#/shards/{index}"
        yield from equal(f"{at}/tokenizer_digest", corpus.tokenizer.tokenizer_digest, shard.tokenizer_digest)
        declared = shard.source_manifest_schema_version
        yield from equal(f"{at}/source_manifest_schema_version", corpus.raw_source_schema_version, declared)
        version = corpus.preprocessing_version
        yield from equal(f"{at}/preprocessing_version", version, shard.preprocessing_version)
        version = corpus.packing_policy.policy_version
        yield from equal(f"{at}/packing_policy_version", version, shard.packing_policy_version)
        for row, source in enumerate(shard.source_lineage):
            used.add((source.source_family_id, source.source_id))
            if (source.source_family_id, source.source_id) not in bound:
                expected = f"a source that source_family_bindings gives to {source.source_family_id}"
                at_row = f"{at}/source_lineage/{row}/source_id"
                yield ContractFinding("UnknownSourceIdForFamily", at_row, expected, source.source_id)
    for index, binding in enumerate(corpus.source_family_bindings):
        for row, source_id in enumerate(binding.source_ids):
            if (binding.source_family_id, source_id) not in used:
                at = f"{ROLE}#/source_family_bindings/{index}/source_ids/{row}"
                yield ContractFinding("CoverageMismatch", at, "a source that some shard holds", source_id)


def _listed(corpus: TokenizedCorpus) -> Iterator[tuple[str, CorpusSplit, str]]:
    for index, split in enumerate(corpus.splits):
        for row, shard_id in enumerate(split.shard_ids):
            yield f"{ROLE}#/splits/{index}/shard_ids/{row}", split, shard_id


def _membership_rules(corpus: TokenizedCorpus) -> Findings:
    places = {shard.shard_id: index for index, shard in enumerate(corpus.shards)}
    listed: set[str] = set()
    for at, split, shard_id in _listed(corpus):
        if shard_id in listed:
            yield ContractFinding("DuplicateEntry", at, "a shard in one split, once", shard_id)
        elif shard_id not in places:
            yield ContractFinding("UnknownShard", at, "the id of a shard", shard_id)
        else:
            place = places[shard_id]
            shard = corpus.shards[place]
            yield from equal(f"{ROLE}#/shards/{place}/split_name", split.split_name, shard.split_name)
            kind_at = f"{ROLE}#/shards/{place}/split_kind"
            yield from equal(kind_at, split.kind, shard.split_kind, "SplitKindMismatch")
        listed.add(shard_id)
    for index, shard in enumerate(corpus.shards):
        if shard.shard_id not in listed:
            at = f"{ROLE}#/shards/{index}"
            yield ContractFinding("UnlistedShard", at, "listed by a split", shard.shard_id)


def _total_rules(corpus: TokenizedCorpus) -> Findings:
    shards = {shard.shard_id: shard for shard in corpus.shards}
    for index, split in enumerate(corpus.splits):
        at = f"{ROLE}#/splits/{index}"
        own: list[CorpusShard] = [shards[shard_id] for shard_id in split.shard_ids if shard_id in shards]
        sequences, tokens = sum(s.sequence_count for s in own), sum(s.token_count for s in own)
        yield from equal(f"{at}/sequence_count", sequences, split.sequence_count, "CountMismatch")
        yield from equal(f"{at}/token_count", tokens, split.token_count, "CountMismatch")
        families = {source.source_family_id for shard in own for source in shard.source_lineage}
        at = f"{at}/source_family_ids"
        yield from covers(at, families, split.source_family_ids, "SourceFamilyCoverageMismatch")


def _isolation_rules(corpus: TokenizedCorpus) -> Findings:
    families, sources = corpus.families_seen_in("held_out"), corpus.sources_seen_in("held_out")
    for index, shard in enumerate(corpus.shards):
        if shard.split_kind == "held_out":
            continue
        for row, source in enumerate(shard.source_lineage):
            at = f"{ROLE}#/shards/{index}/source_lineage/{row}"
            if source.source_family_id in families:
                expected, actual = "a family of no held-out shard", source.source_family_id
                yield ContractFinding("HeldOutNotIsolated", f"{at}/source_family_id", expected, actual)
            if source.source_id in sources:
                expected, actual = "a source of no held-out shard", source.source_id
                yield ContractFinding("HeldOutNotIsolated", f"{at}/source_id", expected, actual)


def rules(corpus: TokenizedCorpus) -> list[ContractFinding]:
    """What the corpus must hold by itself."""
    return [
        *document_rules(ROLE, SCHEMA_VERSION, corpus),
        *_identity_rules(corpus),
        *_name_rules(corpus),
        *_lineage_rules(corpus),
        *_membership_rules(corpus),
        *_total_rules(corpus),
        *_isolation_rules(corpus),
    ]
