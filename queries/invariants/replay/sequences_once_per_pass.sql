-- name: sequences_once_per_pass
-- law: No sequence is drawn twice in one pass over its family.
-- family: replay
-- level: accounted
-- over: promised_positions
select subject, event_seq, stream, expected, actual
from (
  select 'sequence ' || sequence_id as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
    'once in pass ' || coalesce(cast(pass_number as varchar), 'null') || ' of ' || coalesce(slot_family_id, 'null') as expected,
    sum(uses) || ' times, first at position ' || min(first_position) || ' of step ' || min(first_step) as actual,
    min(first_position) as place, sequence_id
  from sequence_uses
  group by sequence_id, slot_family_id, pass_number
  having sum(uses) is distinct from 1 or pass_number is null
  union all
  select 'step ' || step, seq, stream, expected, actual, null, step from undrawn_steps
)
order by place nulls last, sequence_id
