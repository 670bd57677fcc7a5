-- name: batch_schedule
-- about: The promised sizes of the global batch, each from a step on. No row: they are not promised.
select try_cast(b.first_step as bigint) as first_step, try_cast(b.sequences as integer)::bigint as sequences
from (
  select unnest(from_json(document -> '$.batch.schedule', '[{"first_step":"UBIGINT","sequences":"UBIGINT"}]'),
    recursive := true)
  from sampling_plan
) as b
