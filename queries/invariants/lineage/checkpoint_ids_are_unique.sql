-- name: checkpoint_ids_are_unique
-- law: A checkpoint id is written once.
-- family: lineage
-- level: accounted
-- over: promised_checkpoints
-- applies: checkpoints_at_stake
select p.checkpoint_id as subject, c.seq as event_seq, c.stream, 'written once' as expected,
  'written ' || coalesce(n.times, 0) || ' times' as actual
from promised_checkpoints as p
left join checkpoint_written as c on c.checkpoint_id = p.checkpoint_id
left join (
  select checkpoint_id, count(*) as times from checkpoint_written group by checkpoint_id
) as n on n.checkpoint_id = p.checkpoint_id
where n.times is distinct from 1
