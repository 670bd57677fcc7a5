-- name: one_root_checkpoint
-- law: One checkpoint has no parent, and it is the state before the first step.
-- family: lineage
-- level: accounted
-- over: promised_checkpoints
select coalesce(c.checkpoint_id, 'roots') as subject, c.seq as event_seq, c.stream, '1 root, at step 0' as expected,
  r.roots || ' roots' || coalesce(', this one at step ' || c.step, '') as actual
from (select count(*) filter (parent_checkpoint_id is null) as roots from checkpoint_written) as r
left join checkpoint_written as c on c.parent_checkpoint_id is null
where exists (select * from promised_checkpoints) and (r.roots is distinct from 1 or c.step is distinct from 0)
order by c.stream, c.seq
