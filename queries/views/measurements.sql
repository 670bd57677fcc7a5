-- name: measurements
-- about: The evaluations' measurements that count: those of superseded steps are left out.
select e.*
from split_loss_measured as e
join attempts as a on a.attempt = e.attempt
where e.role = 'train' and e.step <= a.kept_through_step
