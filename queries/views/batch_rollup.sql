-- name: batch_rollup
-- about: The batches of each step, rolled up; `stream` and `seq` are of rank 0's first. `misaligned` counts batches that do not start on a multiple of their size.
-- materialise: true
select b.step, min(b.attempt) as attempt, count(*) as batches, count(distinct b.first_position) as batches_distinct,
  min(b.first_position) as first_position, max(b.end_position) as end_position,
  min(b.end_position - b.first_position) as size_min, max(b.end_position - b.first_position) as size_max,
  sum(b.end_position - b.first_position) as positions,
  sum(len(b.sequence_ids)) as sequences, sum(b.tokens) as tokens,
  sum(coalesce(list_sum(list_transform(b.family_tokens, lambda f: f.tokens)), 0)) as family_tokens,
  count(*) filter ((b.first_position - (b.step - 1)::hugeint * p.global_batch_sequences)
    % nullif(b.end_position - b.first_position, 0) is distinct from 0) as misaligned,
  min(b.seq) filter (b.rank = 0) as seq, min(b.stream) as stream
from drawn_batches as b
cross join sampling_plan as p
cross join progress as r
where r.finished or b.step <= r.due_step
group by b.step
