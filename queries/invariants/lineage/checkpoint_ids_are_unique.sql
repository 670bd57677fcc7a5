-- name: checkpoint_ids_are_unique
-- law: A checkpoint id is written once.
-- family: lineage
-- level: accounted
-- over: checkpoint_written
select checkpoint_id as subject, max(seq) as event_seq, max(stream) as stream, 'written once' as expected,
  'written ' || count(*) || ' times' as actual
from checkpoint_written
group by checkpoint_id
having count(*) <> 1
order by checkpoint_id
