-- name: losses
-- about: Every loss and norm that the run recorded and that counts; what a trainer does not give is no loss. `loss_nats` is
--   per target token.
select 'step ' || step || ' of rank ' || rank as subject, stream, seq, coalesce(isfinite(loss_nats), true)
    and coalesce(isfinite(loss_sum_nats), true) and coalesce(isfinite(grad_norm), true) as is_finite,
  loss_nats, loss_sum_nats, grad_norm
from train_steps
union all
select e.evaluation_id || ' ' || e.split_name || ' ' || e.source_family_id, e.stream, e.seq,
  e.is_finite and e.target_tokens > 0, e.loss_nats, cast(e.loss_sum_nanonats as double) / 1e9, null
from measurements as e
