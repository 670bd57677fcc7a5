-- name: promised_saves
-- about: When the plan writes checkpoints, one row. No row: that is not promised.
select try_cast(document ->> '$.checkpoints.every_steps' as uinteger)::bigint as every_steps,
  coalesce(try_cast(document ->> '$.checkpoints.at_start' as boolean), false) as at_start,
  coalesce(try_cast(document ->> '$.checkpoints.at_end' as boolean), false) as at_end
from sampling_plan
where json_type(document -> '$.checkpoints') = 'OBJECT'
