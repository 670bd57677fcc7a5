-- name: train_batches
-- about: The batches that were trained on and count: superseded attempts' batches are left out.
select b.*
from batch_replayed as b
join attempts as a on a.attempt = b.attempt
where b.pass_id = 'train' and b.role = 'train' and b.step <= a.kept_through_step
