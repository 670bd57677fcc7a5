-- name: checkpoint_parents_are_earlier
-- law: Every other checkpoint's parent was written before it, at an earlier step.
-- family: lineage
-- level: accounted
-- over: promised_checkpoints
-- applies: checkpoints_at_stake
select n.checkpoint_id as subject, c.seq as event_seq, c.stream, coalesce(c.parent_checkpoint_id || ', before step ' || c.step, 'a checkpoint') as expected,
  coalesce('step ' || p.step || ' in attempt ' || p.attempt, 'never written') as actual
from promised_checkpoints as n
left join checkpoint_written as c on c.checkpoint_id = n.checkpoint_id
left join checkpoint_written as p on p.checkpoint_id = c.parent_checkpoint_id
where c.checkpoint_id is null or c.parent_checkpoint_id is not null
  and not coalesce(p.step < c.step and (p.attempt < c.attempt or (p.stream = c.stream and p.seq < c.seq)), false)
