-- name: mean_losses_are_sums_over_divisors
-- law: The mean loss that a rank reports is the sum of all ranks' losses, in their order, over the divisor.
-- family: replay
-- level: accounted
-- over: promised_steps
select 'step ' || n.step || coalesce(' rank ' || s.rank, '') as subject, s.seq as event_seq, s.stream,
  coalesce('loss ' || m.loss_nats, 'sums of one divisor') as expected, coalesce('loss ' || s.loss_nats, 'no loss') as actual
from promised_steps as n
left join train_steps as s on s.step = n.step
left join step_losses as m on m.step = n.step
where s.step is null
  or (s.loss_nats is not null and s.loss_sum_nats is not null and s.loss_divisor is not null
    and s.loss_nats is distinct from m.loss_nats)
