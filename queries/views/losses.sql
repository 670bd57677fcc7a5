-- name: losses
-- about: Every loss and norm that the run recorded and that counts.
select 'step ' || step || ' of rank ' || rank as subject, stream, seq, loss_nats, loss_sum_nats as other_nats, grad_norm
from train_steps
union all
select e.evaluation_id || ' ' || e.split_name || ' ' || e.source_family_id, e.stream, e.seq, e.loss_nats,
  cast(e.loss_nanonats as double), 0.0
from measurements as e
