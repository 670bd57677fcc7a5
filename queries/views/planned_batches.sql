-- name: planned_batches
-- about: What each rank takes in each micro step of each promised step: `sequences` positions, `stride` apart. Where the
--   plan does not promise micro steps, `micro_step` is null and a row is all that a rank takes. Of far more than was
--   recorded the first ones stand for the rest.
-- materialise: true
select step, attempt, rank, micro_step, first_position, stride, sequences, first_position + (sequences - 1) * stride + 1
    as end_position
from (
  select c.step, c.attempt, c.rank, case when c.micro is not null then m.micro_step end as micro_step,
    case when c.strided then c.world_size else 1 end as stride,
    c.step_position + case
      when c.by_rank and c.strided then c.rank + m.micro_step * c.taken * c.world_size
      when c.by_rank then c.rank * c.share + m.micro_step * c.taken
      when c.strided then m.micro_step * c.taken * c.world_size + c.rank
      else m.micro_step * c.taken * c.world_size + c.rank * c.taken end as first_position,
    greatest(0, case
      when c.by_rank then least(c.taken, c.own - m.micro_step * c.taken)
      when c.strided then (least(c.taken * c.world_size, c.step_sequences - m.micro_step * c.taken * c.world_size) - c.rank
        + c.world_size - 1) // c.world_size
      else least(c.taken, c.step_sequences - m.micro_step * c.taken * c.world_size - c.rank * c.taken) end) as sequences
  from (
    select s.step, s.attempt, s.world_size, s.step_position, s.step_sequences, s.micro, s.by_rank, s.strided, s.share,
      r.rank, s.micro_steps_recorded,
      coalesce(s.micro, s.share) as taken,
      case when s.strided then (s.step_sequences - r.rank + s.world_size - 1) // s.world_size
        else least(s.share, s.step_sequences - r.rank * s.share) end as own
    from (
      select p.step, a.attempt, a.world_size::hugeint as world_size, p.first_position::hugeint as step_position,
        p.sequences::hugeint as step_sequences, nullif(q.micro_batch_sequences, 0)::hugeint as micro,
        q.rank_layout = 'rank_major' as by_rank, q.rank_take = 'strided' as strided,
        (p.sequences::hugeint + a.world_size - 1) // a.world_size as share,
        coalesce(b.ranks, 0) as ranks_recorded, coalesce(b.micro_steps, 0) as micro_steps_recorded
      from planned_steps as p
      cross join sampling_plan as q
      join attempts as a on p.step > a.cut_step and p.step <= a.kept_through_step
      left join (
        select step, count(distinct rank) as ranks, count(distinct micro_step) as micro_steps from train_batches group by step
      ) as b on b.step = p.step
      where p.sequences > 0 and (q.micro_batch_sequences is not null or q.rank_layout = 'rank_major')
    ) as s, unnest(range(least(s.world_size, s.ranks_recorded + 10)::bigint)) as r (rank)
  ) as c, unnest(range(least(
    case when c.by_rank then (c.share + c.taken - 1) // c.taken
      else (c.step_sequences + c.taken * c.world_size - 1) // (c.taken * c.world_size) end,
    c.micro_steps_recorded + 2)::bigint)) as m (micro_step)
)
where sequences > 0
