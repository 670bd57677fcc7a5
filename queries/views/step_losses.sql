-- name: step_losses
-- about: The loss of each step: the sums of its ranks, added in their order, over the divisor that they used. It is null
--   where a rank gives none. `loss_nats` is per target token where the divisor is the target tokens.
select step, list_reduce(list(loss_sum_nats order by rank), lambda a, b: a + b) / nullif(max(loss_divisor), 0) as loss_nats,
  count(*) as ranks
from train_steps
group by step
having count(loss_sum_nats) = count(*) and count(distinct loss_divisor) = 1
