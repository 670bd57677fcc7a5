-- name: train_batches
-- about: The batches that were trained on and count: superseded attempts' batches are left out.
select b.*
from batch_replayed as b
left join attempts as a on a.attempt = b.attempt
where b.pass_id = 'train' and b.role = 'train' and not coalesce(b.step > a.kept_through_step, false)
