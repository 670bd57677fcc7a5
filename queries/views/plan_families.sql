-- name: plan_families
-- about: The range of sequence ids of each split and family.
select p.split_name, p.split_kind, p.source_family_id, p.first_sequence_id, p.end_sequence_id, p.sequences, p.tokens
from (
  select unnest(from_json(document -> '$.families',
    '[{"split_name":"VARCHAR","split_kind":"VARCHAR","source_family_id":"VARCHAR","first_sequence_id":"BIGINT","end_sequence_id":"BIGINT","sequences":"BIGINT","tokens":"BIGINT"}]'
  ), recursive := true)
  from sampling_plan
) as p
