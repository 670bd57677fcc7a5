-- name: summary
-- about: The run in one row: its model, how far and how fast it came, and what it lost to restarts. Times in seconds.
select
  (select coalesce(document ->> '$.model.model_id', document ->> '$.model_id') from contracts
    where role = 'model_descriptor') as model_id,
  (select try_cast(coalesce(document ->> '$.parameter_count_estimate', document ->> '$.parameters') as bigint)
    from contracts where role = 'model_descriptor') as parameters,
  r.horizon_steps, s.steps, s.tokens, r.attempts, r.finished,
  (select count(*) from (
    select distinct b.step, b.attempt from step_completed as b
    join attempts as a on a.attempt = b.attempt
    where b.role = 'train' and b.pass_id = 'train' and b.step > a.kept_through_step)) as superseded_steps,
  w.wall_s, s.step_ms,
  s.tokens / nullif(s.step_s, 0) as tokens_per_s
from progress as r
cross join (
  select count(distinct t.step) as steps, avg(t.step_ms) filter (t.rank = 0) as step_ms,
    sum(t.step_ms) filter (t.rank = 0) / 1000 as step_s,
    (select sum(tokens) from family_consumption) as tokens
  from train_steps as t
) as s
cross join (
  select (max(at_ns) - min(at_ns)) / 1e9 as wall_s from (
    select recorded_at_ns as at_ns from stream_opened where role = 'train'
    union all select recorded_at_ns from step_completed where role = 'train'
    union all select recorded_at_ns from run_finished
  )
) as w
