-- name: final_split_loss
-- about: The losses of the promoted weights on each split and family. `loss_nats` is in nats per target token.
select e.split_name, e.split_kind, e.source_family_id, e.source_ids,
  cast(e.loss_sum_nanonats as double) / 1e9 / e.target_tokens as loss_nats,
  e.loss_sum_nats, e.loss_sum_nanonats, e.target_tokens, e.end_sequence_id - e.first_sequence_id as sequences,
  e.evaluation_id, e.step, e.stream, e.seq
from split_loss_measured as e
join promoted_checkpoint as p on p.attempt = e.attempt and p.step = e.step
where e.role = 'train'
