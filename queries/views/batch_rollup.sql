-- name: batch_rollup
-- about: The batches of each step, rolled up; `stream` and `seq` are of rank 0's first. `positions` are those that
--   they say they take, `sequences` those that they name.
-- materialise: true
select b.step, min(b.attempt) as attempt, count(*) as batches, min(b.first_position) as first_position,
  max(b.end_position) as end_position, sum(b.sequences::hugeint) as positions,
  sum(len(b.sequence_ids) + len(b.sequence_sha256s)) as sequences, sum(b.tokens) as tokens,
  sum(b.target_tokens) as target_tokens,
  sum(coalesce(list_sum(list_transform(b.family_tokens, lambda f: f.tokens)), 0)) as family_tokens,
  min(b.seq) filter (b.rank = 0) as seq, min(b.stream) as stream
from train_batches as b
cross join progress as r
where r.finished or b.step <= r.due_step
group by b.step
