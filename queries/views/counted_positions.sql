-- name: counted_positions
-- about: Where the batches stand that were recorded without positions, counted in order of step, micro step and rank.
select b.stream, b.seq,
  try_cast(sum(b.sequences) over (order by b.step, b.micro_step, b.rank, b.seq) - b.sequences as bigint) as first_position
from batch_replayed as b
left join attempts as a on a.attempt = b.attempt
where b.first_position is null and b.pass_id = 'train' and b.role = 'train'
  and not coalesce(b.step > a.kept_through_step, false)
