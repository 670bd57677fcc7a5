-- name: sampling_plan
-- about: The promised sampling plan, one row.
select document ->> '$.dataset_identity' as dataset_identity,
  document ->> '$.sampler_name' as sampler_name,
  document ->> '$.sampler_version' as sampler_version,
  try_cast(document ->> '$.sampler_seed' as ubigint) as sampler_seed,
  try_cast(try_cast(document ->> '$.sequence_tokens' as ubigint) as bigint) as sequence_tokens,
  try_cast(try_cast(document ->> '$.global_batch_sequences' as ubigint) as bigint) as global_batch_sequences,
  try_cast(try_cast(document ->> '$.micro_steps' as ubigint) as bigint) as micro_steps,
  try_cast(try_cast(document ->> '$.horizon_steps' as ubigint) as bigint) as horizon_steps,
  document ->> '$.sequence_index_sha256' as sequence_index_sha256,
  document, stream, seq
from contracts where role = 'sampling_plan'
