-- name: checkpoints
-- about: Every checkpoint written. Those of superseded steps do not count (`effective`).
select c.*, c.step <= a.kept_through_step as effective
from checkpoint_written as c
left join attempts as a on a.attempt = c.attempt
