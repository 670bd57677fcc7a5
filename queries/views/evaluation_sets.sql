-- name: evaluation_sets
-- about: The sequences on which each split and family is measured, as promised.
select e.evaluation_set, e.split_name, e.split_kind, e.source_family_id,
  try_cast(e.first_sequence_id as bigint) as first_sequence_id, try_cast(e.end_sequence_id as bigint) as end_sequence_id,
  try_cast(e.sequences as bigint) as sequences
from (
  select unnest(from_json(document -> '$.evaluation_sets',
    '[{"evaluation_set":"VARCHAR","split_name":"VARCHAR","split_kind":"VARCHAR","source_family_id":"VARCHAR","first_sequence_id":"UBIGINT","end_sequence_id":"UBIGINT","sequences":"UBIGINT"}]'
  ), recursive := true)
  from sampling_plan
) as e
