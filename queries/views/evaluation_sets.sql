-- name: evaluation_sets
-- about: The sequences on which each split and family is measured, as promised: every `stride`th one. Ids are null where
--   each evaluation samples anew.
select e.evaluation_set, e.split_name, p.split_kind, e.source_family_id,
  try_cast(e.first_sequence_id as bigint) as first_sequence_id, try_cast(e.end_sequence_id as bigint) as end_sequence_id,
  try_cast(e.stride as integer)::bigint as stride, try_cast(e.sequences as bigint) as sequences
from (
  select unnest(from_json(document -> '$.evaluation_sets',
    '[{"evaluation_set":"VARCHAR","split_name":"VARCHAR","source_family_id":"VARCHAR","first_sequence_id":"UBIGINT","end_sequence_id":"UBIGINT","stride":"UBIGINT","sequences":"UBIGINT"}]'
  ), recursive := true)
  from sampling_plan
) as e
left join plan_families as p on p.split_name = e.split_name and p.source_family_id = e.source_family_id
