-- name: batches_draw_train_sequences
-- law: Every sequence that a batch draws is of a family of the train split.
-- family: replay
-- level: accounted
-- over: promised_positions
-- applies: named_plans
select subject, event_seq, stream, expected, actual
from (
  select 'sequence ' || u.sequence_id as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
    'in a family of the train split' as expected,
    coalesce(p.split_name || ', ' || p.source_family_id, 'in no family of the plan') || ' at position ' || u.first_position
      || ' of step ' || u.first_step as actual,
    u.first_position as place, u.sequence_id
  from sequence_uses as u
  left join plan_families as p on u.sequence_id >= p.first_sequence_id and u.sequence_id < p.end_sequence_id
  where p.split_kind is distinct from 'train'
  union all
  select 'step ' || step, seq, stream, expected, actual, null, step from undrawn_steps
)
