-- name: batches_take_their_positions
-- law: Each rank takes, in each micro step, the positions that the plan deals to it, and no batch takes others.
-- family: replay
-- level: accounted
-- over: promised_steps
-- applies: batch_schedule
select 'step ' || coalesce(p.step, b.step) || ' rank ' || coalesce(p.rank, b.rank)
    || coalesce(' micro step ' || coalesce(p.micro_step, b.micro_step), '') as subject,
  b.seq as event_seq, b.stream,
  coalesce(p.sequences || ' positions from ' || p.first_position || ' to ' || (p.end_position - 1) || ' by ' || p.stride,
    'no batch') as expected,
  coalesce(b.sequences || ' positions from ' || b.first_position || ' to ' || (b.end_position - 1) || ' by '
    || b.stride_max || ' in ' || b.batches || ' batches', 'no batch') as actual
from (
  select p.* from planned_batches as p
  union all
  select s.step, null, 0, null, s.first_position, 1, s.sequences, s.first_position + s.sequences
  from planned_steps as s
  where s.sequences is null or not exists (select 1 from planned_batches as p where p.step = s.step)
) as p
full join (
  select b.step, b.rank, case when q.micro_batch_sequences is not null then b.micro_step end as micro_step,
    min(b.first_position) as first_position, max(b.end_position) as end_position, sum(b.sequences::hugeint) as sequences,
    count(*) as batches, count(b.positions_given) as batches_given,
    min(b.stride) filter (b.sequences > 1) as stride_min, max(b.stride) filter (b.sequences > 1) as stride_max,
    min(b.seq) as seq, min(b.stream) as stream
  from (
    select t.*, r.first_position as positions_given
    from train_batches as t
    join batch_replayed as r on r.stream = t.stream and r.seq = t.seq
  ) as b
  cross join sampling_plan as q
  cross join progress as r
  where (q.micro_batch_sequences is not null or q.rank_layout = 'rank_major') and (r.finished or b.step <= r.due_step)
  group by b.step, b.rank, case when q.micro_batch_sequences is not null then b.micro_step end
) as b on b.step = p.step and b.rank = p.rank and b.micro_step is not distinct from p.micro_step
where b.first_position is distinct from p.first_position or b.end_position is distinct from p.end_position
  or b.sequences is distinct from p.sequences or b.batches is distinct from b.batches_given
  or (p.micro_step is not null and b.batches > 1)
  or (p.sequences > 1 and (b.stride_min is distinct from p.stride or b.stride_max is distinct from p.stride))
