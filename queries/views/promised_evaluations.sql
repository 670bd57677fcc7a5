-- name: promised_evaluations
-- about: When the plan evaluates, one row. No row: that is not promised.
select try_cast(document ->> '$.evaluations.every_steps' as uinteger)::bigint as every_steps,
  coalesce(try_cast(document ->> '$.evaluations.at_start' as boolean), false) as at_start,
  coalesce(try_cast(document ->> '$.evaluations.at_end' as boolean), false) as at_end
from sampling_plan
where json_type(document -> '$.evaluations') = 'OBJECT'
