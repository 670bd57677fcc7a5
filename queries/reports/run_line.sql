-- name: run_line
-- about: The run as a list of runs shows it, one row: when it began, its model, how far it came, and the losses of the
--   promoted weights by split, in nats per target token, null where one of its families' is not finite.
select
  (select min(recorded_at_ns) from stream_opened where role = 'train') as started_at_ns,
  (select model_id from model_descriptor) as model_id,
  r.finished, r.due_step as steps, r.horizon_steps, r.attempts,
  (select try_cast(sum(tokens) as bigint) from family_consumption) as tokens,
  coalesce((
    select list({'split_name': s.split_name, 'loss_nats': s.loss_nats} order by s.split_name)
    from (
      select split_name, case when count(loss_sum_nanonats) = count(*)
        then cast(sum(loss_sum_nanonats) as double) / 1e9 / nullif(sum(target_tokens), 0) end as loss_nats
      from final_split_loss group by split_name
    ) as s
  ), []) as losses
from progress as r
