-- name: checkpoints_share_the_family
-- law: Every checkpoint belongs to the stage's checkpoint family.
-- family: lineage
-- level: accounted
-- over: checkpoint_written
select c.checkpoint_id as subject, c.seq as event_seq, c.stream, coalesce(s.checkpoint_family, 'no stage') as expected,
  c.checkpoint_family as actual
from checkpoint_written as c
left join (select min(checkpoint_family) as checkpoint_family from stages) as s on true
where c.checkpoint_family is distinct from s.checkpoint_family
order by c.stream, c.seq
