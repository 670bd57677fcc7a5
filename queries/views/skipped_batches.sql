-- name: skipped_batches
-- about: The batches that were drawn and left out before their step, and count. Their positions count as drawn.
select b.*,
  least(b.first_position, 4611686018427387904)::hugeint + greatest(b.sequences - 1, 0)::hugeint * b.stride + 1
    as end_position
from batch_skipped as b
left join attempts as a on a.attempt = b.attempt
where b.pass_id = 'train' and b.role = 'train' and not coalesce(b.step > a.kept_through_step, false)
