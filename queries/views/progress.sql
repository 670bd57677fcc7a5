-- name: progress
-- about: How far the run has come, one row. While it is not finished, steps above `due_step` may be in flight.
-- materialise: true
with latest as (select attempt, cut_step, world_size from attempts order by attempt desc limit 1)
select
  coalesce((
    select bool_or(outcome = 'completed') from run_finished
    where role = 'train' and rank = 0 and attempt = (select max(attempt) from stream_opened where role = 'train')
  ), false) as finished,
  coalesce((
    select case when count(e.rank) = any_value(l.world_size) then min(e.step) else any_value(l.cut_step) end
    from latest as l
    left join (
      select attempt, rank, max(step) as step from step_completed
      where role = 'train' and pass_id = 'train' group by attempt, rank
    ) as e on e.attempt = l.attempt
  ), 0) as due_step,
  coalesce((select attempt from latest), 0) as attempts,
  (select horizon_steps from sampling_plan) as horizon_steps
