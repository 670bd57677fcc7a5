-- name: progress
-- about: How far the run has come, one row. While it is not finished, steps above `due_step` may be in flight. A run that
--   ended early on purpose is finished, at `last_step`.
-- materialise: true
with latest as (select attempt, cut_step, world_size from attempts order by attempt desc limit 1),
ended as (
  select outcome from run_finished
  where role = 'complete' and attempt = (select max(attempt) from stream_opened where role = 'train')
  order by length(stream), stream, seq limit 1
),
due as (
  select case when count(e.rank) = any_value(l.world_size) then min(e.step) else any_value(l.cut_step) end as step
  from latest as l
  left join (
    select attempt, rank, max(step) as step from step_completed
    where role = 'train' and pass_id = 'train' group by attempt, rank
  ) as e on e.attempt = l.attempt
)
select
  exists (select * from ended) as finished,
  coalesce((select outcome = 'ended_early' from ended), false) as ended_early,
  coalesce((select step from due), 0) as due_step,
  coalesce((select attempt from latest), 0) as attempts,
  (select horizon_steps from sampling_plan) as horizon_steps,
  case when (select outcome from ended) = 'completed' then (select horizon_steps from sampling_plan)
    else coalesce((select step from due), 0) end as last_step
