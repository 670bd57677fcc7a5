-- name: steps_are_dense
-- law: Steps are dense up to the last one, and each rank of its attempt completes each step once, with a batch somewhere.
-- family: replay
-- level: accounted
-- over: promised_steps
select 'step ' || coalesce(p.step, s.step, b.step) as subject, s.seq as event_seq, s.stream,
  case when p.step is null then 'no step beyond the horizon'
    else coalesce(a.world_size || ' ranks, and batches', 'completed by an attempt') end as expected,
  coalesce(s.ranks, 0) || ' ranks in ' || coalesce(s.completions, 0) || ' completions, ' || coalesce(b.batches, 0)
    || ' batches' as actual
from promised_steps as p
full join (
  select t.step, min(t.attempt) as attempt, count(*) as completions, count(distinct t.rank) as ranks,
    max(t.seq) filter (t.rank = 0) as seq, min(t.stream) as stream
  from train_steps as t
  cross join progress as r
  where r.finished or t.step <= r.due_step
  group by t.step
) as s on s.step = p.step
full join batch_rollup as b on b.step = coalesce(p.step, s.step)
left join attempts as a on a.attempt = coalesce(s.attempt, b.attempt)
where p.step is null or coalesce(s.ranks, 0) is distinct from a.world_size
  or coalesce(s.completions, 0) is distinct from a.world_size or b.step is null
