-- name: sequence_uses
-- about: How often each sequence was drawn, trained on or skipped, and where first.
-- materialise: true
select d.sequence_id, d.skipped, count(*) as uses, min(d.position) as first_position, min(d.step) as first_step
from drawn_sequences as d
cross join progress as r
where r.finished or d.step <= r.due_step
group by d.sequence_id, d.skipped
