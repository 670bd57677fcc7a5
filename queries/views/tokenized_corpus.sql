-- name: tokenized_corpus
-- about: The promised corpus and its replay contract, one row.
select (document ->> '$.dataset_id') || '@' || (document ->> '$.dataset_version') as dataset_identity,
  document ->> '$.tokenizer.tokenizer_digest' as tokenizer_digest,
  document ->> '$.replay_contract.stable_dataset_identity' as stable_dataset_identity,
  document ->> '$.replay_contract.iteration_mode' as iteration_mode,
  document ->> '$.replay_contract.shard_ordering' as shard_ordering,
  try_cast(document ->> '$.replay_contract.deterministic_shuffle_seed' as ubigint) as deterministic_shuffle_seed,
  document, stream, seq
from contracts where role = 'tokenized_corpus'
