-- name: updates_change_the_weights
-- law: Two checkpoints of a float32 model differ, if a step between them updated it with a rate and a norm above 0.
-- family: lineage
-- level: accounted
-- over: promised_checkpoints
-- applies: float32_at_stake
select e.checkpoint_id as subject, e.seq as event_seq, e.stream,
  'other weights than ' || e.earlier_checkpoint_id || ' of step ' || e.earlier_step || ', for step ' || e.updated_step
    || ' updated them' as expected,
  'the same weights at step ' || e.step as actual
from equal_checkpoints as e
where e.updated_step is not null
union all
select n.checkpoint_id, null, null, 'weights to compare', 'never written'
from promised_checkpoints as n
left join checkpoints as c on c.checkpoint_id = n.checkpoint_id
where c.checkpoint_id is null
