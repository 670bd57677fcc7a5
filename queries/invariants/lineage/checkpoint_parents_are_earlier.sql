-- name: checkpoint_parents_are_earlier
-- law: Every other checkpoint's parent was written before it, at an earlier step.
-- family: lineage
-- level: accounted
-- over: checkpoint_written
select c.checkpoint_id as subject, c.seq as event_seq, c.stream, c.parent_checkpoint_id || ', before step ' || c.step as expected,
  coalesce('step ' || p.step || ' in attempt ' || p.attempt, 'never written') as actual
from checkpoint_written as c
left join checkpoint_written as p on p.checkpoint_id = c.parent_checkpoint_id
where c.parent_checkpoint_id is not null
  and not coalesce(p.step < c.step and (p.attempt < c.attempt or (p.stream = c.stream and p.seq < c.seq)), false)
order by c.stream, c.seq
