-- name: losses_are_finite
-- law: Every loss and gradient norm that counts is a finite number.
-- family: coverage
-- level: accounted
-- over: losses
select subject, seq as event_seq, stream, 'finite' as expected,
  'loss ' || coalesce(cast(loss_nats as varchar), 'null') || ', ' || coalesce(cast(loss_sum_nats as varchar), 'null')
    || ', gradient norm ' || coalesce(cast(grad_norm as varchar), 'null') as actual
from losses
where not coalesce(isfinite(loss_nats) and isfinite(loss_sum_nats) and isfinite(grad_norm), false)
order by stream, seq
