-- name: train_batches
-- about: The batches that were trained on and count: superseded attempts' batches are left out. `end_position` is behind
--   the last one. Where the run gives no positions they are counted in order of step, micro step and rank.
select b.* replace (coalesce(b.first_position, p.first_position) as first_position),
  least(coalesce(b.first_position, p.first_position), 4611686018427387904)::hugeint
    + greatest(b.sequences - 1, 0)::hugeint * b.stride + 1 as end_position
from batch_replayed as b
left join attempts as a on a.attempt = b.attempt
left join counted_positions as p on p.stream = b.stream and p.seq = b.seq
where b.pass_id = 'train' and b.role = 'train' and not coalesce(b.step > a.kept_through_step, false)
