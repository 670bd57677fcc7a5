-- name: losses_are_finite
-- law: Every loss and gradient norm that was recorded is a finite number, and none is missing.
-- family: coverage
-- level: accounted
-- over: promised_steps
select subject, seq as event_seq, stream, 'finite' as expected,
  'loss ' || coalesce(cast(loss_nats as varchar), 'null') || ', ' || coalesce(cast(loss_sum_nats as varchar), 'null')
    || ', gradient norm ' || coalesce(cast(grad_norm as varchar), 'null') as actual
from (
  select subject, seq, stream, is_finite, loss_nats, loss_sum_nats, grad_norm from losses
  union all
  select 'step ' || p.step, null, null, false, null, null, null
  from promised_steps as p
  left join train_steps as t on t.step = p.step
  where t.step is null
  union all
  select p.evaluation_id || ' ' || coalesce(p.split_name, 'null') || ' ' || coalesce(p.source_family_id, 'null'), p.seq, p.stream,
    false, null, null, null
  from promised_measurements as p
  left join measurements as m on m.evaluation_id = p.evaluation_id and m.split_name = p.split_name
    and m.source_family_id = p.source_family_id
  where m.seq is null
)
where is_finite is distinct from true
