-- name: checkpoints_stand_at_their_cursor
-- law: The cursor of each checkpoint is the first position behind its step.
-- family: lineage
-- level: accounted
-- over: promised_checkpoints
-- applies: cursors_at_stake
select n.checkpoint_id as subject, c.seq as event_seq, c.stream,
  'position ' || coalesce(cast(case when c.step = 0 then 0 else p.first_position::hugeint + p.sequences end as varchar),
    'null') as expected,
  coalesce('position ' || c.cursor_position, 'never written') as actual
from promised_checkpoints as n
left join checkpoints as c on c.checkpoint_id = n.checkpoint_id
left join planned_steps as p on p.step = c.step
cross join progress as r
where c.checkpoint_id is null
  or ((r.finished or c.step <= r.due_step) and (c.effective or not exists (select * from skips_before))
    and (c.effective or p.step is not null or c.step = 0)
    and c.cursor_position is distinct from case when c.step = 0 then 0 else p.first_position::hugeint + p.sequences end)
