-- name: one_root_checkpoint
-- law: Exactly one checkpoint has no parent, and it stands at step 0 where a checkpoint is promised before the first step.
-- family: lineage
-- level: accounted
-- over: promised_checkpoints
-- applies: checkpoints_at_stake
select coalesce(c.checkpoint_id, 'roots') as subject, c.seq as event_seq, c.stream,
  '1 root' || case when p.at_start then ', at step 0' else '' end as expected,
  r.roots || ' roots' || coalesce(', this one at step ' || c.step, '') as actual
from (select count(*) filter (parent_checkpoint_id is null) as roots from checkpoint_written) as r
left join checkpoint_written as c on c.parent_checkpoint_id is null
left join promised_saves as p on true
where exists (select * from promised_checkpoints)
  and (r.roots is distinct from 1 or (p.at_start and c.step is distinct from 0))
