-- name: train_steps
-- about: The optimizer steps that count: superseded attempts' steps are left out. One row per step and rank.
select s.*
from step_completed as s
left join attempts as a on a.attempt = s.attempt
where s.pass_id = 'train' and s.role = 'train' and not coalesce(s.step > a.kept_through_step, false)
