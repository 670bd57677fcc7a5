-- name: measurements
-- about: The evaluations' measurements that count: those of superseded steps are left out. `loss_nats` is in nats per
--   target token, null where a loss is not finite.
select e.*, p.split_kind,
  case when e.is_finite then cast(e.loss_sum_nanonats as double) / 1e9 / nullif(e.target_tokens, 0) end as loss_nats
from split_loss_measured as e
left join attempts as a on a.attempt = e.attempt
left join plan_families as p on p.split_name = e.split_name and p.source_family_id = e.source_family_id
where e.role = 'train' and not coalesce(e.step > a.kept_through_step, false)
