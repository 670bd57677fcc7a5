-- name: stage_config
-- about: The promised stage, one row.
select document ->> '$.run_id' as run_id,
  document ->> '$.stage_id' as stage_id,
  document ->> '$.stage_kind' as stage_kind,
  document ->> '$.model_id' as model_id,
  document ->> '$.model_descriptor_digest' as model_descriptor_digest,
  document ->> '$.tokenizer_binding_digest' as tokenizer_binding_digest,
  document ->> '$.dataset_identity' as dataset_identity,
  document ->> '$.sampling_policy_id' as sampling_policy_id,
  document ->> '$.sampling_policy_version' as sampling_policy_version,
  document -> '$.objective_config' as objective_config,
  document ->> '$.objective_config.objective_kind' as objective_kind,
  document ->> '$.objective_config.tokenizer_binding_digest' as objective_tokenizer_binding_digest,
  document ->> '$.objective_config.dataset_identity' as objective_dataset_identity,
  try_cast(document ->> '$.objective_config.max_context_tokens' as bigint) as max_context_tokens,
  stream, seq
from contracts where role = 'stage_config'
