-- name: required_contracts
-- about: The contracts that a run declares before its first batch.
select unnest(['stage_config', 'model_descriptor', 'tokenized_corpus', 'sampling_policy', 'sampling_plan',
  'sequence_index']) as role
