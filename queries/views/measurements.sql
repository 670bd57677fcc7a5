-- name: measurements
-- about: The evaluations' measurements that count: those of superseded steps are left out.
select e.*
from split_loss_measured as e
left join attempts as a on a.attempt = e.attempt
where e.role = 'train' and not coalesce(e.step > a.kept_through_step, false)
