-- name: skips_before
-- about: How many sequences were left out before each step.
select b.step, sum(least(b.sequences, 4611686018427387904)::hugeint) as sequences, min(b.stream) as stream,
  min(b.seq) as seq
from skipped_batches as b
cross join progress as r
where r.finished or b.step <= r.due_step
group by b.step
