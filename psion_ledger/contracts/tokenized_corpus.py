"""`psion.tokenized_corpus_manifest.v1`: the splits, shards and sources of one tokenised corpus."""

from psion_ledger.contracts.values import (
    U64,
    CorpusTokenizerFamily,
    IterationMode,
    OverlongPosture,
    PackingMode,
    Part,
    ShardOrdering,
)
from psion_ledger.events import Count, Ordinal, SplitKind

SCHEMA_VERSION = "psion.tokenized_corpus_manifest.v1"
ROLE = "tokenized_corpus"


class CorpusTokenizer(Part, frozen=True, kw_only=True):
    """The tokenizer of every shard.

    family: its algorithm. tokenizer_digest: digest of the tokenizer itself. vocab_size: token ids.
    special_tokens_digest: digest of the special tokens, where there are any.
    template_digest: digest of the configuration or template, where there is one.
    """

    family: CorpusTokenizerFamily
    tokenizer_digest: str
    vocab_size: Ordinal
    special_tokens_digest: str | None = None
    template_digest: str | None = None


class PackingPolicy(Part, frozen=True, kw_only=True):
    """How documents become sequences.

    policy_id, policy_version: its name and version.
    packing_mode: what fills a sequence or a batch.
    max_sequence_tokens: longest sequence, in tokens.
    overlong_sequence_posture: what happens to a longer one.
    """

    policy_id: str
    policy_version: str
    packing_mode: PackingMode
    max_sequence_tokens: Ordinal
    overlong_sequence_posture: OverlongPosture


class ReplayContract(Part, frozen=True, kw_only=True):
    """What makes the order of sequences reproducible.

    iteration_mode: whether a sequence may be drawn again.
    shard_ordering: as listed, or shuffled by the seed.
    deterministic_shuffle_seed: the seed, 0 to 2**64 - 1.
    stable_dataset_identity: `dataset_id@dataset_version`.
    """

    iteration_mode: IterationMode
    shard_ordering: ShardOrdering
    deterministic_shuffle_seed: U64
    stable_dataset_identity: str


class SourceFamilyBinding(Part, frozen=True, kw_only=True):
    """source_family_id: a family. source_ids: every source that it has in any shard."""

    source_family_id: str
    source_ids: list[str]


class CorpusSplit(Part, frozen=True, kw_only=True):
    """A named part of the corpus.

    split_name: its name. kind: its use.
    shard_ids: its shards. source_family_ids: the families in them.
    sequence_count: sequences. token_count: tokens.
    """

    split_name: str
    kind: SplitKind
    shard_ids: list[str]
    source_family_ids: list[str]
    sequence_count: Count
    token_count: Count


class ShardSource(Part, frozen=True, kw_only=True):
    """source_id, source_family_id: whose text it is. source_normalized_digest: of the text as tokenised."""

    source_id: str
    source_family_id: str
    source_normalized_digest: str


class CorpusShard(Part, frozen=True, kw_only=True):
    """A file of sequences.

    shard_id: its name. split_name, split_kind: the one split that it belongs to.
    storage_ref: where it is. shard_digest: digest of its bytes.
    sequence_count: sequences. token_count: tokens.
    min_sequence_tokens, max_sequence_tokens: length of its shortest and longest sequence, in tokens.
    tokenizer_digest, source_manifest_schema_version, preprocessing_version, packing_policy_version: what made
    it; each is the corpus's own.
    source_lineage: the sources in it.
    """

    shard_id: str
    split_name: str
    split_kind: SplitKind
    storage_ref: str
    shard_digest: str
    sequence_count: Count
    token_count: Count
    min_sequence_tokens: Count
    max_sequence_tokens: Count
    tokenizer_digest: str
    source_manifest_schema_version: str
    preprocessing_version: str
    packing_policy_version: str
    source_lineage: list[ShardSource]


class TokenizedCorpus(Part, frozen=True, kw_only=True):
    """The corpus.

    schema_version: `psion.tokenized_corpus_manifest.v1`.
    dataset_id, dataset_version: together its identity.
    tokenizer_bundle_schema_version, raw_source_schema_version: schemas of what it was made from.
    tokenizer_id, tokenizer_version, tokenizer: what tokenised it.
    preprocessing_version: what cleaned the text.
    packing_policy: how documents became sequences.
    replay_contract: what makes its order reproducible.
    source_family_bindings: families and their sources. splits, shards: its parts.
    """

    schema_version: str
    dataset_id: str
    dataset_version: str
    tokenizer_bundle_schema_version: str
    tokenizer_id: str
    tokenizer_version: str
    tokenizer: CorpusTokenizer
    raw_source_schema_version: str
    preprocessing_version: str
    packing_policy: PackingPolicy
    replay_contract: ReplayContract
    source_family_bindings: list[SourceFamilyBinding]
    splits: list[CorpusSplit]
    shards: list[CorpusShard]

    @property
    def identity(self) -> str:
        return f"{self.dataset_id}@{self.dataset_version}"

    def families_seen_in(self, *kinds: SplitKind) -> set[str]:
        """Source families with a shard in a split of one of these kinds."""
        return {row.source_family_id for row in self._lineage_of(kinds)}

    def sources_seen_in(self, *kinds: SplitKind) -> set[str]:
        """Sources with text in a split of one of these kinds."""
        return {row.source_id for row in self._lineage_of(kinds)}

    def _lineage_of(self, kinds: tuple[SplitKind, ...]) -> list[ShardSource]:
        return [row for shard in self.shards if shard.split_kind in kinds for row in shard.source_lineage]
