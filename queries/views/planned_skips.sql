-- name: planned_skips
-- about: The sequences that the plan leaves out, by the step before which they stand.
select try_cast(s.before_step as bigint) as before_step, try_cast(s.sequences as bigint) as sequences
from (
  select unnest(from_json(document -> '$.planned_skips', '[{"before_step":"UBIGINT","sequences":"UBIGINT"}]'),
    recursive := true)
  from sampling_plan
) as s
