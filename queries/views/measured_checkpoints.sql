-- name: measured_checkpoints
-- about: The loss of each checkpoint on each split that it was measured on, from evaluations of its step or of itself,
--   and whether none is lower. `loss_nats` is in nats per target token.
-- materialise: true
select c.checkpoint_id, c.step, e.evaluation_id, e.split_name, e.loss_nats,
  e.loss_nats <= min(e.loss_nats) over (partition by e.split_name) as is_lowest
from checkpoints as c
join (
  select evaluation_id, split_name, min(attempt) as attempt, min(step) as step, min(checkpoint_id) as checkpoint_id,
    cast(sum(loss_sum_nanonats) as double) / 1e9 / nullif(sum(target_tokens), 0) as loss_nats
  from measurements
  group by evaluation_id, split_name
  having bool_and(is_finite)
) as e on e.checkpoint_id = c.checkpoint_id
  or (e.checkpoint_id is null and e.attempt = c.attempt and e.step = c.step)
where c.effective
