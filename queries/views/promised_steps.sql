-- name: promised_steps
-- about: The steps that must be there by now: all of the horizon once the run is finished, else those completed so far.
select unnest(range(1, 1 + case when finished then coalesce(horizon_steps, due_step) else due_step end)) as step
from progress
