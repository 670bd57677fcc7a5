-- name: final_split_loss
-- about: The losses of the promoted weights on each split and family, from the evaluation that the promotion rests on, else
--   from that of its step. `loss_nats` is in nats per target token.
select e.split_name, e.split_kind, e.source_family_id, f.source_ids, e.loss_nats,
  case when e.is_finite then e.loss_sum_nanonats end as loss_sum_nanonats, e.target_tokens, e.sequences,
  e.evaluation_id, e.step, e.stream, e.seq
from measurements as e
join promoted_checkpoint as p on e.evaluation_id = p.evaluation_id
  or (p.evaluation_id is null and e.checkpoint_id is null and e.attempt = p.attempt and e.step = p.step)
left join corpus_families as f on f.source_family_id = e.source_family_id
