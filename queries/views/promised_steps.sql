-- name: promised_steps
-- about: The steps that must be there by now: all of the horizon once the run is completed, else those completed so far.
--   Of a run that completed far fewer than it promised, the first thousand that are missing stand for the rest.
select unnest(range(1, 1 + least(case when finished then coalesce(last_step, due_step) else due_step end,
  (select count(*) + 1000 from step_completed)))) as step
from progress
