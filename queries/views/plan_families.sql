-- name: plan_families
-- about: The range of sequence ids of each split and family.
select p.split_name, p.split_kind, p.source_family_id,
  try_cast(p.first_sequence_id as bigint) as first_sequence_id, try_cast(p.end_sequence_id as bigint) as end_sequence_id,
  try_cast(p.sequences as bigint) as sequences, try_cast(p.tokens as bigint) as tokens
from (
  select unnest(from_json(document -> '$.families',
    '[{"split_name":"VARCHAR","split_kind":"VARCHAR","source_family_id":"VARCHAR","first_sequence_id":"UBIGINT","end_sequence_id":"UBIGINT","sequences":"UBIGINT","tokens":"UBIGINT"}]'
  ), recursive := true)
  from sampling_plan
) as p
