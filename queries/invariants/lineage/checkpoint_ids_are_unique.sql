-- name: checkpoint_ids_are_unique
-- law: A checkpoint id is written once.
-- family: lineage
-- level: accounted
-- over: checkpoint_written
select c.checkpoint_id as subject, c.seq as event_seq, c.stream, 'written once' as expected,
  'written ' || n.times || ' times' as actual
from checkpoint_written as c
join (
  select checkpoint_id, count(*) as times from checkpoint_written group by checkpoint_id
) as n on n.checkpoint_id = c.checkpoint_id
where n.times > 1
order by c.checkpoint_id, c.stream, c.seq
