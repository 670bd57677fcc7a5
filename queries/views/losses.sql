-- name: losses
-- about: Every loss and norm that the run recorded and that counts. `loss_nats` is per target token.
select 'step ' || step || ' of rank ' || rank as subject, stream, seq, loss_nats, loss_sum_nats, grad_norm
from train_steps
union all
select e.evaluation_id || ' ' || e.split_name || ' ' || e.source_family_id, e.stream, e.seq,
  e.loss_sum_nats / nullif(e.target_tokens, 0),
  cast(e.loss_sum_nanonats as double) / 1e9, 0.0
from measurements as e
