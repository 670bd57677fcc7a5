-- name: sampling_plan
-- about: The promised sampling plan, one row.
select document ->> '$.dataset_identity' as dataset_identity,
  document ->> '$.order.kind' as order_kind,
  document ->> '$.order.name' as order_name,
  document ->> '$.order.version' as order_version,
  try_cast(document ->> '$.order.seed' as ubigint) as order_seed,
  document ->> '$.order.may_repeat' as may_repeat,
  document ->> '$.unit' as unit,
  try_cast(document ->> '$.sequence_tokens' as uinteger)::bigint as sequence_tokens,
  document ->> '$.targets' as targets,
  try_cast(document ->> '$.passes.sequences' as uinteger)::bigint as pass_sequences,
  document ->> '$.passes.end' as pass_end,
  try_cast(document ->> '$.batch.micro_batch_sequences' as uinteger)::bigint as micro_batch_sequences,
  document ->> '$.ranks.layout' as rank_layout,
  document ->> '$.ranks.take' as rank_take,
  try_cast(try_cast(document ->> '$.horizon_steps' as ubigint) as bigint) as horizon_steps,
  document ->> '$.loss_divisor' as loss_divisor,
  try_cast(document ->> '$.norm_is_global' as boolean) as norm_is_global,
  try_cast(document ->> '$.rate_is_global' as boolean) as rate_is_global,
  document, stream, seq
from contracts where role = 'sampling_plan'
